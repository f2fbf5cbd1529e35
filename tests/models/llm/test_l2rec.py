"""L2Rec's own promises: frozen for good, cold items by their text, a text as a query, a fresh item side."""

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from torch.nn import functional

from l2rec.data.batches import TrainingBatches
from l2rec.errors import BackboneError, RunError, SettingError
from l2rec.models import _checkpoint
from l2rec.models.llm.l2rec import Config, Model
from l2rec.nn import bank
from l2rec.nn.backbone import MINILM
from l2rec.types import Batch
from tests import worlds
from tests.models.llm.little import SEQUENCES, made, scores, steps
from tests.nn.test_fusion import slow_bpc

COLD = 29


def test_frozen_weights_keep_every_bit_and_stay_out_of_the_file(backbone: Path) -> None:
    model = made(backbone)
    frozen = {name: p.clone() for name, p in model.named_parameters() if not p.requires_grad}
    steps(model, 5, rate=0.1)
    assert len(frozen) > 20
    assert all(torch.equal(model.get_parameter(name), p) for name, p in frozen.items())
    assert not set(frozen) & set(model.state())


def test_a_cold_item_is_scored_by_its_text_and_not_by_its_id(backbone: Path) -> None:
    """It is given the text, title and attributes of item 3; as it has no ID, it is item 3 without ID."""
    items = worlds.tiny_items()
    twin = replace(
        items,
        texts=(*items.texts[:COLD], items.texts[3]),
        titles=(*items.titles[:COLD], items.titles[3]),
        attributes=(*items.attributes[:COLD], items.attributes[3]),
    )
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


@torch.no_grad()
def bpc_of(model: Model, batch: Batch, owners: list[list[int]]) -> tuple[float, float]:
    """The model's BPC loss, and the slow one in which the cell of row r and column c belongs to `owners[r][c]`."""
    assert batch.target_mask is not None
    at = batch.target_mask
    rows, _ = model.eval().network.rows(batch, model.tokens)
    semantic, behavioural = model.network.said(rows, at)
    asked = [owners[r][c] for r, c in at.nonzero().tolist()]
    slow = slow_bpc(semantic, behavioural, asked, model.config.bpc_temperature)
    return model.loss(batch).parts["bpc"], model.config.bpc_weight * slow


def windows(sequences: list[list[int]], length: int) -> Batch:
    """All windows of the sequences in one batch; a timestamp is 1000 times the user and the place."""
    times = [[1000 * user + place for place in range(len(s))] for user, s in enumerate(sequences)]
    histories = worlds.histories_of(sequences, times)
    ones = torch.ones(30, dtype=torch.long)
    (batch,) = TrainingBatches(histories, length=length, batch_size=64, token_counts=ones, seed=0, epoch=0)
    return batch


