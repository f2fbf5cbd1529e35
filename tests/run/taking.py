"""Runs that take the learnt weights of another one, and the settings of both."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from l2rec.config import RunSettings, overridden, validated
from l2rec.run import Options, Run, train
from tests.trained import SASREC, World, settings

COUNTED: dict[str, Any] = {"window": 2, "reverse": 0.5, "history": 3}
THIRD: dict[str, Any] = SASREC | {"transition_weight": 2.0, "transition": COUNTED}
ON_CPU = Options(device="cpu")


def asked_for(world: World | Path, model: dict[str, Any] = SASREC, *overrides: str) -> RunSettings:
    """Settings with one validation, at the end: what stands beside the learnt scores then chooses no other epoch."""
    values = settings(world, model).model_dump(mode="json")
    return validated(RunSettings, overridden(values, ("training.evaluate_every=4", *overrides)), "")


def taken(asked: RunSettings, folder: Path, source: Path, **more: Any) -> Run:
    return train(asked, folder, replace(ON_CPU, source=source, **more))
