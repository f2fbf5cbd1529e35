"""The little worlds keep what their docstrings promise, and shapes are checked during the tests."""

from itertools import pairwise

import jaxtyping
import pytest
import torch

from l2rec.types import Histories, Items
from tests import worlds


def test_the_last_item_of_the_little_world_is_cold(items: Items, histories: Histories) -> None:
    assert items.counts[-1] == 0
    assert 29 not in histories.items
    assert set(histories.items.tolist()) <= set(range(29))


def test_most_events_follow_the_successor() -> None:
    pairs = [(a, b) for s in worlds.tiny_sequences(200) for a, b in pairwise(s)]
    share = sum(b == worlds.successor(a, 30) for a, b in pairs) / len(pairs)
    assert 0.7 < share < 0.9


def test_the_first_user_has_no_event_and_the_second_has_one(histories: Histories) -> None:
    assert histories.lengths()[:2].tolist() == [0, 1]


def test_a_training_batch_shifts_the_targets_by_one() -> None:
    batch = worlds.training_batch_of([[4, 5, 6], [7, 8]])
    assert batch.items.tolist() == [[4, 5], [7, 0]]
    assert batch.targets is not None
    assert batch.targets.tolist() == [[5, 6], [8, 0]]
    assert batch.mask.tolist() == [[True, True], [True, False]]
    assert batch.users is not None
    assert batch.users.tolist() == [0, 1]


def test_a_wrong_shape_is_refused_in_the_test_run() -> None:
    with pytest.raises(jaxtyping.TypeCheckError):
        Items(("a",), ("a",), ((),), torch.zeros(1, 1, dtype=torch.long))
