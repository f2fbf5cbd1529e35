"""A list is what its definition says: nothing hidden, only what passes, the best or the most different first."""

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from l2rec.data.ids import Ids
from l2rec.serving.answering.choice import Question, chosen
from l2rec.serving.answering.shelf import Shelf, Tokens
from l2rec.serving.model.catalogue import Catalogue
from l2rec.serving.model.live import Ask
from l2rec.serving.wishes import Filters, diversified
from tests import worlds

COUNT = 12
ITEMS = worlds.tiny_items(COUNT)
DELETED = frozenset({4})


def shelf() -> Shelf:
    catalogue = Catalogue(ITEMS, Ids.of([f"i{n}" for n in range(COUNT)]))
    nothing = np.zeros(0, dtype=np.int64), np.zeros((0, 0))
    return Shelf(catalogue, COUNT, DELETED, frozenset(), Tokens(ITEMS.attributes), *nothing)


@given(
    st.lists(st.integers(-3, 3), min_size=COUNT, max_size=COUNT),
    st.sets(st.integers(0, COUNT - 1)),
    st.sampled_from(["", "colour=red", "colour=white"]),
    st.integers(1, 20),
)
def test_a_list_is_the_best_of_what_may_be_listed(scores: list[int], hidden: set[int], colour: str, k: int) -> None:
    filters = Filters(deny_attributes=frozenset({colour} - {""}))
    numbers, found = chosen(torch.tensor(scores).float(), Question(Ask(), k, tuple(hidden), filters), shelf(), None)
    may = [n for n in range(COUNT) if n not in hidden | DELETED and colour not in ITEMS.attributes[n]]
    assert found == sorted((float(scores[n]) for n in may), reverse=True)[:k]
    assert set(numbers) <= set(may)
    assert len(set(numbers)) == len(numbers)
    assert found == [scores[n] for n in numbers]


def test_a_diverse_list_is_chosen_by_vectors_and_by_tokens_where_there_are_none() -> None:
    chance = torch.Generator().manual_seed(0)
    scores, vectors = torch.rand(COUNT, generator=chance), torch.rand(COUNT, 3, generator=chance)
    question = Question(Ask(), 4, (1,), diversity=0.6)
    may = sorted((n for n in range(COUNT) if n not in {1, *DELETED}), key=lambda n: -float(scores[n]))
    order = diversified(scores[may].double().numpy(), vectors[may].double().numpy(), 4, 0.6).tolist()
    assert chosen(scores, question, shelf(), vectors)[0] == [may[place] for place in order]
    colours = torch.zeros(COUNT, len(worlds.COLOURS) + len(worlds.THINGS))
    for n in range(COUNT):
        colours[n, [n % len(worlds.COLOURS), len(worlds.COLOURS) + n % len(worlds.THINGS)]] = 1
    assert chosen(scores, question, shelf(), None) == chosen(scores, question, shelf(), colours)
    assert chosen(scores, question, shelf(), None)[0] != chosen(scores, question, shelf(), vectors)[0]
