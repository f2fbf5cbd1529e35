"""The first trials of a search: inside the space, whole where the setting is, and no part of a range left out."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from l2rec.models import Choices, Range, Space
from l2rec.run.study import SPREAD_TRIALS, spread

SPACE: Space = {
    "model.weight": Range(low=1.0, high=128.0, log=True),
    "model.layers": Range(low=1, high=3),
    "model.rank": Range(low=2, high=64, log=True),
    "model.window": Range(low=1, high=9, step=2),
    "model.width": Choices(choices=(64, 128, 300)),
    "model.dropout": Range(low=0.1, high=0.7),
}


@given(st.integers(0, 10_000), st.integers(1, 40))
def test_every_value_lies_in_the_space(seed: int, number: int) -> None:
    found = spread(SPACE, seed, number)
    assert found.keys() == SPACE.keys()
    assert 1 <= float(found["model.weight"]) <= 128
    assert 0.1 <= float(found["model.dropout"]) <= 0.7
    assert found["model.layers"] in (1, 2, 3)
    assert found["model.window"] in (1, 3, 5, 7, 9)
    assert found["model.width"] in (64, 128, 300)
    assert isinstance(found["model.rank"], int)
    assert 2 <= found["model.rank"] <= 64


@pytest.mark.parametrize("seed", range(20))
def test_the_first_trials_leave_no_third_of_a_range_out(seed: int) -> None:
    space: Space = {"model.weight": SPACE["model.weight"]}
    octaves = sorted(math.log2(float(spread(space, seed, n)["model.weight"])) for n in range(2, SPREAD_TRIALS + 1))
    gaps = [b - a for a, b in zip([0.0, *octaves], [*octaves, 7.0], strict=True)]
    assert max(gaps) < 7 / 2


def test_each_trial_is_the_same_whenever_it_is_asked_for_and_no_two_are_alike() -> None:
    found = [spread(SPACE, 3, n) for n in (1, 2, 3, 2)]
    assert found[1] == found[3]
    assert len({row["model.weight"] for row in found}) == 3
