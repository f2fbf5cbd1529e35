"""The votes of a history and the links they follow, against loops over single numbers."""

import numpy as np
import pytest
import torch
from scipy.sparse import csr_array

from l2rec.models.floors._links import Votes, elected, empty_tables, incidence, links_of, strongest, tables_of
from tests import worlds


def slow_votes(sequence: list[int], last: int, decay: float, items: int) -> list[float]:
    weights = [0.0] * items
    for age, item in enumerate(reversed(sequence[-last:])):
        weights[item] += decay**age
    return weights


@pytest.mark.parametrize(("last", "decay"), [(1, 0.5), (3, 0.7), (50, 1.0)])
def test_the_last_items_vote_and_older_ones_fade(last: int, decay: float) -> None:
    sequences = [[], [4], [1, 2, 1, 3], worlds.tiny_sequences()[5]]
    votes = Votes(last, decay).of(worlds.batch_of(sequences), 30).toarray()
    expected = [slow_votes(sequence, last, decay, 30) for sequence in sequences]
    np.testing.assert_allclose(votes, expected, rtol=1e-6)


def test_an_item_beyond_the_catalogue_holds_its_place_and_has_no_vote() -> None:
    votes = Votes(3, 0.5).of(worlds.batch_of([[7, 1, 31, 2], [30]]), 30).toarray()
    expected = [slow_votes([7, 1, 31, 2], 3, 0.5, 32)[:30], [0.0] * 30]
    np.testing.assert_allclose(votes, expected)
    assert votes[0, [1, 2]].tolist() == [0.25, 1.0]


def test_links_survive_the_tables() -> None:
    links = csr_array(np.array([[0.0, 2.0, 0.0], [0.5, 0.0, -1.0], [0.0, 0.0, 0.0]]))
    tables = tables_of(links, worlds.histories_of([[0, 2], [2]]))
    assert (links_of(tables).toarray() == links.toarray()).all()
    assert tables["events"].tolist() == [1.0, 0.0, 2.0]


def test_no_link_and_no_event_elect_nobody() -> None:
    votes = Votes(5, 0.7).of(worlds.batch_of([[], [1]]), 3)
    assert (elected(votes, empty_tables(3), 0.1) == torch.zeros(2, 3)).all()


def test_an_empty_history_gets_the_prior_of_popularity() -> None:
    tables = tables_of(csr_array((3, 3)), worlds.histories_of([[0, 2], [2]]))
    scores = elected(Votes(5, 0.7).of(worlds.batch_of([[]]), 3), tables, 0.5)
    assert scores.tolist() == [[0.25, 0.0, 0.5]]


def test_a_repeated_item_is_one_in_the_incidence() -> None:
    had = incidence(worlds.histories_of([[1, 1, 0], [], [2]]), 3)
    assert had.toarray().tolist() == [[1.0, 1.0, 0.0], [0.0, 0.0, 0.0], [0.0, 0.0, 1.0]]


def slow_strongest(row: list[float], keep: int) -> list[float]:
    best = sorted((column for column, value in enumerate(row) if value), key=lambda c: (-abs(row[c]), c))[:keep]
    return [value if column in best else 0.0 for column, value in enumerate(row)]


@pytest.mark.parametrize("keep", [1, 2, 4, 8, 99])
def test_the_largest_links_of_every_row_are_kept(keep: int) -> None:
    dense = torch.randint(-3, 4, (12, 8)).float()
    kept = strongest(dense.split(5), 8, keep).toarray()
    assert kept.tolist() == [slow_strongest(row, keep) for row in dense.tolist()]
