"""Ids as bytes and back, and events that no store takes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from l2rec.errors import StoreError
from l2rec.serving.records import Event
from l2rec.serving.store.ids import LATEST, checked, past, to_bytes, to_text


@given(st.text(), st.text())
def test_ids_come_back_and_keep_their_order(one: str, other: str) -> None:
    assert to_text(to_bytes(one)) == one
    assert (to_bytes(one) < to_bytes(other)) == (one < other)
    assert to_bytes(one + other) < past(one)


@pytest.mark.parametrize("time", [1e300, -1.0, LATEST * 1.01, 1.7e12])
def test_a_time_that_no_clock_shows_is_refused_in_one_line(time: float) -> None:
    events = [Event("a", "u", "i", LATEST), Event("b", "u", "i", time)]
    with pytest.raises(StoreError, match=r"^event 'b': time \S+: expected 0 to 100000000000\. Send seconds [^\n]*$"):
        checked(events)
    assert checked(events[:1]) == events[:1]
    assert checked([Event("a", "u", "i", 0.0)])
