"""What every model owes: each test runs for every file that the finder sees, so a new model is tested unasked."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from l2rec.config import ModelSettings, TrainingSettings, read_toml, to_toml, validated
from l2rec.models import Counter, Learner, Recommender, _checkpoint, find, names
from l2rec.nn.router import SIGNALS
from l2rec.training.loop import Occasion, fit
from l2rec.types import Batch
from tests import worlds

SMALL: dict[str, Any] = {
    "history": 8,
    "width": 16,
    "heads": 2,
    "layers": 1,
    "dtype": "float32",
    "rank": 2,
    "tokens_per_item": 4,
    "views": "both",
    "fusion": "acf",
    "semantic": 4,
    "behavioural": 4,
    "signals": SIGNALS,
    "item_tokens": 8,
    "projector_width": 16,
    "preparation": 1,
    "transition_weight": 0.0,
}
"""What keeps a model small, by the names of fields; a model takes those that it has."""

HISTORIES = [[], [4], [3, 10, 2], [7, 22, 8, 25, 18], [29, 1], [5, 5, 5]]

LEARNERS = [name for name in names() if issubclass(find(name).model, Learner)]
THE_SAME_FOR_EVERYBODY = {"popularity", "recent_popularity"}

every_model = pytest.mark.parametrize("name", names())
every_learner = pytest.mark.parametrize("name", LEARNERS)
every_personal_model = pytest.mark.parametrize("name", sorted({*names()} - THE_SAME_FOR_EVERYBODY))


def small_settings(name: str, backbone: Path, **more: Any) -> ModelSettings:
    """The model's own settings, small; `more` counts where the model has such a field."""
    kind = find(name).config
    wished = SMALL | {"backbone": str(backbone)} | more
    return validated(kind, {field: value for field, value in wished.items() if field in kind.model_fields}, "model")


def fresh(name: str, backbone: Path, *, seed: int = 0, attributes: int = 0, **more: Any) -> Recommender:
    torch.manual_seed(seed)
    settings = small_settings(name, backbone, **more)
    return find(name).model(settings, worlds.tiny_items(), attributes).eval()


def learnt(name: str, backbone: Path, **more: Any) -> Recommender:
    """A model that has counted the little world, or taken a few steps in it, and so is far from its zeros."""
    model = fresh(name, backbone, **more)
    if isinstance(model, Counter):
        model.count(worlds.tiny_histories())
    if isinstance(model, Learner):
        optimizer = torch.optim.AdamW((p for p in model.parameters() if p.requires_grad), lr=1e-2)
        batch = worlds.training_batch_of([s for s in worlds.tiny_sequences(longest=6) if len(s) > 1][:12])
        for _ in range(3):
            optimizer.zero_grad()
            model.loss(batch).total.backward()
            optimizer.step()
    return model


def learner(name: str, backbone: Path, **more: Any) -> Learner:
    model = learnt(name, backbone, **more)
    assert isinstance(model, Learner)
    return model


@torch.no_grad()
def scores(model: Recommender, batch: Batch) -> Tensor:
    return model.scores(batch)


def with_junk(batch: Batch, columns: int, number: int) -> Batch:
    """The batch, wider by some columns, with a real item number and time wherever the mask is False."""
    widen = torch.nn.functional.pad
    mask = widen(batch.mask, (0, columns), value=False)
    items = widen(batch.items, (0, columns)).masked_fill(~mask, number)
    times = widen(batch.times, (0, columns)).masked_fill(~mask, 10**9)
    return replace(batch, items=items, mask=mask, times=times)


@every_model
def test_it_offers_settings_a_model_and_a_sentence(name: str) -> None:
    found = find(name)
    assert issubclass(found.config, ModelSettings)
    assert issubclass(found.model, Counter | Learner)
    assert len(found.summary) > 20
    assert found.summary.endswith(".")


@every_model
def test_every_setting_says_what_it_is(name: str) -> None:
    for field, about in find(name).config.model_fields.items():
        assert about.description, f"{name}.{field} has no docstring"
        assert about.description.strip().endswith("."), f"{name}.{field}: {about.description}"


@every_model
def test_settings_survive_the_trip_to_a_file(name: str, backbone: Path, tmp_path: Path) -> None:
    for settings in (find(name).config(), small_settings(name, backbone)):
        path = tmp_path / "config.toml"
        path.write_text(to_toml({"model": {"name": name, **settings.model_dump(mode="json")}}), encoding="utf-8")
        values = read_toml(path)["model"]
        assert values.pop("name") == name
        assert validated(type(settings), values, "model") == settings


@every_model
@pytest.mark.parametrize("attributes", [0, 3])
def test_every_item_has_a_finite_score_for_every_history(name: str, backbone: Path, attributes: int) -> None:
    untrained = fresh(name, backbone, attributes=attributes)
    for model in (untrained, learnt(name, backbone)):
        batch = worlds.batch_of(HISTORIES, attributes=model.attribute_count)
        found = scores(model, batch)
        assert found.shape == (len(HISTORIES), 30)
        assert found.isfinite().all()


@every_model
def test_empty_histories_score_alike(name: str, backbone: Path) -> None:
    found = scores(learnt(name, backbone), worlds.batch_of([[], []]))
    assert found.isfinite().all()
    assert torch.equal(found[0], found[1])


@every_model
def test_a_history_scores_the_same_alone_and_in_a_crowd(name: str, backbone: Path) -> None:
    model = learnt(name, backbone)
    crowd = scores(model, worlds.batch_of(HISTORIES))
    alone = torch.cat([scores(model, worlds.batch_of([history])) for history in HISTORIES])
    torch.testing.assert_close(crowd, alone, rtol=1e-4, atol=1e-5)


