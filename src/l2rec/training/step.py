"""The gradient of one step: a window of batches, shared between processes as if it were one batch in one."""

import math
from dataclasses import dataclass

import torch
from torch import nn

from l2rec.config import TrainingSettings
from l2rec.models._base import Learner
from l2rec.nn.arithmetic import precision_of
from l2rec.training.processes import Processes
from l2rec.types import Batch, Loss


@dataclass(frozen=True)
class Taken:
    """What one step found.

    Attributes:
        loss: Mean of the total loss over all targets of the step.
        parts: Means of its parts.
        grad_norm: Norm of the whole gradient before clipping.
        weight: How many targets those were.
        asked: How many processes were asked to stop.
    """

    loss: float
    parts: dict[str, float]
    grad_norm: float
    weight: float
    asked: float

    @property
    def is_finite(self) -> bool:
        """Whether loss and gradient are numbers, so that the step may change weights."""
        return math.isfinite(self.loss) and math.isfinite(self.grad_norm)


class Objective(nn.Module):
    """The model's loss as a forward pass, which is what averages gradients over processes, in the run's precision."""

    def __init__(self, model: Learner, precision: str) -> None:
        super().__init__()
        self.model = model
        self.bf16 = precision == "bf16"

    def forward(self, batch: Batch) -> Loss:
        """Returns the loss of a batch with targets."""
        with torch.autocast(batch.items.device.type, torch.bfloat16, enabled=self.bf16):
            return self.model.loss(batch)


class Step:
    """Takes gradients of windows of batches; the optimizer is the caller's.

    Attributes:
        precision: The arithmetic that it uses, `bf16` or `fp32`.
    """

    def __init__(self, processes: Processes, model: Learner, settings: TrainingSettings) -> None:
        """Moves the model to its device and wraps it."""
        self.processes = processes
        self.precision = precision_of(settings.precision, processes.device.type)
        self.objective = processes.wrap(Objective(model, self.precision))
        self.parameters = [p for p in model.parameters() if p.requires_grad]
        self.clip_norm = settings.clip_norm

    def __call__(self, window: list[Batch], asked: bool = False) -> Taken:
        """Leaves the clipped gradient of the mean loss over all targets of the window in the parameters.

        The gradient is the same however the window is cut into batches and however these are shared, as far as the
        loss of a row does not depend on its neighbours.
        """
        for parameter in self.parameters:
            parameter.grad = None
        expected = sum(_targets(batch) for batch in window)
        sums: dict[str, float] = {}
        weight = 0
        for number, batch in enumerate(window, start=1):
            rows, counts = self.processes.shard(batch)
            with self.processes.syncing(self.objective, number == len(window)):
                loss: Loss = self.objective(rows)
                mine = loss.weight if counts else 0
                torch.autograd.backward([loss.total * (mine * self.processes.size / expected)])
            weight += mine
            for name, part in {"total": loss.total.item(), **loss.parts}.items():
                sums[name] = sums.get(name, 0.0) + part * mine
        everything = self.processes.total([float(weight), float(asked), *sums.values()])
        return self._taken(expected, everything, list(sums))

    def _taken(self, expected: int, everything: list[float], names: list[str]) -> Taken:
        weight, asked = everything[:2]
        if weight != expected:  # the model's loss is a mean over other positions than `target_mask` marks
            for parameter in self.parameters:
                if parameter.grad is not None:
                    parameter.grad.mul_(expected / weight if weight else math.nan)
        norm = self.processes.accelerator.clip_grad_norm_(self.parameters, self.clip_norm)
        means = {name: v / weight if weight else math.nan for name, v in zip(names, everything[2:], strict=True)}
        loss = means.pop("total")
        return Taken(loss, means, float(norm), weight, asked)


def _targets(batch: Batch) -> int:
    return 0 if batch.target_mask is None else int(batch.target_mask.sum())
