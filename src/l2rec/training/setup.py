"""Everything that stands ready before the first step: processes, model, optimizer, and the course so far."""

from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any

import torch

from l2rec.config import TrainingSettings
from l2rec.data.batches import TrainingBatches
from l2rec.data.recent import recent
from l2rec.data.turned import turned
from l2rec.errors import RunError, SettingError
from l2rec.models import _checkpoint
from l2rec.models._base import Learner
from l2rec.nn.arithmetic import precision_of
from l2rec.training.checkpoint import Checkpoints
from l2rec.training.course import Course
from l2rec.training.occasion import Occasion
from l2rec.training.optim import adamw
from l2rec.training.processes import Processes
from l2rec.training.runlog import refuse_trackers
from l2rec.training.seeds import sow
from l2rec.training.step import Step
from l2rec.types import Histories

FREE = {"checkpoint_every", "max_seconds", "trackers"}
"""Training settings that may change on a resume, as they change no weight."""


@dataclass(frozen=True)
class Setup:
    """What the loop works with.

    Attributes:
        processes: The processes that train together.
        step: Takes gradients.
        optimizer: Takes steps.
        checkpoints: The run's checkpoints.
        course: How far the training has come; the loop moves it on.
        facts: What a resume may not change, by name.
    """

    processes: Processes
    step: Step
    optimizer: torch.optim.Optimizer
    checkpoints: Checkpoints
    course: Course
    facts: dict[str, Any]

    def begin(self, model: Learner, seed: int) -> None:
        """Tells the model of an epoch that has not begun yet, and makes it ready to learn."""
        if not self.course.place:
            sow(seed, self.course.step, self.processes.rank, self.processes.device)
            model.begin(self.course.epoch)
        model.train()

    def save(self, model: Learner) -> None:
        """Writes a checkpoint of this moment."""
        self.course.readings = dict(model.readings)
        if self.processes.is_first:
            self.checkpoints.save(model, self.optimizer, self.course, self.facts)

    def save_best(self, model: Learner, folder: Path) -> None:
        """Writes the best weights where they are those of this moment.

        It follows the checkpoint and is done again on a resume, so `weights.safetensors` never runs ahead of it.
        """
        if self.processes.is_first and self.course.best and self.course.best_step == self.course.step:
            _checkpoint.save(model, folder)

    def tidy(self, model: Learner, folder: Path) -> None:
        """Makes the folder ready for the next step: what a process that died was about to write goes or is written."""
        if self.processes.is_first:
            folder.mkdir(parents=True, exist_ok=True)
            for torn in folder.glob(f".{_checkpoint.WEIGHTS}.*"):
                torn.unlink()
            self.checkpoints.sweep()
            self.save_best(model, folder)


def set_up(model: Learner, train: Histories, settings: TrainingSettings, occasion: Occasion) -> Setup:
    """Returns the training as it stands before its next step; writes nothing.

    Raises:
        RunError: the folder holds a checkpoint and `resume` is not asked for; it is, and there is none, or one of other
            settings or data; the device is not to be had; nothing can be trained or there is nothing to train on.
        SettingError: a tracker is unknown, or no epoch is left after the model's preparation.
        MissingExtraError: a tracker's package is not installed.
    """
    refuse_trackers(settings.trackers)
    if settings.epochs <= model.preparation:
        raise SettingError(
            f"training.epochs: {settings.epochs}: the model prepares for {model.preparation} epochs and ranks only "
            f"after them. Set training.epochs above {model.preparation}."
        )
    processes = Processes(occasion.device, occasion.folder, settings.trackers)
    facts = _facts(model, train, settings, occasion.seed, processes)
    checkpoints = Checkpoints(occasion.folder / "last")
    course = Course()
    if occasion.resume:
        course = checkpoints.course(facts)
        course.reopen(settings)
    elif checkpoints.newest() is not None or (occasion.folder / _checkpoint.WEIGHTS).exists():
        raise RunError(f"{occasion.folder}: holds a trained run already. Pass --resume, or choose another folder.")
    if model.third is not None:
        model.third.count(train)
    step = Step(processes, model, settings)
    if occasion.resume:
        checkpoints.load_model(model)
        model.readings = dict(course.readings)
    optimizer = adamw(model, settings)
    if occasion.resume:
        checkpoints.load_optimizer(model, optimizer)
    return Setup(processes, step, optimizer, checkpoints, course, facts)


def batches_of(
    model: Learner, train: Histories, settings: TrainingSettings, setup: Setup, seed: int
) -> TrainingBatches:
    """Returns the batches of the epoch that is under way, each for all processes together.

    Raises:
        RunError: no sequence has two events.
    """
    batches = TrainingBatches(
        histories=turned(recent(train, settings.recent), settings.turned, seed, setup.course.epoch),
        length=model.settings.history,
        batch_size=settings.batch_size * setup.processes.size,
        token_counts=model.token_counts,
        seed=seed,
        epoch=setup.course.epoch,
    )
    if not len(batches):
        raise RunError(
            f"training part: {len(train)} sequences, none of 2 events or more, so there is no target to learn. "
            "Prepare the data with a lower --k-core or a later split."
        )
    return batches


def _facts(
    model: Learner, train: Histories, settings: TrainingSettings, seed: int, processes: Processes
) -> dict[str, Any]:
    digest = blake2b(digest_size=8)
    for tensor in (train.items, train.offsets):
        digest.update(tensor.cpu().contiguous().numpy().data)
    chosen = settings.model_dump(mode="json", exclude={*FREE, "share"})  # the hash of the training part tells a share
    chosen["precision"] = precision_of(settings.precision, processes.device.type)
    return {
        **{f"training.{name}": value for name, value in chosen.items()},
        **{f"model.{name}": value for name, value in model.settings.model_dump(mode="json").items()},
        "seed": seed,
        "processes": processes.size,
        "training part": f"{len(train)} sequences, {len(train.items)} events, hash {digest.hexdigest()}",
    }
