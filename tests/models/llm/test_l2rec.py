"""L2Rec's own promises: frozen for good, cold items by their text, every switch does what it says."""

from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from l2rec.config import validated
from l2rec.errors import BackboneError, SettingError
from l2rec.models import _checkpoint
from l2rec.models.llm.l2rec import Config, Model
from l2rec.nn import bank
from l2rec.nn.backbone import MINILM
from l2rec.types import Batch, Items
from tests import worlds

COLD = 29
SMALL: dict[str, Any] = {
    "history": 8,
    "dtype": "float32",
    "rank": 2,
    "tokens_per_item": 4,
    "item_tokens": 8,
    "projector_width": 8,
    "router_width": 3,
    "dropout": 0.0,
    "id_dropout": 0.0,
    "smoothing": 0.0,
    "temperature": 0.2,
}
SEQUENCES = [[3, 10, 2, 7, 22], [7, 22, 8], [1, 4, 13, 11], [6, 19, 28, 27]]


def made(backbone: Path | str, items: Items | None = None, attributes: int = 0, **more: Any) -> Model:
    torch.manual_seed(0)
    settings = validated(Config, SMALL | {"backbone": str(backbone)} | more, "model")
    return Model(settings, items or worlds.tiny_items(), attributes)


def steps(model: Model, count: int = 1, rate: float = 1e-2, batch: Batch | None = None) -> list[dict[str, float]]:
    """Takes some steps downhill and returns the parts of the loss."""
    optimizer = torch.optim.AdamW((p for p in model.parameters() if p.requires_grad), lr=rate)
    found = []
    for _ in range(count):
        optimizer.zero_grad()
        loss = model.train().loss(batch or worlds.training_batch_of(SEQUENCES))
        loss.total.backward()
        optimizer.step()
        assert loss.total.item() == pytest.approx(sum(loss.parts.values()), rel=1e-5)
        found.append(loss.parts)
    return found


@torch.no_grad()
def scores(model: Model, *histories: list[int]) -> Tensor:
    return model.eval().scores(worlds.batch_of(histories))


def test_frozen_weights_keep_every_bit_and_stay_out_of_the_file(backbone: Path) -> None:
    model = made(backbone)
    frozen = {name: p.clone() for name, p in model.named_parameters() if not p.requires_grad}
    steps(model, 5, rate=0.1)
    assert len(frozen) > 20
    assert all(torch.equal(model.get_parameter(name), p) for name, p in frozen.items())
    assert not set(frozen) & set(model.state())


def test_a_cold_item_is_scored_by_its_text_and_not_by_its_id(backbone: Path) -> None:
    """It is given the text of item 3; as it has no ID, it is item 3 without ID."""
    items = worlds.tiny_items()
    twin = replace(items, texts=(*items.texts[:COLD], items.texts[3]))
    other = replace(items, texts=(*items.texts[:COLD], "black mirror"))
    one, two = made(backbone, twin), made(backbone, other)
    for model in (one, two):
        torch.nn.init.normal_(model.network.tower.ids.weight)
        steps(model, 3)
    before = scores(one, [4, 13], [7])
    assert before.isfinite().all()
    assert (before[:, COLD] - scores(two, [4, 13], [7])[:, COLD]).abs().min() > 1e-3
    with torch.no_grad():
        one.network.tower.ids.weight[COLD] = 99.0
        assert torch.equal(scores(one, [4, 13], [7]), before)
        one.network.tower.ids.weight[3] = 0.0
    after = scores(one, [4, 13], [7])
    torch.testing.assert_close(after[:, 3], after[:, COLD])
    assert (after[:, 3] - before[:, 3]).abs().min() > 1e-3


def test_the_loss_asks_what_serving_answers(backbone: Path) -> None:
    model = made(backbone)
    steps(model, 3)
    batch = worlds.training_batch_of([[3, 10, 2, 7]])
    assert batch.targets is not None
    last = torch.tensor([[False, False, True]])
    loss = model.eval().loss(replace(batch, target_mask=last))
    answered = functional.cross_entropy(scores(model, [3, 10, 2]), torch.tensor([7]))
    assert loss.parts["retrieval"] == pytest.approx(answered.item(), rel=1e-4)
    assert loss.weight == 1


