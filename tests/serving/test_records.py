"""Tests of what a store keeps."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from l2rec.errors import StoreError
from l2rec.serving.records import UserRow

NUMBERS = st.lists(st.integers(0, 2**31 - 1), max_size=20).map(lambda n: np.array(n, dtype=np.int32))
HALVES = st.lists(st.floats(-100, 100, width=16), max_size=20).map(lambda n: np.array(n, dtype=np.float16))


def row_of(numbers: np.ndarray, history: np.ndarray, vector: np.ndarray, upto: int) -> UserRow:
    scores = np.linspace(1, 0, len(numbers), dtype=np.float32)
    return UserRow(numbers, scores, history, vector.astype(np.float32)[::2], vector, upto)


@given(NUMBERS, NUMBERS, HALVES, st.integers(0, 2**63))
def test_a_row_survives_the_trip_to_bytes(
    numbers: np.ndarray, history: np.ndarray, vector: np.ndarray, upto: int
) -> None:
    row = row_of(numbers, history, vector, upto)
    back = UserRow.from_bytes(row.to_bytes())
    for name in ("numbers", "scores", "history", "attributes", "vector"):
        np.testing.assert_array_equal(vars(back)[name], vars(row)[name])
    assert back.upto == upto


def test_a_cut_row_and_bytes_of_another_kind_are_refused() -> None:
    data = row_of(np.arange(3), np.arange(4), np.zeros(2, np.float16), 7).to_bytes()
    for cut in (data[:-1], data + b"\0", data[:40]):
        with pytest.raises(StoreError, match=r"a user's row: cut or damaged. Publish the run again."):
            UserRow.from_bytes(cut)
    for other in (b"", b"\2" + data[1:]):
        with pytest.raises(StoreError, match="not in the layout of this l2rec"):
            UserRow.from_bytes(other)
