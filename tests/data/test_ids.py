"""Ids: numbers and outside ids, there and back."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from l2rec.data.ids import Ids
from l2rec.errors import DataError


@given(st.lists(st.text(max_size=5), unique=True))
def test_every_id_comes_back_from_its_number(values: list[str]) -> None:
    ids = Ids.of(values)
    assert len(ids) == len(values)
    assert ids.ids(ids.numbers(values)) == values
    assert ids.numbers(values) == list(range(len(values)))


def test_an_unknown_id_is_refused_with_the_nearest_known_one() -> None:
    ids = Ids.of(["B0042XTB5G", "B001NCSX44"])
    with pytest.raises(DataError, match=r'item id "B0042XTB5H": not among the 2 known. Did you mean "B0042XTB5G"\?'):
        ids.number("B0042XTB5H")
    assert "B0042XTB5H" not in ids
    assert "B001NCSX44" in ids


def test_an_id_unlike_any_other_points_at_the_table() -> None:
    with pytest.raises(DataError, match=r"Use an id of the users table of the prepared data\."):
        Ids.of(["anna"], "user").number("zzz")


@pytest.mark.parametrize("number", [-1, 2])
def test_a_number_outside_the_list_is_refused(number: int) -> None:
    with pytest.raises(DataError, match=rf"item number {number}: expected 0 to 1\. Use the numbers of this run\."):
        Ids.of(["a", "b"]).id(number)


def test_an_id_that_occurs_twice_is_refused() -> None:
    with pytest.raises(DataError, match=r'user id "a": occurs twice\. Give every user one row\.'):
        Ids.of(["a", "b", "a"], "user")
