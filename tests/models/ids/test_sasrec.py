"""What SASRec alone promises; what every model owes is tested in `test_every_model`."""

import math
from dataclasses import replace

import pytest
import torch
from torch.nn import functional

from l2rec.config import validated
from l2rec.errors import SettingError
from l2rec.models.ids.sasrec import Config, Model
from tests import worlds


def small(**settings: object) -> Model:
    torch.manual_seed(0)
    config = Config.model_validate({"history": 8, "width": 16, "layers": 1, "dropout": 0.0, **settings})
    return Model(config, worlds.tiny_items()).eval()


def test_it_learns_what_follows_what() -> None:
    assert worlds.right_successors(small(width=32, smoothing=0.0)) >= 27


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_the_full_loss_is_the_cross_entropy_of_its_own_scores(smoothing: float) -> None:
    model = small(smoothing=smoothing)
    sequences = [[3, 10, 2, 7], [7, 22], [1, 4, 13]]
    prefixes = [s[:end] for s in sequences for end in range(1, len(s))]
    targets = torch.tensor([s[end] for s in sequences for end in range(1, len(s))])
    scores = model.scores(worlds.batch_of(prefixes))
    expected = functional.cross_entropy(scores, targets, label_smoothing=smoothing)
    loss = model.loss(worlds.training_batch_of(sequences, width=5))
    torch.testing.assert_close(loss.total, expected)
    assert loss.weight == 6
    assert loss.parts["retrieval"] == pytest.approx(loss.total.item())


def test_with_words_the_loss_and_what_is_read_are_of_the_same_item_vectors() -> None:
    model = small(words=True, smoothing=0.1)
    assert model.words is not None
    torch.nn.init.normal_(model.words.vectors.weight)
    vectors = model.item_vectors()
    torch.testing.assert_close(vectors, model.items.weight + model.words())
    some = torch.tensor([[3, 10], [0, 3]])
    torch.testing.assert_close(model.vectors_of(some), vectors[some])
    scores = model.scores(worlds.batch_of([[3], [3, 10]]))
    expected = functional.cross_entropy(scores, torch.tensor([10, 2]), label_smoothing=0.1)
    torch.testing.assert_close(model.loss(worlds.training_batch_of([[3, 10, 2]])).total, expected)
    model.loss(worlds.training_batch_of([[3, 10, 2]])).total.backward()
    assert bool(model.words.vectors.weight.grad.any())  # type: ignore[union-attr]


def test_only_positions_of_the_target_mask_are_asked() -> None:
    model = small()
    batch = worlds.training_batch_of([[3, 10, 2, 7], [7, 22, 8, 25]])
    assert batch.target_mask is not None
    one = replace(batch, target_mask=batch.target_mask & (torch.arange(3) == 1))
    expected = model.loss(worlds.training_batch_of([[3, 10, 2], [7, 22, 8]]))
    first = model.loss(worlds.training_batch_of([[3, 10], [7, 22]]))
    assert model.loss(one).weight == 2
    torch.testing.assert_close(model.loss(one).total, 2 * expected.total - first.total)


def test_many_sampled_negatives_give_the_full_loss() -> None:
    batch = worlds.training_batch_of([[3, 10, 2, 7], [7, 22], [1, 4, 13]])
    full = small(smoothing=0.0).loss(batch).total.item()
    for draw in ("uniform", "popularity"):
        sampled = small(loss="sampled", negatives=100_000, draw=draw).loss(batch).total.item()
        assert sampled == pytest.approx(full, rel=1e-3)


def test_a_cold_item_can_be_drawn_by_popularity() -> None:
    model = small(loss="sampled", draw="popularity")
    assert torch.equal(model.weights, torch.arange(30, 0, -1))


def test_scores_are_dot_products_with_the_table_that_is_read() -> None:
    model = small(layers=0)
    vector = model.user_vectors(worlds.batch_of([[5, 9]]))
    read = math.sqrt(16) * model.items.weight[9] + model.positions.weight[1]
    torch.testing.assert_close(vector[0], functional.layer_norm(read, (16,)), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(model.scores(worlds.batch_of([[5, 9]])), vector @ model.items.weight.T)


def test_heads_that_do_not_divide_the_width_are_refused() -> None:
    with pytest.raises(SettingError, match=r"heads 3 do not divide width 16\. Set heads to a divisor of it"):
        validated(Config, {"width": 16, "heads": 3}, "model")


def test_a_batch_without_targets_is_our_bug() -> None:
    with pytest.raises(ValueError, match="has targets"):
        small().loss(worlds.batch_of([[1, 2]]))
