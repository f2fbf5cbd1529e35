"""Runs that are alive, small enough for tests, each new so that a test may change it."""

from functools import cache
from pathlib import Path
from typing import Any

from l2rec.run import Options, train
from l2rec.serving.model.live import Live
from tests.models.llm.little import SMALL
from tests.trained import World, settings

THIRD = {"transition_weight": 2.0, "transition": {"attribute_weight": 0.0, "title_weight": 0.0}}


@cache
def _trained(world: World, folder: Path, backbone: Path, views: str, side: str) -> Path:
    told = {"backbone": str(backbone), "views": views, "item_side": side}
    model: dict[str, Any] = {"name": "l2rec", **SMALL, **THIRD, **told}
    chosen = settings(world, model)
    short = chosen.model_copy(update={"training": chosen.training.model_copy(update={"epochs": 2})})
    return train(short, folder / f"{views}-{side}", Options(device="cpu")).path


def l2rec(world: World, backbone: Path, views: str = "both", side: str = "frozen") -> Live:
    """A little L2Rec that was trained for two epochs; the training happens once in a process."""
    return Live.load(_trained(world, backbone.with_name(f"runs-on-{backbone.name}"), backbone, views, side))
