"""A short training in a line, its log as objects, and its batches as the loop makes them."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from l2rec.config import TrainingSettings
from l2rec.data.batches import TrainingBatches
from l2rec.training.loop import fit
from l2rec.training.occasion import Fitted, Occasion
from tests.training.learner import Tiny, Validation
from tests.worlds import tiny_histories

QUICK: dict[str, Any] = {"epochs": 3, "batch_size": 8, "precision": "fp32", "learning_rate": 0.03, "patience": 99}


def trained(folder: Path, model: Tiny, validate: Any = None, resume: bool = False, **settings: Any) -> Fitted:
    chosen = TrainingSettings.model_validate(QUICK | settings)
    return fit(model, tiny_histories(), chosen, Occasion(folder, 0, validate or Validation(), resume, device="cpu"))


def lines(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]


def given(values: list[float]) -> Callable[[Tiny], dict[str, float]]:
    """A validation that gives these values of NDCG@10, one after the other."""
    rest = iter(values)
    return lambda _: {"ndcg@10": next(rest)}


def batches_of(model: Tiny, epoch: int, batch_size: int = 8) -> TrainingBatches:
    return TrainingBatches(
        histories=tiny_histories(),
        length=8,
        batch_size=batch_size,
        token_counts=model.token_counts,
        seed=0,
        epoch=epoch,
    )
