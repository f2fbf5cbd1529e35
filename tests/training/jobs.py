"""Trains in processes of their own and kills them where it is told: `python -m tests.training.jobs < scenarios.json`.

A scenario is a folder, settings, and a list of kills. Each kill is `["loss", n]`, in the n-th loss of that process, or
`["file", n]`, before the n-th change of a file. After the kills the run is resumed until it ends. The exit codes are
printed. One process imports everything once and forks, as the imports take longer than the trainings.
"""

import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

import torch

from l2rec.config import TrainingSettings
from l2rec.models._checkpoint import write_tensors
from l2rec.training.checkpoint import Checkpoints
from l2rec.training.loop import Occasion, fit
from l2rec.types import Batch, Loss
from tests.training.learner import Tiny, Validation, tiny
from tests.worlds import tiny_histories

CHANGES = {"os.rename", "os.remove", "os.rmdir", "os.mkdir", "os.truncate", "open"}


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


class Mortal(Tiny):
    """The tiny model, killed in one of its losses."""

    losses_left = -1

    def loss(self, batch: Batch) -> Loss:
        if self.losses_left == 0:
            die()
        self.losses_left -= 1
        return super().loss(batch)


def die_before_change(number: int, folder: Path) -> None:
    """Kills this process before its `number`-th creation, renaming or removal of a file in the run's folder."""
    left = [number]

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        if event not in CHANGES or not str(arguments[0]).startswith(str(folder)):
            return
        if event == "open" and not (arguments[2] & (os.O_WRONLY | os.O_RDWR)):
            return
        if left[0] == 0:
            die()
        left[0] -= 1

    sys.addaudithook(hook)


def train(scenario: dict[str, Any], kill: tuple[str, int] | None) -> None:
    """Trains or resumes the run of one scenario in this process."""
    folder = Path(scenario["folder"])
    model = tiny(Mortal, **scenario.get("model", {}))
    if kill is not None and kill[0] == "loss":
        model.losses_left = kill[1]
    if kill is not None and kill[0] == "file":
        die_before_change(kill[1], folder)
    resume = Checkpoints(folder / "last").newest() is not None
    settings = TrainingSettings.model_validate(scenario["training"])
    occasion = Occasion(folder, 0, Validation(), resume=resume, device="cpu")
    fitted = fit(model, tiny_histories(), settings, occasion)
    if int(os.environ.get("RANK", "0")) == 0:
        write_tensors(model.state(), folder / "returned.safetensors")
        (folder / "fitted.json").write_text(json.dumps([fitted.best_metrics, fitted.best_epoch, fitted.stopped]))


def forked(scenario: dict[str, Any], kill: tuple[str, int] | None) -> int:
    """Trains in a child; returns its exit code, negative where a signal ended it."""
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    code = 1
    try:
        train(scenario, kill)
        code = 0
    finally:
        sys.stderr.flush()
        os._exit(code)


def main() -> None:
    torch.set_num_threads(1)
    torch.optim.AdamW([torch.nn.Parameter(torch.zeros(1))])  # imports a second's worth of torch, once for all children
    scenarios = json.load(sys.stdin)
    if "RANK" in os.environ:
        for scenario in scenarios:
            for kill in scenario.get("kills") or [None]:
                train(scenario, kill)
        return
    codes = [[forked(s, kill) for kill in [*s.get("kills", []), None]] for s in scenarios]
    json.dump(codes, sys.stdout)


if __name__ == "__main__":
    main()
