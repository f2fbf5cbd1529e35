"""What a training is given besides model, data and settings, and what it gives back."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from l2rec.models._base import Learner

Validate: TypeAlias = Callable[[Learner], dict[str, float]]
"""Metrics of the model on the validation cases, `ndcg@10` among them; the loop gives it a model in evaluation mode."""


@dataclass(frozen=True)
class Occasion:
    """What belongs to this one time of training and not to its result, the seed apart.

    Attributes:
        folder: The run's folder; gets `log.jsonl`, `last/` and `weights.safetensors`.
        seed: Seed of batches and dropout; the weights were drawn when the model was built.
        validate: Ranks the validation cases.
        resume: Whether to go on from the folder's checkpoint; without it a folder with a checkpoint is refused.
        progress: Whether to show a bar, where stderr is a terminal.
        device: `cpu`, `cuda` or another kind that torch knows; the machine's accelerator, if any, where None.
    """

    folder: Path
    seed: int
    validate: Validate
    resume: bool = False
    progress: bool = True
    device: str | None = None


@dataclass(frozen=True)
class Fitted:
    """What came of a training.

    Attributes:
        best_metrics: Validation metrics of the weights that the model now holds.
        best_epoch: After which epoch they were taken, counted from 1.
        steps: Steps of the optimizer.
        seconds: Wall clock of the whole training, validations and all resumptions included.
        seconds_per_epoch: Mean wall clock of an epoch's steps, without validation.
        stopped: `epochs`: all were done; `patience`: validation no longer got better; `seconds`: time was up.
    """

    best_metrics: dict[str, float]
    best_epoch: int
    steps: int
    seconds: float
    seconds_per_epoch: float
    stopped: str
