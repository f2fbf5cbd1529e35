"""The catalogue of a run that is alive: later items behind the trained ones, ids and numbers both ways."""

import pytest

from l2rec.data.ids import Ids
from l2rec.errors import DataError
from l2rec.serving.model.catalogue import Catalogue, read_of
from l2rec.serving.records import LiveItem
from tests import worlds


@pytest.fixture
def catalogue() -> Catalogue:
    return Catalogue(worlds.tiny_items(30), Ids.of([f"i{n}" for n in range(30)]))


def take(catalogue: Catalogue, *changes: LiveItem, grows: bool = True) -> list[int]:
    numbered = catalogue.numbered(changes, grows)
    catalogue.take(numbered)
    catalogue.wait(changes)
    return sorted(numbered)


def test_later_items_get_the_next_numbers_in_the_order_of_their_coming(catalogue: Catalogue) -> None:
    assert take(catalogue, LiveItem(item_id="b", title="B"), LiveItem(item_id="a"), LiveItem(item_id="i3")) == [
        3,
        30,
        31,
    ]
    assert take(catalogue, LiveItem(item_id="c"), LiveItem(item_id="a", title="A")) == [31, 32]
    assert (len(catalogue), catalogue.trained) == (33, 30)
    assert catalogue.ids[29:] == ("i29", "b", "a", "c")
    assert [catalogue.number(item_id) for item_id in catalogue.ids] == list(range(33))
    assert [catalogue.id(n) for n in range(33)] == list(catalogue.ids)
    assert [catalogue.title(n) for n in (30, 31, 32)] == ["B", "A", "c"]
    assert len(catalogue.titles) == len(catalogue.texts) == len(catalogue.attributes) == 33


def test_an_unknown_id_or_number_is_named(catalogue: Catalogue) -> None:
    assert "b" not in catalogue
    with pytest.raises(DataError, match='item id "i3x": not among the 30 known'):
        catalogue.numbers(["i3", "i3x"])
    for number in (-1, 30):
        with pytest.raises(DataError, match=rf"item number {number}: expected 0 to 29"):
            catalogue.id(number)


def test_to_number_changes_takes_nothing(catalogue: Catalogue) -> None:
    assert set(catalogue.numbered([LiveItem(item_id="b"), LiveItem(item_id="i4", deleted=True)], True)) == {30, 4}
    assert (len(catalogue), catalogue.deleted) == (30, set())


def test_a_deleted_item_keeps_its_place_and_its_words(catalogue: Catalogue) -> None:
    title = catalogue.title(4)
    take(catalogue, LiveItem(item_id="i4", deleted=True))
    assert (catalogue.deleted, catalogue.title(4)) == ({4}, title)
    take(catalogue, LiveItem(item_id="i4", title="back", attributes=("colour=red",)))
    assert (catalogue.deleted, catalogue.title(4), catalogue.attributes[4]) == (set(), "back", ("colour=red",))


def test_items_that_the_model_cannot_take_up_wait_until_they_are_deleted(catalogue: Catalogue) -> None:
    assert take(catalogue, LiveItem(item_id="b"), LiveItem(item_id="c"), grows=False) == []
    assert catalogue.waiting == {"b", "c"}
    take(catalogue, LiveItem(item_id="c", deleted=True), grows=False)
    assert (catalogue.waiting, len(catalogue)) == ({"b"}, 30)


def test_a_later_item_is_read_by_its_text_or_else_by_its_title() -> None:
    assert read_of(LiveItem(item_id="b", title="t", text="x")) == "x"
    assert read_of(LiveItem(item_id="b", title="t")) == "t"