def test_two_windows_of_one_user_are_no_rivals_in_the_contrastive_loss(backbone: Path) -> None:
    model = made(backbone, bpc_weight=1.0)
    steps(model, 2)
    batch = windows([[3, 10, 2, 8, 17], [7, 22, 8, 1, 4, 13, 11, 6, 19], [28, 27, 5, 6, 7], [9]], length=4)
    by_user = (batch.times // 1000).tolist()
    assert sorted(row[0] for row in by_user) in ([0, 1, 1, 2], [0, 1, 1, 1, 2])
    found, expected = bpc_of(model, batch, by_user)
    assert found == pytest.approx(expected, rel=1e-4)
    blind, as_rivals = bpc_of(model, replace(batch, users=None), [[r] * 4 for r in range(len(batch))])
    assert blind == pytest.approx(as_rivals, rel=1e-4)
    assert blind > found + 0.01


def test_what_comes_past_the_backbone_does_not_tie_the_views(backbone: Path) -> None:
    model = made(backbone, bpc_weight=1.0).eval()
    batch = worlds.training_batch_of(SEQUENCES)
    apart = model.loss(batch).parts["bpc"]
    assert model.network.shortcut is not None
    with torch.no_grad():
        model.network.shortcut.map.weight *= 10
    assert model.loss(batch).parts["bpc"] == pytest.approx(apart, rel=1e-6)


def test_where_every_history_is_one_window_the_users_change_no_bit(backbone: Path) -> None:
    model = made(backbone)
    steps(model, 2)
    batch = windows([[3, 10, 2, 8, 17], [7, 22, 8, 1, 4], [], [28, 27, 5, 6, 7]], length=4)
    assert batch.users is not None
    assert sorted(batch.users.tolist()) == [0, 1, 3]
    one, two = (model.eval().loss(b) for b in (batch, replace(batch, users=None)))
    assert torch.equal(one.total, two.total)
    assert one.parts == two.parts


def test_an_empty_history_asks_for_the_average_event(backbone: Path) -> None:
    model = made(backbone).eval()
    with torch.no_grad():
        vectors = functional.normalize(model.network.tower(), dim=-1)
        mean = sum(count * v for count, v in zip(worlds.tiny_items().counts.tolist(), vectors, strict=True))
        expected = vectors @ functional.normalize(torch.as_tensor(mean), dim=0) / 0.2
    found = scores(model, [], [5, 2])
    torch.testing.assert_close(found[0], expected, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(found[1], scores(model, [5, 2])[0], rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_the_average_event_is_made_once_and_anew_after_every_change(
    backbone: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, calls = made(backbone).eval(), []
    whole = model.item_vectors
    monkeypatch.setattr(model, "item_vectors", lambda: calls.append(1) or whole())
    batch = worlds.batch_of([[]])

    def asked() -> torch.Tensor:
        return model.user_vectors(batch)

    first = asked()
    assert torch.equal(asked(), first)
    assert len(calls) == 1
    tower = model.network.tower
    for tensor in (tower.ids.weight, tower.projection.weight, tower.text, model.counts):
        tensor[3] += 1.0
        before, first = first, asked()
        assert not torch.equal(first, before)
        assert torch.equal(first, asked())
    assert len(calls) == 5
    state = {name: tensor + 1.0 for name, tensor in model.state().items() if tensor.is_floating_point()}
    model.load_state(model.state() | state)
    assert not torch.equal(asked(), first)
    with torch.enable_grad():
        assert asked().requires_grad


def test_positions_are_counted_as_the_backbone_gets_them(backbone: Path) -> None:
    words = made(backbone, views="semantic").token_counts
    assert bool((words >= 2).all())
    assert bool((words <= 4).all())
    assert torch.equal(made(backbone).token_counts, words + 1)
    assert torch.equal(made(backbone, integration="input").token_counts, words)
    assert torch.equal(made(backbone, views="behavioural").token_counts, torch.ones(30, dtype=torch.long))


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


def test_an_adapted_side_without_its_mean_is_refused_with_the_remedy(backbone: Path) -> None:
    model, heir = (made(backbone, item_side="adapted") for _ in range(2))
    state = model.state()
    heir.load_state(state)
    del state["adapted_mean"]
    with pytest.raises(
        RunError, match=r"^weights: adapted_mean: missing: an earlier l2rec [^\n]* Train the run again\.$"
    ):
        heir.load_state(state)
    with pytest.raises(RunError, match=r"does not fit the model's settings\. Use the run's own config\.toml"):
        heir.load_state(made(backbone).state())


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


def test_a_text_that_the_backbone_cannot_hold_is_refused(backbone: Path) -> None:
    model = made(backbone, item_tokens=300)
    with pytest.raises(BackboneError, match=r"positions: BertModel has 256\. Lower model\.history, model\.tokens_per"):
        model.text_vectors(("red " * 400,))


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
    moved = {name for name, p in model.named_parameters() if name.endswith("up") and bool(p.any())}
    assert len(moved) == 12, "both feed-forward matrices of six blocks"
    assert model.readings == {}, "no gate, no router"
    assert scores(model, [3, 10, 2], []).isfinite().all()


def test_a_history_longer_than_the_backbone_is_refused_before_the_first_step(backbone: Path) -> None:
    with pytest.raises(
        SettingError, match=r"model\.history: 64 items of 4 tokens: up to 257 positions, and .* has 256\."
    ):
        made(backbone, history=64)
    assert made(backbone, history=63).config.history == 63
    assert made(backbone, history=255, views="behavioural").config.views == "behavioural"
