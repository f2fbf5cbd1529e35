"""The transition floor against its definition, written as loops over pairs of events."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from l2rec.config import validated
from l2rec.models.floors.transition import Config, Model, idf_vectors, transitions
from l2rec.types import Items
from tests import worlds

N = 30
HISTORIES = [[], [4], [3, 10, 2], worlds.tiny_sequences()[7], [29, 5, 5]]


def slow_counts(sequences: Sequence[Sequence[int]], window: int, reverse: float, items: int = N) -> list[list[float]]:
    counts = [[0.0] * items for _ in range(items)]
    for sequence in sequences:
        for p, earlier in enumerate(sequence):
            for distance, later in enumerate(sequence[p + 1 : p + 1 + window], start=1):
                counts[earlier][later] += 1 / distance
                counts[later][earlier] += reverse / distance
    return counts


def slow_cosine(k: int, j: int, described: Sequence[Sequence[str]]) -> float:
    one, other = described[k], described[j]

    def idf(token: str) -> float:
        return math.log(len(described) / sum(token in own for own in described))

    def norm(tokens: Sequence[str]) -> float:
        return math.sqrt(sum(idf(t) ** 2 for t in set(tokens)))

    shared = sum(idf(token) ** 2 for token in set(one) & set(other))
    return shared / (norm(one) * norm(other)) if shared else 0.0


def slow_score(history: Sequence[int], item: int, counts: list[list[float]], items: Items, c: Config) -> float:
    score = 0.0
    for age, voter in enumerate(reversed(history[-c.history :])):
        leaves = sum(counts[voter])
        reaches = sum(row[item] for row in counts)
        if counts[voter][item]:
            score += c.decay**age * counts[voter][item] / (leaves**c.out_power * reaches**c.in_power)
        score += c.decay**age * c.attribute_weight * slow_cosine(voter, item, items.attributes)
        score += c.decay**age * c.title_weight * slow_cosine(voter, item, [t.split() for t in items.titles])
    return score


@pytest.mark.parametrize(
    "given_settings",
    [
        {},
        {"history": 2, "window": 2, "reverse": 0.0, "decay": 0.5},
        {"out_power": 1.0, "in_power": 0.0, "attribute_weight": 0.0, "title_weight": 0.0},
        {"title_weight": 0.7, "attribute_weight": 0.4},
        {"title_weight": 0.7, "attribute_weight": 0.0},
        {"out_power": 0.3, "in_power": 0.8, "attribute_weight": 0.4, "reverse": 1.0},
    ],
)
def test_scores_follow_the_definition(given_settings: dict[str, Any]) -> None:
    config = validated(Config, given_settings | {"prior": 0.0}, "model")
    items, sequences = worlds.tiny_items(N), worlds.tiny_sequences()
    model = Model(config, items)
    model.count(worlds.histories_of(sequences))
    counts = slow_counts(sequences, config.window, config.reverse)
    expected = [[slow_score(history, item, counts, items, config) for item in range(N)] for history in HISTORIES]
    torch.testing.assert_close(model.scores(worlds.batch_of(HISTORIES)), torch.tensor(expected), rtol=1e-5, atol=1e-6)


@given(
    sequences=st.lists(st.lists(st.integers(0, 4), max_size=7), min_size=1, max_size=5),
    window=st.integers(1, 8),
    reverse=st.sampled_from([0.0, 0.3, 1.0]),
)
@settings(deadline=None, max_examples=60)
def test_counts_follow_the_definition(sequences: list[list[int]], window: int, reverse: float) -> None:
    counts = transitions(worlds.histories_of(sequences), 5, window, reverse).toarray()
    np.testing.assert_allclose(counts, slow_counts(sequences, window, reverse, 5), rtol=1e-12, atol=1e-12)


def test_no_transition_crosses_from_one_user_to_the_next() -> None:
    counts = transitions(worlds.histories_of([[0, 1], [2, 3]]), 4, 5, 1.0).toarray()
    assert counts[1, 2] == counts[2, 1] == 0.0
    assert counts[0, 1] == counts[1, 0] == 1.0


def test_an_attribute_of_every_item_and_one_given_twice_add_nothing() -> None:
    vectors = idf_vectors((("all", "a", "a"), ("all", "a"), ("all", "b"), ("all",), ("all", "all"))).toarray()
    assert np.allclose(vectors[0], vectors[1])
    assert np.allclose(np.linalg.norm(vectors[:3], axis=1), 1.0)
    assert not vectors[3:].any()


def test_items_without_attributes_have_no_vector() -> None:
    assert idf_vectors(((), ())).toarray().shape == (2, 0)
    items = Items(("a", "b"), ("a", "b"), ((), ()), torch.tensor([1, 1]))
    model = Model(Config(), items)
    model.count(worlds.histories_of([[0, 1]]))
    assert model.scores(worlds.batch_of([[0], []])).isfinite().all()


def test_a_cold_item_is_reached_by_its_attributes_alone() -> None:
    model = Model(Config(prior=0.0), worlds.tiny_items(N))
    model.count(worlds.tiny_histories())
    alike = next(
        n for n in range(N - 1) if worlds.tiny_items(N).attributes[n][0] == worlds.tiny_items(N).attributes[-1][0]
    )
    assert model.scores(worlds.batch_of([[alike]]))[0, -1] > 0
    without = Model(Config(prior=0.0, attribute_weight=0.0, title_weight=0.0), worlds.tiny_items(N))
    without.count(worlds.tiny_histories())
    assert without.scores(worlds.batch_of([[alike]]))[0, -1] == 0


def test_the_likely_successor_is_ranked_first() -> None:
    model = Model(Config(), worlds.tiny_items(N))
    model.count(worlds.tiny_histories(users=300))
    best = model.scores(worlds.batch_of([[item] for item in range(N - 1)])).argmax(1).tolist()
    assert sum(best[item] == worlds.successor(item, N) for item in range(N - 1)) >= 27
