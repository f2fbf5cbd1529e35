"""What a model owes that explains itself: its parts add up to its scores, and mean what they are called."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from l2rec.models import Explaining, Learner, find, names
from tests import worlds
from tests.models.test_every_model import fresh
from tests.models.test_later_items import VARIANTS, later, steps

THIRD = {"transition_weight": 2.0, "top": 2}
NAMES = {"semantic": {"text"}, "behavioural": {"behaviour"}, "static": {"behaviour"}, "input": {"mixed"}}

every_explaining_model = pytest.mark.parametrize("name", [n for n in names() if issubclass(find(n).model, Explaining)])
every_variant = pytest.mark.parametrize("variant", VARIANTS)


def made(name: str, backbone: Path, **more: Any) -> Any:
    """A model that took a few steps; of several kinds at once, hence no narrower type."""
    model = fresh(name, backbone, **(THIRD | more))
    assert isinstance(model, Learner)
    steps(model)
    if model.third is not None:
        model.third.count(worlds.tiny_histories())
    return model


def added_up(parts: dict[str, Tensor]) -> Tensor:
    return torch.stack(list(parts.values())).sum(0)


@every_explaining_model
@every_variant
@torch.no_grad()
def test_the_parts_add_up_to_the_scores(name: str, variant: str, backbone: Path) -> None:
    model = made(name, backbone, **VARIANTS[variant])
    for histories, more in (([[3, 10, 2], [7]], set()), ([[3, 10, 2], []], {"average"})):
        batch = worlds.batch_of(histories)
        parts = model.parts(batch)
        torch.testing.assert_close(added_up(parts), model.scores(batch), rtol=1e-5, atol=1e-5)
        assert set(parts) == NAMES.get(variant, {"text", "behaviour"}) | {"transition"} | more
        assert all(part[0].std() > 1e-3 for part_name, part in parts.items() if part_name != "average")
    empty = {part_name: part[1] for part_name, part in parts.items()}
    assert empty.pop("average").std() > 1e-3
    assert empty.pop("transition").abs().max() > 0
    assert all(bool((part == 0).all()) for part in empty.values())


@every_explaining_model
@torch.no_grad()
def test_the_parts_of_later_items_add_up_too(name: str, backbone: Path) -> None:
    model = made(name, backbone)
    items = worlds.tiny_items(32)
    later(model, items, [30, 31])
    batch = worlds.batch_of([[3, 31], [7]])
    parts = model.parts(batch)
    torch.testing.assert_close(added_up(parts), model.scores(batch), rtol=1e-5, atol=1e-5)
    assert parts["transition"][:, 30:].abs().max() == 0


@torch.no_grad()
def test_a_gate_that_is_shut_leaves_nothing_of_its_view(backbone: Path) -> None:
    model, batch = made("l2rec", backbone, fusion="gate-less", transition_weight=0.0), worlds.batch_of([[3, 10, 2]])
    for gate, on, off in ((50.0, "text", "behaviour"), (-50.0, "behaviour", "text")):
        model.network.fusion.fixed.fill_(gate)
        parts = model.parts(batch)
        assert set(parts) == {"text", "behaviour"}
        assert parts[off].abs().max() < 1e-5 < parts[on].abs().max()


@every_explaining_model
@torch.no_grad()
def test_expert_use_is_that_of_the_first_row_alone(name: str, backbone: Path) -> None:
    model = made(name, backbone)
    alone, crowd = (model.expert_use(worlds.batch_of(rows)) for rows in ([[3, 10, 2]], [[3, 10, 2], [7, 22, 8, 25]]))
    assert alone == crowd
    assert set(alone) == {"semantic", "behavioural"}
    for blocks in alone.values():
        assert len(blocks) == 2
        assert all(sum(experts) == pytest.approx(1) for experts in blocks)
    assert model.expert_use(worlds.batch_of([[29]])) != alone
    assert set(made(name, backbone, views="semantic").expert_use(worlds.batch_of([[3]]))) == {"semantic"}
    assert made(name, backbone, semantic=0, behavioural=0).expert_use(worlds.batch_of([[3]])) == {}
