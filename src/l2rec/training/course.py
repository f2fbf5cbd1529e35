"""How far a training has come: the numbers that a checkpoint keeps beside the tensors."""

from dataclasses import asdict, dataclass, field
from typing import Any

from l2rec.config import TrainingSettings

NDCG = "ndcg@10"
"""The metric that chooses the best weights and decides on an early stop."""


@dataclass
class Course:
    """The state of the loop between two steps; everything in it is plain JSON.

    Attributes:
        step: Steps of the optimizer done.
        epoch: Whole epochs done, their validation included.
        place: Steps done in the epoch that is under way.
        best: Validation metrics of the best weights; empty before the first validation.
        best_epoch: After which epoch they were taken, counted from 1; 0 before the first validation.
        best_step: After which step they were taken.
        waited: Validations since then.
        seconds: Wall clock that the run has taken, over all its resumptions.
        training_seconds: The part of it that went into steps.
        stopped: Why the training is over: `epochs`, `patience` or `seconds`; None while it is not.
        log_bytes: Length of `log.jsonl`; a resumed run cuts off what is beyond.
        sums: What the log's next line will be the mean of.
        readings: The model's readings at this point.
    """

    step: int = 0
    epoch: int = 0
    place: int = 0
    best: dict[str, float] = field(default_factory=dict)
    best_epoch: int = 0
    best_step: int = 0
    waited: int = 0
    seconds: float = 0.0
    training_seconds: float = 0.0
    stopped: str | None = None
    log_bytes: int = 0
    sums: dict[str, float] = field(default_factory=dict)
    readings: dict[str, float] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Returns the fields by name."""
        return asdict(self)

    def share(self, steps: int, epochs: int, preparation: int) -> float:
        """Returns how much of the planned training the middle of the next step marks, from 0 to 1.

        Preparation and what follows are two trainings, one after the other, and each goes from 0 to 1.

        Args:
            steps: Steps of an epoch.
            epochs: Epochs of both together.
            preparation: First epochs that prepare.
        """
        done = self.epoch + (self.place + 0.5) / steps
        if self.epoch < preparation:
            return done / preparation
        return (done - preparation) / (epochs - preparation)

    def late(self, settings: TrainingSettings) -> bool:
        """Returns whether the run has used up the time that it was given."""
        return settings.max_seconds is not None and self.seconds >= settings.max_seconds

    def validates(self, settings: TrainingSettings, preparation: int, late: bool) -> bool:
        """Returns whether the epoch that ends now is followed by a validation; the last one always is.

        Args:
            settings: How often, and how many epochs.
            preparation: First epochs that are not validated.
            late: Whether this epoch is the last for want of time.
        """
        number = self.epoch + 1
        return late or number == settings.epochs or (number > preparation and number % settings.evaluate_every == 0)

    def judge(self, metrics: dict[str, float]) -> bool:
        """Takes the metrics of a validation and returns whether they are the best so far."""
        if self.best and metrics[NDCG] <= self.best[NDCG]:
            self.waited += 1
            return False
        self.best, self.best_epoch, self.best_step, self.waited = metrics, self.epoch + 1, self.step, 0
        return True

    def end_epoch(self, settings: TrainingSettings, late: bool) -> None:
        """Counts the epoch and sets `stopped` where it was the last one."""
        self.epoch, self.place = self.epoch + 1, 0
        if self.epoch >= settings.epochs:
            self.stopped = "epochs"
        elif self.waited >= settings.patience:
            self.stopped = "patience"
        elif late:
            self.stopped = "seconds"

    def reopen(self, settings: TrainingSettings) -> None:
        """Lets a run that had used up its time go on where it is now given more."""
        if self.stopped == "seconds" and not self.late(settings):
            self.stopped = None