def test_an_empty_history_asks_for_the_average_event(backbone: Path) -> None:
    model = made(backbone).eval()
    with torch.no_grad():
        vectors = functional.normalize(model.network.tower(), dim=-1)
        mean = sum(count * v for count, v in zip(worlds.tiny_items().counts.tolist(), vectors, strict=True))
        expected = vectors @ functional.normalize(torch.as_tensor(mean), dim=0) / 0.2
    found = scores(model, [], [5, 2])
    torch.testing.assert_close(found[0], expected, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(found[1], scores(model, [5, 2])[0], rtol=1e-4, atol=1e-5)


def test_a_text_is_answered_by_the_semantic_view(backbone: Path) -> None:
    model = made(backbone)
    steps(model, 2)
    model.eval()
    with torch.no_grad():
        both = model.text_vectors(("red lamp", "a green chair by the wall | 3"))
        assert both.shape == (2, 32)
        torch.testing.assert_close(
            both[1:], model.text_vectors(("a green chair by the wall | 3",)), rtol=1e-4, atol=1e-5
        )
        assert not torch.allclose(both[0], both[1], atol=1e-2)
        torch.testing.assert_close(both.norm(dim=-1), 1 / model.network.temperature().expand(2))
    with pytest.raises(SettingError, match=r'model\.views: "behavioural": cannot read text\. Train with views'):
        made(backbone, views="behavioural").text_vectors(("red lamp",))


def test_positions_are_counted_as_the_backbone_gets_them(backbone: Path) -> None:
    words = made(backbone, views="semantic").token_counts
    assert bool((words >= 2).all())
    assert bool((words <= 4).all())
    assert torch.equal(made(backbone).token_counts, words + 1)
    assert torch.equal(made(backbone, integration="input").token_counts, words)
    assert torch.equal(made(backbone, views="behavioural").token_counts, torch.ones(30, dtype=torch.long))


SWITCHES: dict[str, dict[str, Any]] = {
    "semantic": {"views": "semantic"},
    "behavioural": {"views": "behavioural"},
    "mean": {"fusion": "mean"},
    "gate-less": {"fusion": "gate-less"},
    "input": {"integration": "input"},
    "output": {"integration": "output"},
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
    "input": {"retrieval", "balance"},
    "output": {"view_retrieval", "bpc", "balance"},
    "no bpc": ALL_PARTS - {"bpc"},
    "no view loss": ALL_PARTS - {"view_retrieval"},
}


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
    assert (found[0]["balance"] == 0) == (switch in ("no balance", "no view experts", "plain LoRA", "input"))


def readings(model: Model) -> dict[str, float]:
    steps(model)
    return model.readings


def test_readings_name_the_views_that_are_on(backbone: Path) -> None:
    for switch, named in (
        ("semantic", {"semantic"}),
        ("behavioural", {"behavioural"}),
        ("plain LoRA", {"acf"}),
        ("semantic experts only", {"semantic", "acf"}),
        ("static gates", {"semantic", "behavioural", "acf"}),
    ):
        found = readings(made(backbone, **SWITCHES[switch]))
        views = {name.split("/")[1] for name in found if not name.startswith("acf")}
        assert views | {"acf" for name in found if name.startswith("acf")} == named
    assert readings(made(backbone, fusion="mean"))["acf/share"] == 0.5
    whole = readings(made(backbone, semantic=3))
    assert sum(whole[f"experts/semantic/block1/e{n}"] for n in range(3)) == pytest.approx(1)


def trainable(model: Model) -> int:
    return sum(p.numel() for name, p in model.named_parameters() if name.endswith(("down", "up")))


def test_the_controls_have_as_many_expert_weights_as_the_claim(backbone: Path) -> None:
    sizes = {s: trainable(made(backbone, **SWITCHES[s])) for s in ("plain LoRA", "input", "output", "mean")}
    assert set(sizes.values()) == {trainable(made(backbone))}
    assert trainable(made(backbone, shared=0)) < trainable(made(backbone))
    with pytest.raises(SettingError, match=r'integration "input" needs both views\. Set views = "both"'):
        made(backbone, integration="input", views="semantic")


def collapse(backbone: Path, weight: float) -> dict[str, float]:
    """Readings after training a model whose routers start with all their trust in two of four experts."""
    model = made(backbone, balance_weight=weight, signals=("context",))
    for name, parameter in model.named_parameters():
        if "routers" in name and name.endswith("bias"):
            with torch.no_grad():
                parameter.copy_(torch.tensor([4.0, 4.0, 0.0, 0.0]))
    steps(model, 31, rate=5e-3)
    return model.readings


def test_router_collapse_is_seen_in_the_readings_and_prevented_by_the_balance_loss(backbone: Path) -> None:
    shut, open_ = collapse(backbone, 0.0), collapse(backbone, 1.0)
    for place in [f"{view}/block{block}" for view in ("semantic", "behavioural") for block in range(2)]:
        assert [shut[f"experts/{place}/e{e}"] for e in (2, 3)] == [0.0, 0.0]
        assert shut[f"entropy/{place}"] < 0.75
        assert min(open_[f"experts/{place}/e{e}"] for e in range(4)) > 0.1
        assert open_[f"entropy/{place}"] > 1.0


def test_the_adapted_side_is_refreshed_for_all_items_at_its_pace(backbone: Path) -> None:
    model = made(backbone, item_side="adapted", refresh_every=3)
    seen = []
    for step in range(7):
        if step % 3 == 0:
            with torch.no_grad():
                pooled = model.eval().network.adapted_pool(model.texts)
                expected = bank.centred(pooled, pooled.mean(0))
        steps(model, rate=0.05)
        torch.testing.assert_close(model.network.tower.text, expected, rtol=1e-4, atol=1e-5)
        seen.append(model.network.tower.text.clone())
    moved = [bool((a != b).any(1).all()) for a, b in pairwise(seen)]
    still = [torch.equal(a, b) for a, b in pairwise(seen)]
    assert moved == [False, False, True, False, False, True]
    assert still == [not m for m in moved]


def test_the_adapted_side_survives_the_trip_to_a_file(backbone: Path, tmp_path: Path) -> None:
    model, heir = (made(backbone, item_side="adapted") for _ in range(2))
    steps(model, 3)
    _checkpoint.save(model, tmp_path)
    assert not torch.equal(heir.network.tower.text, model.network.tower.text)
    _checkpoint.load(heir, tmp_path)
    assert torch.equal(heir.network.tower.text, model.network.tower.text)
    assert torch.equal(scores(heir, [3, 10], []), scores(model, [3, 10], []))
    assert int(heir.steps) == 3


def test_random_weights_are_pooled_anew_and_never_taken_from_disk(backbone: Path) -> None:
    """Otherwise the vectors of one random backbone, or of the trained one, would stand for another."""
    trained = made(backbone)
    torch.manual_seed(1)
    one = Model(trained.config.model_copy(update={"pretrained": False}), worlds.tiny_items())
    torch.manual_seed(2)
    two = Model(one.config, worlds.tiny_items())
    texts = [model.network.tower.text for model in (trained, one, two, made(backbone))]
    assert torch.equal(texts[0], texts[3])
    assert not torch.allclose(texts[0], texts[1], atol=1e-3)
    assert not torch.allclose(texts[1], texts[2], atol=1e-3)


def test_a_history_that_the_backbone_cannot_hold_is_refused(backbone: Path) -> None:
    model = made(backbone, history=100)
    with pytest.raises(BackboneError, match=r"positions: BertModel has 256\. Lower model\.history, model\.tokens_per"):
        model.loss(worlds.training_batch_of([[5] * 101]))


def test_a_backbone_out_of_reach_is_one_line() -> None:
    with pytest.raises(BackboneError, match=r'model\.backbone: "nobody/nothing": cannot be loaded') as caught:
        made("nobody/nothing")
    assert "\n" not in str(caught.value)


def test_minilm_trains_as_it_comes_out_of_the_box(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("L2REC_CACHE", str(tmp_path))
    model = Model(Config(), worlds.tiny_items())
    assert model.config.backbone == MINILM
    frozen = {name: p.clone() for name, p in model.named_parameters() if not p.requires_grad}
    found = steps(model, 6, rate=1e-3)
    assert found[-1]["retrieval"] < found[0]["retrieval"]
    assert all(torch.equal(model.get_parameter(name), p) for name, p in frozen.items())
    assert {name.split("/")[2] for name in model.readings if name.startswith("experts")} == {
        f"block{n}" for n in range(6)
    }
    assert scores(model, [3, 10, 2], []).isfinite().all()
