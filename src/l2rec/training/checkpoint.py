"""Resumable checkpoints: a folder of safetensors and JSON that is there as a whole or not at all."""

import json
import os
import shutil
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from l2rec.errors import RunError
from l2rec.models._base import Learner
from l2rec.models._checkpoint import WEIGHTS, read_tensors, write_tensors
from l2rec.training.course import Course

_FORMAT = 1
_OPTIMIZER = "optimizer.safetensors"
_COURSE = "course.json"
_PARTIAL = ".partial"


class Checkpoints:
    """The checkpoints of one run: `last/<step>-<epochs done>/`, of which the newest counts and the others go.

    A checkpoint is written under a name that nothing reads and then renamed, which a file system does at once or not
    at all. A process that dies before leaves the one before; one that dies after leaves both, and the newest counts.
    """

    def __init__(self, folder: Path) -> None:
        """Takes the folder `last` of a run; it need not exist."""
        self.folder = folder

    def newest(self) -> Path | None:
        """Returns the folder of the newest whole checkpoint, or None."""
        whole = [path for path in self.folder.glob("*-*") if path.suffix != _PARTIAL]
        return max(whole, key=lambda path: [int(number) for number in path.name.split("-")], default=None)

    def save(self, model: Learner, optimizer: torch.optim.Optimizer, course: Course, facts: dict[str, Any]) -> None:
        """Writes a checkpoint and removes what it replaces."""
        whole = self.folder / f"{course.step:08d}-{course.epoch:04d}"
        partial = whole.with_name(whole.name + _PARTIAL)
        shutil.rmtree(partial, ignore_errors=True)
        write_tensors(model.state(), partial / WEIGHTS)
        write_tensors(_flat(model, optimizer), partial / _OPTIMIZER)
        text = json.dumps({"format": _FORMAT, "facts": facts, "course": course.to_json()}, indent=1)
        _write(text, partial / _COURSE)
        partial.rename(whole)
        _sync(self.folder)
        self.sweep()

    def sweep(self) -> None:
        """Removes every checkpoint but the newest, and what a dead process left of one."""
        newest = self.newest()
        for path in self.folder.glob("*"):
            if path != newest:
                shutil.rmtree(path, ignore_errors=True)

    def course(self, facts: dict[str, Any]) -> Course:
        """Returns the course of the newest checkpoint.

        Args:
            facts: What must be as it was when the checkpoint was written, by name.

        Raises:
            RunError: there is no checkpoint, it cannot be read, or a fact has changed.
        """
        newest = self.newest()
        if newest is None:
            raise RunError(f"{self.folder}: holds no checkpoint to resume. Start the run without --resume.")
        try:
            written = json.loads((newest / _COURSE).read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise RunError(f"{newest / _COURSE}: {error}. Restore a copy, or train again in a new folder.") from None
        if written.get("format") != _FORMAT:
            raise RunError(
                f"{newest / _COURSE}: format {written.get('format')}, this version reads {_FORMAT}. "
                "Resume with the version that wrote it, or train again in a new folder."
            )
        _refuse_changes(newest, written["facts"], json.loads(json.dumps(facts)))
        return Course(**written["course"])

    def load_model(self, model: Learner) -> None:
        """Gives the model the weights of the newest checkpoint; `course` has been read.

        Raises:
            RunError: the file is damaged or does not fit.
        """
        model.load_state(read_tensors(self._newest() / WEIGHTS))

    def load_optimizer(self, model: Learner, optimizer: torch.optim.Optimizer) -> None:
        """Gives the optimizer the state of the newest checkpoint; `course` has been read.

        Raises:
            RunError: the file is damaged or names other parameters.
        """
        path = self._newest() / _OPTIMIZER
        flat = read_tensors(path)
        names = _names(model)
        state: dict[int, dict[str, Tensor]] = {}
        whole = optimizer.state_dict()
        order = [names[id(p)] for group in optimizer.param_groups for p in group["params"]]
        for key, tensor in flat.items():
            kind, _, name = key.partition(" ")
            if name not in order:
                raise RunError(f"{path}: {name}: the model has no such parameter. Use the run's own config.toml.")
            state.setdefault(order.index(name), {})[kind] = tensor
        optimizer.load_state_dict({"state": state, "param_groups": whole["param_groups"]})

    def _newest(self) -> Path:
        newest = self.newest()
        if newest is None:
            raise RunError(f"{self.folder}: its checkpoint has gone. Leave the run's folder alone while it trains.")
        return newest


def _names(model: Learner) -> dict[int, str]:
    return {id(p): name for name, p in model.named_parameters()}


def _flat(model: Learner, optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """The optimizer's state by kind and parameter, e.g. `exp_avg item.weight`."""
    names = _names(model)
    return {f"{kind} {names[id(p)]}": value for p, state in optimizer.state.items() for kind, value in state.items()}


def _refuse_changes(place: Path, written: dict[str, Any], now: dict[str, Any]) -> None:
    for name in sorted(written.keys() | now.keys()):
        before, after = written.get(name), now.get(name)
        if before != after:
            raise RunError(
                f"{name}: {after}, but the checkpoint {place} was trained with {before}. Resume with the run's own "
                "config.toml, or start a new run in another folder."
            )


def _write(text: str, path: Path) -> None:
    with path.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())


def _sync(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
