"""Every switch of L2Rec trains, and does what it says."""

from pathlib import Path
from typing import Any

import pytest
import torch

from l2rec.errors import SettingError
from l2rec.models.llm.l2rec import Config, Model
from tests import worlds
from tests.models.llm.little import FORMS, SEQUENCES, made, steps

SWITCHES: dict[str, dict[str, Any]] = {
    **FORMS,
    "attention": {"targets": "attention"},
    "all": {"targets": "all"},
    "no shared": {"shared": 0},
    "no view experts": {"semantic": 0, "behavioural": 0},
    "plain LoRA": {"shared": 10, "semantic": 0, "behavioural": 0},
    "semantic experts only": {"behavioural": 0},
    "top 1": {"top": 1},
    "context": {"signals": ("context",)},
    "user": {"signals": ("user",)},
    "interaction": {"signals": ("interaction",)},
    "context+user": {"signals": ("context", "user")},
    "static gates": {"signals": ()},
    "no bpc": {"bpc_weight": 0.0},
    "no balance": {"balance_weight": 0.0},
    "no view loss": {"view_weight": 0.0},
    "negatives": {"negatives": 7},
    "smoothing": {"smoothing": 0.3},
    "text alone": {"id_dropout": 1.0},
    "adapted": {"item_side": "adapted"},
    "random backbone": {"pretrained": False},
    "bfloat16": {"dtype": "bfloat16"},
}
ALL_PARTS = {"retrieval", "view_retrieval", "bpc", "balance"}
PARTS = {
    "semantic": {"retrieval", "balance"},
    "behavioural": {"retrieval", "balance"},
    "static": {"retrieval", "balance"},
    "input": {"retrieval", "balance"},
    "output": {"view_retrieval", "bpc", "balance"},
    "no bpc": ALL_PARTS - {"bpc"},
    "no view loss": ALL_PARTS - {"view_retrieval"},
}
UNBALANCED = {"no balance", "static gates", "static", "no view experts", "plain LoRA", "input", "output"}


@pytest.mark.parametrize("switch", SWITCHES)
def test_every_switch_trains_and_makes_a_difference(switch: str, backbone: Path) -> None:
    model, usual = made(backbone, attributes=2, **SWITCHES[switch]), made(backbone, attributes=2)
    batch = worlds.training_batch_of(SEQUENCES, attributes=2)
    found, expected = (steps(m, 3, batch=batch) for m in (model, usual))
    assert all(torch.isfinite(torch.tensor(list(parts.values()))).all() for parts in found)
    assert all(bool(torch.isfinite(p).all()) for p in model.parameters())
    assert set(found[0]) == PARTS.get(switch, ALL_PARTS)
    assert found[-1] != expected[-1]
    answers = model.eval().scores(worlds.batch_of([[3, 10], [], [7, 22, 8]], attributes=2))
    assert answers.isfinite().all()
    assert (found[0]["balance"] == 0) == (switch in UNBALANCED)


def readings(model: Model) -> dict[str, float]:
    steps(model)
    return model.readings


def test_readings_name_the_views_that_are_on(backbone: Path) -> None:
    for switch, named in (
        ("semantic", {"semantic"}),
        ("behavioural", {"behavioural"}),
        ("static", set()),
        ("plain LoRA", {"acf"}),
        ("semantic experts only", {"semantic", "acf"}),
        ("static gates", {"acf"}),
    ):
        found = readings(made(backbone, **SWITCHES[switch]))
        views = {name.split("/")[1] for name in found if not name.startswith("acf")}
        assert views | {"acf" for name in found if name.startswith("acf")} == named
    assert not any(name.startswith("acf") for name in readings(made(backbone, fusion="mean"))), "nothing weighs"
    whole = readings(made(backbone, semantic=3))
    assert sum(whole[f"experts/semantic/block1/e{n}"] for n in range(3)) == pytest.approx(1)


def test_static_gates_are_everybodys_and_leave_no_expert_idle(backbone: Path) -> None:
    usual = Config()
    assert usual.signals == ()
    assert usual.semantic == usual.behavioural == usual.top
    model = made(backbone, signals=(), semantic=usual.semantic, behavioural=usual.behavioural)
    assert {name.split("/")[0] for name in readings(model)} == {"acf"}, "nobody chooses"
    assert model.expert_use(worlds.batch_of([[3, 10, 2]])) == {}
    for pair in model.network.reader.choices:
        for choice in pair:
            assert choice is not None
            assert torch.equal(choice.gates, choice.gates[:1, :1].expand_as(choice.gates))
            assert bool((choice.gates > 0).all())


def trainable(model: Model) -> int:
    return sum(p.numel() for name, p in model.named_parameters() if name.endswith(("down", "up")))


def test_the_controls_have_as_many_expert_weights_as_the_claim(backbone: Path) -> None:
    sizes = {s: trainable(made(backbone, **SWITCHES[s])) for s in ("plain LoRA", "input", "output", "mean")}
    assert set(sizes.values()) == {trainable(made(backbone))}
    assert trainable(made(backbone, shared=0)) < trainable(made(backbone))
    with pytest.raises(SettingError, match=r'integration "input" needs both views\. Set views = "both"'):
        made(backbone, integration="input", views="semantic")
