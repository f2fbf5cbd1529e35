"""What lists are like: coverage, Gini, novelty, similarity and lift are what their slow definitions say."""

import math
from itertools import combinations

import numpy as np
import pytest
import torch

from l2rec.config import EvaluationSettings
from l2rec.errors import SettingError
from l2rec.evaluation.beyond import attribute_vectors, beyond, gini
from l2rec.evaluation.ranking import Rankings, rank
from l2rec.types import Cases, Items
from tests import worlds

K = 10


def listed(lists: list[list[int]], users: list[int] | None = None) -> Rankings:
    """Rankings with these lists; one that is shorter than the longest is padded as `rank` pads."""
    width = max(len(row) for row in lists)
    grid = torch.tensor([row + [0] * (width - len(row)) for row in lists])
    scores = torch.tensor([[1.0] * len(row) + [-math.inf] * (width - len(row)) for row in lists])
    zeros = torch.zeros(len(lists)).long()
    owners = zeros + torch.arange(len(lists)) if users is None else torch.tensor(users)
    return Rankings(owners, zeros, zeros, zeros, zeros, grid, scores)


def catalogue(counts: list[int], attributes: list[tuple[str, ...]] | None = None) -> Items:
    names = tuple(str(i) for i in range(len(counts)))
    given = tuple(attributes) if attributes is not None else tuple(() for _ in counts)
    return Items(names, names, given, torch.tensor(counts))


def test_all_values_are_those_of_their_definitions(items: Items, cases: Cases) -> None:
    chance = torch.Generator().manual_seed(5)
    rankings = rank(
        lambda batch: torch.rand(len(batch), len(items), generator=chance),
        cases,
        history=5,
        token_counts=torch.ones(len(items)).long(),
        settings=EvaluationSettings(),
    )
    found = beyond(rankings, items, cases.histories, K)
    lists = [row[there][:K].tolist() for row, there in zip(rankings.lists, rankings.listed(), strict=True)]
    counts = items.counts.tolist()
    flat = [i for row in lists for i in row]
    assert found[f"coverage@{K}"] == pytest.approx(len(set(flat)) / len(items))
    uses = [flat.count(i) for i in range(len(items))]
    apart = sum(abs(a - b) for a in uses for b in uses) / (2 * len(items) * sum(uses))
    assert found[f"gini@{K}"] == pytest.approx(apart)
    bits = [-math.log2((c + 1) / (sum(counts) + len(counts))) for c in counts]
    assert found[f"novelty@{K}"] == pytest.approx(np.mean([np.mean([bits[i] for i in row]) for row in lists]))
    vectors = attribute_vectors(items).toarray()
    pairs = [np.mean([vectors[a] @ vectors[b] for a, b in combinations(row, 2)]) for row in lists]
    assert found[f"similarity@{K}"] == pytest.approx(np.mean(pairs))
    own = [[counts[int(i)] for i in cases.histories.sequence(u)] for u in range(len(cases))]
    shown = np.mean([np.mean([counts[i] for i in row]) for row, mine in zip(lists, own, strict=True) if mine])
    assert found[f"lift@{K}"] == pytest.approx(shown / np.mean([np.mean(mine) for mine in own if mine]) - 1)


def test_showing_everybody_the_same_is_unequal_and_showing_everything_is_equal() -> None:
    items, nothing = catalogue([1] * 6), worlds.histories_of([[], [], []])
    same = beyond(listed([[1, 2]] * 3), items, nothing, 2)
    every = beyond(listed([[0, 1], [2, 3], [4, 5]]), items, nothing, 2)
    assert (same["coverage@2"], every["coverage@2"]) == (pytest.approx(1 / 3), 1.0)
    assert (same["gini@2"], every["gini@2"]) == (pytest.approx(2 / 3), pytest.approx(0.0))


def test_the_gini_of_one_item_having_everything_is_almost_one() -> None:
    assert gini(np.array([0, 0, 0, 7])) == pytest.approx(3 / 4)
    assert math.isnan(gini(np.zeros(4, dtype=np.int64)))


def test_novelty_is_in_bits() -> None:
    found = beyond(listed([[0], [1]]), catalogue([3, 1, 0, 0]), worlds.histories_of([[], []]), 1)
    assert found["novelty@1"] == pytest.approx((1 + 2) / 2)


def test_items_without_attributes_are_alike_to_none() -> None:
    items = catalogue([1] * 4, [("a=1", "all=1"), ("a=1", "all=1"), ("all=1",), ("all=1",)])
    nothing = worlds.histories_of([[]])
    assert beyond(listed([[0, 1]]), items, nothing, 2)["similarity@2"] == pytest.approx(1.0)
    assert beyond(listed([[2, 3]]), items, nothing, 2)["similarity@2"] == 0.0
    assert beyond(listed([[0, 1, 2]]), items, nothing, 3)["similarity@3"] == pytest.approx(1 / 3)
    assert math.isnan(beyond(listed([[0]]), items, nothing, 1)["similarity@1"])
    assert beyond(listed([[0, 1]]), catalogue([1, 1]), nothing, 2)["similarity@2"] == 0.0


def test_an_attribute_that_few_have_ties_closer_than_one_that_many_have() -> None:
    rows = [("rare=1", "x=1"), ("rare=1", "y=1"), ("often=1", "x=1"), ("often=1", "y=1"), ("often=1",), ("often=1",)]
    vectors = attribute_vectors(catalogue([1] * 6, rows)).toarray()
    assert vectors[0] @ vectors[1] > vectors[2] @ vectors[3] > 0
    assert np.linalg.norm(vectors, axis=1) == pytest.approx(1.0)


def test_given_vectors_decide_what_is_alike() -> None:
    vectors = torch.tensor([[1.0, 0.0], [3.0, 0.0], [0.0, 2.0], [0.0, 0.0]])
    nothing = worlds.histories_of([[], []])
    found = beyond(listed([[0, 1], [0, 2]]), catalogue([1] * 4), nothing, 2, vectors)
    assert found["similarity@2"] == pytest.approx(0.5)


def test_lift_is_zero_where_lists_are_as_popular_as_histories() -> None:
    items = catalogue([8, 4, 2, 1])
    alike = beyond(listed([[0, 3], [1]]), items, worlds.histories_of([[3, 0], [1]]), 2)
    assert alike["lift@2"] == pytest.approx(0.0)
    twice = beyond(listed([[0, 0], [1]]), items, worlds.histories_of([[1, 1], [2]]), 2)
    assert twice["lift@2"] == pytest.approx(1.0)
    assert math.isnan(beyond(listed([[0]]), items, worlds.histories_of([[]]), 1)["lift@1"])


def test_a_user_with_many_lists_counts_once() -> None:
    items = catalogue([3, 1, 0, 0])
    found = beyond(listed([[0], [0], [0], [1]], users=[4, 4, 4, 2]), items, worlds.histories_of([[]] * 4), 1)
    assert found["novelty@1"] == pytest.approx((1 + 2) / 2)


def test_places_that_hold_no_candidate_do_not_count() -> None:
    found = beyond(listed([[1], [1, 2]]), catalogue([1] * 4), worlds.histories_of([[], []]), 2)
    assert found["coverage@2"] == 0.5


def test_lists_that_are_too_short_are_refused() -> None:
    with pytest.raises(SettingError, match=r"cutoff 3: the lists have 2 places\. Add 3 to evaluation\.cutoffs\."):
        beyond(listed([[0, 1]]), catalogue([1] * 4), worlds.histories_of([[]]), 3)
