"""The third signal is the transition floor's own score, added with its weight, and no part of what is learnt."""

from pathlib import Path

import pytest
import torch

from l2rec.config import TrainingSettings
from l2rec.errors import RunError
from l2rec.models import Learner, Retriever, _checkpoint, find
from l2rec.models.floors import transition
from l2rec.training.loop import Occasion, fit
from tests import worlds
from tests.models.test_every_model import LEARNERS, small_settings

WEIGHT = 3.0
COUNTED = {"window": 2, "reverse": 0.5, "history": 3}

every_model_that_takes_one = pytest.mark.parametrize(
    "name", [name for name in LEARNERS if "transition_weight" in find(name).config.model_fields]
)


def retriever(name: str, backbone: Path, weight: float) -> Retriever:
    torch.manual_seed(0)
    settings = small_settings(name, backbone, transition_weight=weight, transition=COUNTED)
    model = find(name).model(settings, worlds.tiny_items(), 0).eval()
    assert isinstance(model, Retriever)
    return model


def counted(name: str, backbone: Path) -> Retriever:
    model = retriever(name, backbone, WEIGHT)
    assert model.third is not None
    model.third.count(worlds.tiny_histories())
    return model


def floor() -> transition.Model:
    model = transition.Model(transition.Config.model_validate(COUNTED), worlds.tiny_items())
    model.count(worlds.tiny_histories())
    return model


def trained(name: str, backbone: Path, weight: float, folder: Path) -> Learner:
    model = retriever(name, backbone, weight)
    settings = TrainingSettings(epochs=2, batch_size=8, precision="fp32")
    occasion = Occasion(folder=folder, seed=0, validate=lambda model: {"ndcg@10": 0.5}, device="cpu")
    fit(model, worlds.tiny_histories(), settings, occasion)
    return model


@every_model_that_takes_one
@torch.no_grad()
def test_scores_are_the_dot_products_plus_the_weighted_score_of_the_floor(name: str, backbone: Path) -> None:
    model, batch = counted(name, backbone), worlds.batch_of([[3, 10, 2], [], [29, 1]])
    dots = model.user_vectors(batch) @ model.item_vectors().T
    assert torch.equal(model.scores(batch), dots + WEIGHT * floor().scores(batch))
    assert floor().scores(batch)[0].std() > 0


@every_model_that_takes_one
def test_a_weight_of_zero_leaves_the_dot_products_alone(name: str, backbone: Path) -> None:
    model = retriever(name, backbone, 0.0)
    assert model.third is None
    assert not any(key.startswith("third") for key in model.state())


@every_model_that_takes_one
def test_training_counts_the_training_part_and_learns_what_it_learns_without(
    name: str, backbone: Path, tmp_path: Path
) -> None:
    plain = trained(name, backbone, 0.0, tmp_path / "plain")
    model = trained(name, backbone, WEIGHT, tmp_path / "third")
    state = model.state()
    assert all(torch.equal(tensor, state[key]) for key, tensor in plain.state().items())
    for key, tensor in floor().state().items():
        assert torch.equal(state["third." + key], tensor)


@every_model_that_takes_one
def test_the_counts_survive_the_trip_to_a_file(name: str, backbone: Path, tmp_path: Path) -> None:
    model, batch = counted(name, backbone), worlds.batch_of([[3, 10, 2], [29, 1]])
    _checkpoint.save(model, tmp_path)
    again = retriever(name, backbone, WEIGHT)
    _checkpoint.load(again, tmp_path)
    with torch.no_grad():
        assert torch.equal(again.scores(batch), model.scores(batch))


@every_model_that_takes_one
def test_weights_without_the_counts_are_refused(name: str, backbone: Path, tmp_path: Path) -> None:
    _checkpoint.save(retriever(name, backbone, 0.0), tmp_path)
    with pytest.raises(RunError, match=r"weights: third\.events: does not fit the model's settings"):
        _checkpoint.load(retriever(name, backbone, WEIGHT), tmp_path)
