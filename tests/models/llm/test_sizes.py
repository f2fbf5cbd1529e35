"""The size of an L2Rec, told without building it, is what its gradient reaches."""

from pathlib import Path
from typing import Any

import pytest
import torch

from l2rec.models.llm._settings import Config
from l2rec.models.llm._sizes import lone, trainable
from l2rec.nn.experts import AdaptedLinear
from l2rec.nn.router import SIGNALS
from l2rec.nn.words import bags_of, shared_words
from tests import worlds
from tests.models.llm.little import SEQUENCES, made
from tests.models.llm.test_switches import SWITCHES

ITEMS = 30
UNREACHED = {"static user": {"signals": (), "fusion": "mean"}}
"""Settings under which nothing reads who the user is."""


@pytest.mark.parametrize("attributes", [0, 2])
@pytest.mark.parametrize("switch", [*SWITCHES, *UNREACHED])
def test_the_size_is_what_the_gradient_reaches(switch: str, attributes: int, backbone: Path) -> None:
    view = SWITCHES.get(switch, {}).get("views", "both")
    unread = {"semantic": {"behavioural": 0}, "behavioural": {"semantic": 0}}.get(view, {})
    asked = (SWITCHES | UNREACHED)[switch]
    off = {"semantic": 2, "behavioural": 2} if asked == {"signals": ()} | asked else {}
    model = made(backbone, attributes=attributes, **off | asked | unread)
    model.train().loss(worlds.training_batch_of(SEQUENCES, attributes=attributes)).total.backward()
    reached = sum(p.numel() for p in model.parameters() if p.grad is not None)
    items = worlds.tiny_items(ITEMS)
    assert trainable(model.config, ITEMS, attributes, shared_words(bags_of(items), items.counts > 0)) == reached


def test_experts_of_a_view_that_is_not_read_do_not_count() -> None:
    for view, other in (("semantic", "behavioural"), ("behavioural", "semantic")):
        without = Config(views=view, **{other: 0})
        assert (
            trainable(Config(views=view), 50, 0) == trainable(without, 50, 0) < trainable(Config(views="both"), 50, 0)
        )


def test_experts_that_are_never_on_do_not_count(backbone: Path) -> None:
    """Without a router the first `top` of a view are on, whatever training makes of their gates."""
    config = Config(signals=(), semantic=4, behavioural=5, views="both")
    cut = config.model_copy(update={"semantic": 2, "behavioural": 2})
    assert trainable(config, 50, 0) == trainable(cut, 50, 0) < trainable(config.model_copy(update={"top": 3}), 50, 0)
    model = made(backbone, signals=(), semantic=4, behavioural=5).train()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
    for _ in range(3):
        optimizer.zero_grad()
        model.loss(worlds.training_batch_of(SEQUENCES)).total.backward()
        optimizer.step()
    pools = model.config.plan().pools
    on = {*range(pools.shared), *(pools.shared + n for n in (0, 1, pools.semantic, pools.semantic + 1))}
    for layer in (m for m in model.modules() if isinstance(m, AdaptedLinear)):
        assert layer.up.grad is not None
        moved = layer.up.grad.view(len(layer.up), -1, pools.rank)
        assert {n for n in range(moved.shape[1]) if moved[:, n].any()} == on


@pytest.mark.parametrize(
    ("changes", "pools"),
    [
        ({"integration": "input"}, (1, 0, 0)),
        ({"integration": "output"}, (0, 1, 1)),
        ({}, (1, 0, 0)),
    ],
)
@pytest.mark.parametrize("rank", [8, 40])
def test_a_control_is_of_equal_size_up_to_two_percent_on_minilm(
    changes: dict[str, Any], pools: tuple[int, int, int], rank: int
) -> None:
    """Of what lies beside the item table, which all rows have; rank 40 needs more ranks than one expert may have."""
    names = ("shared", "semantic", "behavioural")
    usual: dict[str, Any] = {"views": "both", "signals": SIGNALS}
    full = Config(rank=rank, semantic=4, behavioural=4, **usual)
    one = Config(**usual, **changes, **dict(zip(names, pools, strict=True)))
    table = 4385 * 384
    size = trainable(full, 4385, 0)
    experts, own = lone(one, size, 4385, 0)
    counts = {name: experts * count for name, count in zip(names, pools, strict=True)}
    found = trainable(Config(**usual, **changes, **counts, rank=own), 4385, 0)
    assert found - table == pytest.approx(size - table, rel=0.02)
    assert experts * sum(pools) == (2 if rank == 40 else sum(pools))
