"""What BERT4Rec alone promises: what is hidden, what is seen of it, and what is asked in the end."""

import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from l2rec.models.ids.bert4rec import Config, Model
from l2rec.types import Batch
from tests import worlds

SEQUENCES = [[3, 10, 2, 7, 22], [7, 22, 8], [1, 4, 13, 11]]


def small(**settings: object) -> Model:
    torch.manual_seed(0)
    config = Config.model_validate({"history": 8, "width": 16, "layers": 1, "dropout": 0.0, **settings})
    return Model(config, worlds.tiny_items()).eval()


def filled_in(model: Model, sequence: list[int], hidden: set[int]) -> Tensor:
    """The scores of all items at every place of one sequence, made of the network's parts alone."""
    vectors = [
        model.blank if n in hidden else math.sqrt(16) * model.items.weight[item] for n, item in enumerate(sequence)
    ]
    read = (torch.stack(vectors) + model.positions.weight[: len(sequence)].flip(0)).unsqueeze(0)
    states = model.network(read, torch.ones(1, len(sequence), dtype=torch.bool))[0]
    return states @ model.items.weight.T


def last_alone(batch: Batch) -> Tensor:
    assert batch.targets is not None
    return batch.targets[torch.arange(len(batch)), batch.lengths() - 1]


def test_it_learns_what_follows_what() -> None:
    """From four events: a row of one is rare where a row is hidden as a whole."""
    model = small(width=32, smoothing=0.0, history=12, layers=2)
    assert worlds.right_successors(model, steps=200, read=4) >= 27


@torch.no_grad()
def test_a_user_is_a_hidden_item_after_the_last_event() -> None:
    model = small(layers=2)
    found = model.scores(worlds.batch_of([[3, 10, 2], [], [5]], width=6))
    for row, history in zip(found, ([3, 10, 2], [], [5]), strict=True):
        expected = filled_in(model, [*history, 29], {len(history)})[len(history)]
        torch.testing.assert_close(row, expected, rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_with_the_last_alone_hidden_the_loss_is_the_cross_entropy_of_its_own_scores() -> None:
    model, batch = small(last_share=1.0, smoothing=0.1), worlds.training_batch_of(SEQUENCES)
    scores = model.scores(worlds.batch_of([s[:-1] for s in SEQUENCES]))
    expected = functional.cross_entropy(scores, last_alone(batch), label_smoothing=0.1)
    torch.testing.assert_close(model.loss(batch).total, expected)


@torch.no_grad()
def test_with_every_target_hidden_each_is_found_from_the_first_event_alone() -> None:
    model = small(hidden_share=1.0, last_share=0.0, smoothing=0.0)
    losses = []
    for sequence in SEQUENCES:
        scores = filled_in(model, sequence, set(range(1, len(sequence))))
        losses += [functional.cross_entropy(scores[n], torch.tensor(sequence[n])) for n in range(1, len(sequence))]
    found = model.loss(worlds.training_batch_of(SEQUENCES, width=7))
    torch.testing.assert_close(found.total, torch.stack(losses).mean())
    assert found.weight == len(losses) == 9


@torch.no_grad()
def test_a_hidden_item_is_found_from_both_sides_and_not_from_itself() -> None:
    model = small(layers=2)
    scores = filled_in(model, [3, 10, 2, 7], {1})[1]
    assert torch.equal(filled_in(model, [3, 25, 2, 7], {1})[1], scores)
    assert not torch.allclose(filled_in(model, [3, 10, 2, 8], {1})[1], scores)
    assert not torch.allclose(filled_in(model, [4, 10, 2, 7], {1})[1], scores)


@pytest.mark.parametrize(("share", "alone"), [(0.3, 0.0), (0.6, 0.25)])
def test_targets_are_hidden_as_often_as_the_settings_say(share: float, alone: float) -> None:
    batch = worlds.training_batch_of([list(range(9))] * 4000, width=10)
    cloze = small(hidden_share=share, last_share=alone)._drawn(batch.items, batch.targets, batch.target_mask)  # type: ignore[arg-type]
    often = cloze.hidden.float().mean(0)
    none = (1 - share) ** 8
    assert not often[0]
    assert not often[9:].any()
    assert often[1:8].tolist() == pytest.approx([(1 - alone) * share] * 7, abs=0.03)
    assert often[8].item() == pytest.approx(alone + (1 - alone) * (share + none), abs=0.03)
    assert torch.equal(cloze.items[:, :9], torch.arange(9).expand(4000, 9))
    assert cloze.seen.sum(1).eq(9).all()


def test_an_event_that_is_read_only_is_never_hidden_and_none_after_the_last_target_is_read() -> None:
    batch = worlds.training_batch_of([[3, 10, 2, 7, 22, 8]])
    assert batch.targets is not None
    asked = torch.tensor([[False, True, True, False, False]])
    cloze = small(hidden_share=1.0, last_share=0.0)._drawn(batch.items, batch.targets, asked)
    assert cloze.hidden.tolist() == [[False, False, True, True, False, False]]
    assert cloze.seen.tolist() == [[True, True, True, True, False, False]]
    nothing = replace(batch, target_mask=torch.zeros_like(asked))
    assert small().loss(nothing).total.item() == 0