@every_model
def test_padding_changes_nothing(name: str, backbone: Path) -> None:
    model = learnt(name, backbone)
    batch = worlds.batch_of(HISTORIES)
    torch.testing.assert_close(scores(model, with_junk(batch, 3, 11)), scores(model, batch), rtol=1e-4, atol=1e-5)


@every_model
def test_the_future_changes_no_score(name: str, backbone: Path) -> None:
    model = learnt(name, backbone)
    whole = worlds.batch_of([[3, 10, 2, 7, 22], [7, 22, 8, 25, 18]])
    for seen in range(1, 5):
        before = torch.arange(5).expand(2, 5) < seen
        hidden = scores(model, replace(whole, mask=before))
        absent = scores(model, worlds.batch_of([[3, 10, 2, 7, 22][:seen], [7, 22, 8, 25, 18][:seen]]))
        torch.testing.assert_close(hidden, absent, rtol=1e-4, atol=1e-5)


@every_personal_model
def test_the_past_does_change_a_score(name: str, backbone: Path) -> None:
    """Without this, a model that ignores its history would pass the test above."""
    found = scores(learnt(name, backbone), worlds.batch_of([[4], [7]]))
    assert not torch.allclose(found[0], found[1], rtol=1e-4)


@every_learner
def test_the_future_changes_no_loss_and_no_gradient(name: str, backbone: Path) -> None:
    """Only early positions are asked, and the events after them are other ones; load balance looks at all positions."""
    model = learner(name, backbone, balance_weight=0.0)
    early = torch.tensor([[True, True, False, False, False]] * 2)
    one = worlds.training_batch_of([[3, 10, 2, 7, 22, 8], [7, 22, 8, 25, 18, 26]])
    other = worlds.training_batch_of([[3, 10, 2, 14, 1, 19], [7, 22, 8, 0, 29, 4]])
    results = []
    for batch in (one, other):
        model.zero_grad()
        torch.manual_seed(1)
        loss = model.loss(replace(batch, target_mask=early)).total
        loss.backward()
        gradient = [p.grad.flatten() for p in model.parameters() if p.grad is not None]
        results.append((loss.detach(), torch.cat(gradient)))
    assert results[0][1].abs().max() > 1e-4
    torch.testing.assert_close(results[0], results[1], rtol=1e-4, atol=1e-5)


@every_learner
def test_one_step_downhill_lowers_the_loss(name: str, backbone: Path) -> None:
    model = learner(name, backbone)
    batch = worlds.training_batch_of([[3, 10, 2, 7, 22], [7, 22, 8], [1, 4, 13, 11]])
    torch.manual_seed(1)
    before = model.loss(batch)
    before.total.backward()
    slopes = [(p, p.grad) for p in model.parameters() if p.grad is not None]
    steepness = torch.stack([g.square().sum() for _, g in slopes]).sum().sqrt()
    with torch.no_grad():
        for parameter, gradient in slopes:
            parameter.sub_(1e-2 / steepness * gradient)
    torch.manual_seed(1)
    after = model.loss(batch)
    assert after.total.item() < before.total.item() - 1e-3 * steepness.item()
    assert before.weight == after.weight == 9


@every_learner
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_a_step_in_bf16_works_with_frozen_weights_of_either_kind(name: str, dtype: str, backbone: Path) -> None:
    model = fresh(name, backbone, dtype=dtype, preparation=0)
    assert isinstance(model, Learner)
    batch = worlds.training_batch_of([[3, 10, 2, 7, 22], [7, 22, 8], [1, 4, 13, 11]])
    with torch.autocast("cpu", torch.bfloat16):
        model.train().loss(batch).total.backward()
    slopes = [p.grad for p in model.parameters() if p.grad is not None]
    assert slopes
    assert all(bool(slope.isfinite().all()) for slope in slopes)


@every_model
def test_save_and_load_change_nothing(name: str, backbone: Path, tmp_path: Path) -> None:
    model = learnt(name, backbone)
    _checkpoint.save(model, tmp_path)
    other = fresh(name, backbone, seed=1)
    batch = worlds.batch_of(HISTORIES)
    assert not torch.equal(scores(other, batch), scores(model, batch))
    _checkpoint.load(other, tmp_path)
    assert torch.equal(scores(other, batch), scores(model, batch))
    assert {n: t.shape for n, t in other.state().items()} == {n: t.shape for n, t in model.state().items()}


@every_learner
def test_a_training_that_died_and_was_resumed_ends_like_an_uninterrupted_one(
    name: str, backbone: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = TrainingSettings(epochs=2, batch_size=8, checkpoint_every=2, precision="fp32", patience=9)
    train = worlds.tiny_histories(longest=5)

    class DiedError(Exception):
        pass

    def run(model: Learner, folder: str, *, resume: bool = False) -> Tensor:
        occasion = Occasion(tmp_path / folder, 3, lambda m: {"ndcg@10": 0.5}, resume, False, "cpu")
        fit(model, train, settings, occasion)
        return scores(model.eval(), worlds.batch_of(HISTORIES))

    model = fresh(name, backbone)
    assert isinstance(model, Learner)
    whole = run(model, "whole")
    mortal, steps, loss = fresh(name, backbone), iter(range(100)), None
    assert isinstance(mortal, Learner)
    loss = mortal.loss

    def dies_at_the_eighth(batch: Batch) -> Any:
        if next(steps) == 7:
            raise DiedError
        return loss(batch)

    monkeypatch.setattr(mortal, "loss", dies_at_the_eighth)
    with pytest.raises(DiedError):
        run(mortal, "halved")
    heir = fresh(name, backbone, seed=1)
    assert isinstance(heir, Learner)
    assert torch.equal(run(heir, "halved", resume=True), whole)
