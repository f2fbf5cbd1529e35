"""What a training writes down: one JSON object a line in `log.jsonl`, the same to accelerate's trackers."""

import json
import math
import os
import re
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType
from typing import Any

from torch import Tensor

from l2rec.config import TrainingSettings
from l2rec.errors import MissingExtraError, SettingError
from l2rec.training.course import Course
from l2rec.training.processes import Processes
from l2rec.training.step import Taken
from l2rec.types import Batch

LOG = "log.jsonl"
EVERY = 10
"""Steps between two lines; the last step of an epoch always ends one."""
_TRACKERS = {"tensorboard": "track", "wandb": "wandb", "mlflow": "mlflow"}
TRACKED = "trackers"
"""The folder, in the run's, that holds what trackers write."""


def refuse_trackers(names: tuple[str, ...]) -> None:
    """Returns if every tracker is known and its package installed.

    Raises:
        SettingError: a tracker is unknown.
        MissingExtraError: its package is missing.
    """
    for name in names:
        if name not in _TRACKERS:
            known = ", ".join(_TRACKERS)
            raise SettingError(f'training.trackers: "{name}": no such tracker. Known: {known}.')
        if find_spec(name) is None:
            raise MissingExtraError(name, _TRACKERS[name])


def count(course: Course, taken: Taken, window: list[Batch], token_counts: Tensor, seconds: float) -> None:
    """Adds one step to what the log's next line is the mean of."""
    found = {"steps": 1.0, "seconds": seconds, "weight": taken.weight, "grad_norm": taken.grad_norm}
    found |= {f"part {name}": part * taken.weight for name, part in taken.parts.items()}
    found["loss"] = taken.loss * taken.weight
    for batch in window:
        tokens = (token_counts[batch.items] * batch.mask).sum(1)
        found["sequences"] = found.get("sequences", 0) + len(batch)
        found["tokens"] = found.get("tokens", 0) + int(tokens.sum())
        found["room"] = found.get("room", 0) + int(tokens.max()) * len(batch)
    for name, value in found.items():
        course.sums[name] = course.sums.get(name, 0.0) + value


def step_line(course: Course, rate: float, readings: dict[str, float]) -> dict[str, Any]:
    """Returns the log's line on the steps since the last one, and begins anew."""
    sums, course.sums = course.sums, {}
    seconds = max(sums["seconds"], 1e-9)
    return {
        "step": course.step,
        "epoch": course.epoch + 1,
        "loss": sums["loss"] / sums["weight"],
        "parts": {name[5:]: v / sums["weight"] for name, v in sums.items() if name.startswith("part ")},
        "lr": rate,
        "grad_norm": sums["grad_norm"] / sums["steps"],
        "padding": 1 - sums["tokens"] / sums["room"] if sums["room"] else 0.0,
        "readings": {name: float(value) for name, value in readings.items()},
        "sequences_per_second": sums["sequences"] / seconds,
        "tokens_per_second": sums["tokens"] / seconds,
        "seconds": course.seconds,
    }


def validation_line(course: Course, metrics: dict[str, float], best: bool) -> dict[str, Any]:
    """Returns the log's line on a validation."""
    head = {"step": course.step, "epoch": course.epoch + 1}
    return {**head, "metrics": metrics, "best": best, "seconds": course.seconds}


class RunLog:
    """The open log of one run; only the first process writes."""

    def __init__(self, processes: Processes, folder: Path, settings: TrainingSettings, course: Course) -> None:
        """Opens `log.jsonl`, cuts off what a dead process wrote after its checkpoint, and starts the trackers."""
        self.accelerator = processes.accelerator
        self.course = course
        self.file = None
        self.surroundings = ExitStack()
        if processes.is_first:
            self.file = (folder / LOG).open("ab")
            self.file.truncate(min(course.log_bytes, self.file.tell()))
        plain = {k: v if isinstance(v, int | float | str) else str(v) for k, v in settings.model_dump().items()}
        if settings.trackers:
            home = (folder / TRACKED).resolve()
            home.mkdir(exist_ok=True)
            options = _options(home)
            self.surroundings.enter_context(_environment(_at_home(home)))
            self.accelerator.init_trackers("l2rec", config=plain, init_kwargs=options)

    def __enter__(self) -> "RunLog":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for tracker in self.accelerator.trackers:
            tracker.finish()
        self.surroundings.close()
        if self.file is not None:
            self.file.close()

    def write(self, line: dict[str, Any]) -> None:
        """Writes one line, and its numbers to the trackers; what is not finite becomes null."""
        if self.file is not None:
            self.file.write(json.dumps(_finite(line), allow_nan=False).encode() + b"\n")
            self.file.flush()
            self.course.log_bytes = self.file.tell()
        for tracker in self.accelerator.trackers:
            values = _flat(line)
            if tracker.name == "mlflow":
                values = {_plain(name): value for name, value in values.items()}
            tracker.log(values, step=line["step"])


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _finite(part) for name, part in value.items()}
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _flat(line: dict[str, Any]) -> dict[str, float]:
    """`{"parts": {"bpc": 1.0}}` as `{"parts/bpc": 1.0}`, which is what trackers draw as one curve."""
    flat: dict[str, float] = {}
    for name, value in line.items():
        if isinstance(value, dict):
            flat |= {f"{name}/{inner}": part for inner, part in value.items()}
        elif name != "step":
            flat[name] = float(value)
    return flat


def _plain(name: str) -> str:
    """`metrics/ndcg@10` as `metrics/ndcg_at_10`: MLflow refuses signs beyond these."""
    return re.sub(r"[^/\w.\- :]", "_", name.replace("@", "_at_"))


def _at_home(home: Path) -> dict[str, str]:
    """The environment in which W&B and MLflow write below `home` and send nothing; what the user has set stays."""
    return {
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "MLFLOW_TRACKING_URI": f"sqlite:///{(home / 'mlflow.db').as_posix()}",
        "WANDB_CACHE_DIR": str(home / "wandb-cache"),
        "WANDB_ERROR_REPORTING": "false",
    }


def _options(home: Path) -> dict[str, dict[str, Any]]:
    """What accelerate passes to each tracker; a mode or a server that the user has set stays."""
    wandb: dict[str, Any] = {"dir": str(home), "settings": {"console": "off"}}
    if "WANDB_MODE" not in os.environ:
        wandb["mode"] = "offline"
    if os.environ.get("WANDB_MODE", "offline") == "offline":
        wandb["settings"]["silent"] = True
    mlflow = {} if "MLFLOW_TRACKING_URI" in os.environ else {"logging_dir": (home / "mlflow").as_uri()}
    return {"wandb": wandb, "mlflow": mlflow}


@contextmanager
def _environment(values: dict[str, str]) -> Iterator[None]:
    """Sets what is not set, and unsets it at the end, so that the next run in this process has its own."""
    added = {name: value for name, value in values.items() if name not in os.environ}
    os.environ.update(added)
    try:
        yield
    finally:
        for name in added:
            os.environ.pop(name, None)
