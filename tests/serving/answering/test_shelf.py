"""What is on the shelf: filters against their definition, changed items included, and likeness by tokens."""

import numpy as np
import pytest

from l2rec.data.ids import Ids
from l2rec.serving.answering.shelf import Shelf, Tokens
from l2rec.serving.model.catalogue import Catalogue
from l2rec.serving.records import LiveItem
from l2rec.serving.wishes import Filters
from tests.worlds import tiny_items


@pytest.fixture
def shelf() -> Shelf:
    """Thirty items, one of them changed and one added since."""
    catalogue = Catalogue(tiny_items(30), Ids.of([f"i{n}" for n in range(30)]))
    tokens = Tokens(catalogue.attributes)
    changes = [
        LiveItem(item_id="i3", title="anew", attributes=("colour=gold",)),
        LiveItem(item_id="new", attributes=("colour=red", "thing=gem")),
    ]
    catalogue.take(catalogue.numbered(changes, True))
    return Shelf(catalogue, 31, frozenset({5}), frozenset({3, 30}), tokens, np.array([30]), np.zeros((1, 0)))


@pytest.mark.parametrize(
    "filters",
    [
        Filters(allow_attributes=frozenset({"colour=red", "colour=gold"})),
        Filters(allow_attributes=frozenset({"colour=red", "thing=gem", "thing=lamp"})),
        Filters(deny_attributes=frozenset({"colour=black", "thing=gem", "no=token"})),
        Filters(frozenset({"i1", "i3", "new", "unknown"}), frozenset({"i1"})),
        Filters(frozenset({"i0", "i5", "i10"}), frozenset(), frozenset({"colour=red"})),
        Filters(allow_attributes=frozenset({"no=token"})),
    ],
)
def test_a_mask_is_what_passes_one_by_one(filters: Filters, shelf: Shelf) -> None:
    expected = [shelf.passes(number, filters) for number in range(31)]
    assert shelf.passing(filters).tolist() == expected
    assert shelf.passing(filters) is shelf.passing(filters)


def test_masks_are_kept_within_a_number_and_bytes(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    filters = [Filters(deny=frozenset({f"i{n}"})) for n in range(300)]
    first = shelf.passing(filters[0])
    assert shelf.passing(filters[0]) is first
    most = 0
    for one in filters:
        shelf.passing(one)
        most = max(most, len(shelf._masks))
    assert most == 256
    monkeypatch.setattr("l2rec.serving.answering.shelf._KEPT_BYTES", 100)  # of 31 items, three masks
    shelf._masks.clear()
    for one in filters:
        shelf.passing(one)
        assert sum(mask.nbytes for mask in shelf._masks.values()) <= 100


def test_ids_beyond_the_shelf_are_unknown(shelf: Shelf) -> None:
    shelf.catalogue.take(shelf.catalogue.numbered([LiveItem(item_id="later")], True))
    assert (shelf.number("new"), shelf.number("later"), shelf.number("never")) == (30, None, None)
    assert shelf.numbers(["i1", "later", "new"]) == (1, 30)
    assert shelf.fragment(30) == b'{"item_id": "new","title": "new","score":'.replace(b": ", b":")


def test_items_are_alike_by_their_common_tokens(shelf: Shelf) -> None:
    alike = shelf.kinship(0)
    assert (alike[0], alike[3]) == (1.0, 0.0)
    held = [set(tokens) for tokens in shelf.catalogue.attributes]
    assert alike.tolist() == [len(held[0] & other) / len(held[0] | other) for other in held]
    vectors = shelf.token_vectors([0, 5, 3])
    assert (vectors @ vectors.T).tolist() == [[2, 1, 0], [1, 2, 0], [0, 0, 1]]
