"""Popularity against a count by hand."""

from collections import Counter

from l2rec.models.floors.popularity import Config, Model
from tests import worlds


def test_every_history_gets_the_counts() -> None:
    sequences = worlds.tiny_sequences()
    model = Model(Config(), worlds.tiny_items())
    model.count(worlds.histories_of(sequences))
    counted = Counter(item for sequence in sequences for item in sequence)
    scores = model.scores(worlds.batch_of([[], [3, 4]]))
    assert scores.tolist() == [[float(counted[item]) for item in range(30)]] * 2


def test_a_row_can_be_changed_without_changing_the_table() -> None:
    model = Model(Config(), worlds.tiny_items())
    model.count(worlds.tiny_histories())
    first = model.scores(worlds.batch_of([[1]]))
    first[:] = -1.0
    assert (model.scores(worlds.batch_of([[1]])) >= 0).all()


def test_counting_nothing_scores_zero() -> None:
    model = Model(Config(), worlds.tiny_items(3))
    model.count(worlds.histories_of([[], []]))
    assert model.scores(worlds.batch_of([[]])).tolist() == [[0.0, 0.0, 0.0]]
