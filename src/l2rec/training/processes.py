"""The processes that train one model together, through accelerate; one process is the plain case of many."""

import os
from contextlib import AbstractContextManager, nullcontext
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator, DistributedDataParallelKwargs, InitProcessGroupKwargs  # type: ignore[import-untyped]
from accelerate.utils import ProjectConfiguration, broadcast_object_list  # type: ignore[import-untyped]
from torch import Tensor, nn

from l2rec.errors import RunError
from l2rec.nn.arithmetic import best_device
from l2rec.training.memory import keep_freed_memory
from l2rec.types import Batch

_PATIENCE = timedelta(hours=4)
"""How long the other processes wait for the one that validates."""


class Processes:
    """Device, rank and number of the processes, and what they tell each other.

    Attributes:
        accelerator: accelerate's view of them.
        device: Where this process computes.
        rank: Number of this process, from 0; 0 writes, logs and validates.
        size: How many there are.
    """

    def __init__(self, device: str | None, folder: Path, trackers: tuple[str, ...] = ()) -> None:
        """Joins the processes that `torchrun` or `accelerate launch` started; without either there is one.

        Args:
            device: `cpu`, `cuda` or another kind that torch knows; the machine's accelerator, if any, where None.
            folder: Where trackers that write files write them.
            trackers: Names of accelerate's trackers.

        Raises:
            RunError: the device is unknown or not to be had.
        """
        kind = _kind(device)
        # Unused parameters are no error: an expert that no token chose has no gradient. Buffers are not broadcast, as
        # frozen tables would travel with every step; those that are learnt are saved from process 0.
        reducer = DistributedDataParallelKwargs(broadcast_buffers=False, find_unused_parameters=True)
        try:
            # Precision is left to the step: accelerate holds one precision for the whole life of the process.
            self.accelerator = Accelerator(
                mixed_precision="no",
                cpu=kind == "cpu",
                log_with=list(trackers) or None,
                project_config=ProjectConfiguration(project_dir=str(folder), logging_dir=str(folder / "trackers")),
                kwargs_handlers=[reducer, InitProcessGroupKwargs(timeout=_PATIENCE)],
            )
        except ValueError as error:
            raise RunError(f"device {kind}: {error}") from None
        self.device: torch.device = self.accelerator.device
        if self.device.type != kind:
            raise RunError(
                f"device {kind}: this process has already trained on {self.device.type}, accelerate allows one kind in "
                "a process. Start another process."
            )
        if kind == "cpu":
            keep_freed_memory()
        self.rank: int = self.accelerator.process_index
        self.size: int = self.accelerator.num_processes

    @property
    def is_first(self) -> bool:
        """Whether this process writes, logs and validates."""
        return self.rank == 0

    def wrap(self, module: nn.Module) -> nn.Module:
        """Returns the module on this process's device, its gradients averaged over all processes."""
        if self.size == 1:  # accelerate would do the same after importing a second's worth of torch
            return module.to(self.device)
        wrapped: nn.Module = self.accelerator.prepare_model(module)
        return wrapped

    def shard(self, batch: Batch) -> tuple[Batch, bool]:
        """Returns this process's rows of a batch on its device, and whether they count.

        A batch with fewer rows than processes gives some of them a row that does not count, so that all take the step.
        """
        if self.size == 1:
            return batch.to(self.device), True
        rows = torch.arange(len(batch))[self.rank :: self.size]
        counts = len(rows) > 0
        return _rows(batch, rows if counts else torch.zeros(1, dtype=torch.long)).to(self.device), counts

    def syncing(self, module: nn.Module, now: bool) -> AbstractContextManager[Any]:
        """Returns a context in which gradients are averaged over the processes, or only added up where not `now`."""
        return nullcontext() if now or self.size == 1 else self.accelerator.no_sync(module)

    def total(self, values: list[float]) -> list[float]:
        """Returns the sums of the values over all processes."""
        if self.size == 1:
            return values
        kind = torch.float32 if self.device.type == "mps" else torch.float64
        mine = torch.tensor(values, dtype=kind, device=self.device)
        summed: Tensor = self.accelerator.reduce(mine, "sum")
        return [float(v) for v in summed]

    def from_first(self, value: Any) -> Any:
        """Returns process 0's value in every process."""
        if self.size == 1:
            return value
        return broadcast_object_list([value])[0]

    def wait(self) -> None:
        """Returns when every process has come here."""
        self.accelerator.wait_for_everyone()


def _kind(device: str | None) -> str:
    if device is None:
        return best_device().type
    try:
        asked = torch.device(device)
    except RuntimeError:
        raise RunError(f'device "{device}": torch knows no such device. Pass cpu or cuda.') from None
    if asked.type == "cuda" and not torch.cuda.is_available():
        raise RunError(f'device "{device}": torch {torch.__version__} sees no GPU here. Pass cpu, or mend the driver.')
    if asked.type == "cuda" and asked.index is not None and "LOCAL_RANK" not in os.environ:
        torch.cuda.set_device(asked.index)  # accelerate takes the current one
    return asked.type


def _rows(batch: Batch, rows: Tensor) -> Batch:
    targets = None if batch.targets is None else batch.targets[rows]
    target_mask = None if batch.target_mask is None else batch.target_mask[rows]
    users = None if batch.users is None else batch.users[rows]
    history = (batch.items[rows], batch.mask[rows], batch.times[rows])
    return Batch(*history, batch.attributes[rows], targets, target_mask, users)
