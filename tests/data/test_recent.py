"""The newest events of every sequence: which are kept, that times go along, and when nothing changes."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from l2rec.data.recent import recent
from l2rec.types import Histories


def histories(lengths: list[int]) -> Histories:
    """Sequences of these lengths; every event has a number and a time of its own."""
    offsets = torch.tensor([0, *lengths]).cumsum(0)
    items = torch.arange(sum(lengths))
    return Histories(items, items * 3 + 1, offsets, torch.zeros(len(lengths), 2))


@given(st.lists(st.integers(0, 9), max_size=8), st.integers(2, 10))
def test_the_newest_are_kept_with_their_times(lengths: list[int], count: int) -> None:
    whole = histories(lengths)
    found = recent(whole, count)
    assert [found.sequence(n).tolist() for n in range(len(found))] == [
        whole.sequence(n).tolist()[-count:] for n in range(len(whole))
    ]
    assert torch.equal(found.times, found.items * 3 + 1)
    assert found.offsets.dtype == whole.offsets.dtype
    assert found.attributes is whole.attributes


@pytest.mark.parametrize("count", [None, 4, 100])
def test_what_no_sequence_exceeds_changes_nothing(count: int | None) -> None:
    whole = histories([4, 0, 2])
    assert recent(whole, count) is whole
