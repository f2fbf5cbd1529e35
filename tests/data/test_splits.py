"""Splits, k-core and order against slow definitions in plain Python."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from l2rec.data import times
from l2rec.data.splits import SplitSettings, cases, checked, core, parts
from l2rec.errors import DataError

SECOND = 1_000_000
Event = tuple[int, int, int]
# Few users, items and seconds, so that repeats and ties are everywhere.
logs = st.lists(st.tuples(st.integers(0, 4), st.integers(0, 5), st.integers(0, 12)), min_size=1, max_size=40)


def arrays(events: list[Event]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    user, item, time = np.array(sorted(events, key=lambda e: (e[0], e[2]))).T
    return user, item, time


@given(logs)
def test_leave_last_out_takes_the_last_two_events_of_users_with_three(events: list[Event]) -> None:
    user, _, time = arrays(events)
    part, cuts = parts(user, time * SECOND, SplitSettings())
    expected = []
    for number in sorted(set(user)):
        n = int((user == number).sum())
        expected += [0] * n if n < 3 else [0] * (n - 2) + [1, 2]
    assert part.tolist() == expected
    assert (cuts.validation_from, cuts.test_from) == (None, None)


@given(logs, st.integers(1, 11), st.integers(1, 11))
def test_a_cut_in_time_puts_every_later_part_strictly_later(events: list[Event], first: int, more: int) -> None:
    user, _, time = arrays(events)
    settings = SplitSettings(kind="temporal", validation_from=first, test_from=first + more)
    expected = [0 if t < first else 1 if t < first + more else 2 for t in time.tolist()]
    if set(expected) != {0, 1, 2}:
        with pytest.raises(DataError, match=r"split temporal: the (training|validation|test) part is empty .* Move"):
            parts(user, time * SECOND, settings)
        return
    part, _ = parts(user, time * SECOND, settings)
    assert part.tolist() == expected


@given(logs, st.floats(0.05, 0.45), st.floats(0.05, 0.45))
def test_shares_cut_between_seconds_and_never_inside_one(events: list[Event], validation: float, test: float) -> None:
    user, _, time = arrays(events)
    micros = time * SECOND + np.arange(len(time)) % SECOND
    settings = SplitSettings(kind="temporal", validation_share=validation, test_share=test)
    try:
        part, cuts = parts(user, micros, settings)
    except DataError:
        return
    seconds = [set(time[part == number].tolist()) for number in range(3)]
    assert max(seconds[0]) < min(seconds[1]) <= max(seconds[1]) < min(seconds[2])
    assert min(seconds[1]) == cuts.validation_from
    assert min(seconds[2]) == cuts.test_from


def test_shares_hold_the_share_of_events_that_was_asked_for() -> None:
    time = np.arange(1000) * SECOND
    settings = SplitSettings(kind="temporal", validation_share=0.2, test_share=0.1)
    part, _ = parts(np.zeros(1000, np.int64), time, settings)
    assert np.bincount(part).tolist() == [700, 200, 100]


@given(logs, st.sampled_from(["first", "last", "all"]))
def test_cases_are_the_chosen_events_of_each_user(events: list[Event], which: str) -> None:
    user, _, _ = arrays(events)
    expected, number = [], 0
    for name in sorted(set(user)):
        n = int((user == name).sum())
        for place in range(n):
            asked = which == "all" or place == (0 if which == "first" else n - 1)
            expected.append(number if asked else -1)
            number += asked
    assert cases(user, SplitSettings(kind="temporal", cases=which)).tolist() == expected


def slow_core(events: list[Event], k: int) -> list[Event]:
    while True:
        users, items = Counter(e[0] for e in events), Counter(e[1] for e in events)
        bad = next((e for e in events if users[e[0]] < k or items[e[1]] < k), None)
        if bad is None:
            return events
        events = [e for e in events if e != bad]


@given(logs, st.integers(0, 4))
def test_the_core_is_what_taking_bad_events_away_one_by_one_leaves(events: list[Event], k: int) -> None:
    user, item, time = arrays(events)
    kept = core(user, item, k)
    left = list(zip(user[kept].tolist(), item[kept].tolist(), time[kept].tolist(), strict=True))
    assert sorted(left) == sorted(slow_core(events, k))


def test_a_time_split_of_positions_is_refused() -> None:
    with pytest.raises(DataError, match=r"split temporal: the times are positions .* Take kind loo, or a source with"):
        checked(SplitSettings(kind="temporal"), "position", rated=False)


def test_cuts_in_the_wrong_order_are_refused() -> None:
    wrong = SplitSettings(kind="temporal", validation_from="2018-02-01", test_from="2018-01-01")
    with pytest.raises(DataError, match=r"validation_from 2018-02-01: expected before test_from 2018-01-01\. Swap"):
        checked(wrong, "seconds", rated=False)


def test_one_cut_without_the_other_is_refused() -> None:
    with pytest.raises(DataError, match=r"validation_from, test_from: one is missing\. Give both, or neither"):
        checked(SplitSettings(kind="temporal", test_from=5), "seconds", rated=False)


def test_a_cut_for_leave_last_out_is_refused() -> None:
    with pytest.raises(DataError, match=r"a loo split has no cut\. Leave them out, or take kind temporal"):
        checked(SplitSettings(validation_from=3, test_from=5), "seconds", rated=False)


def test_shares_that_leave_nothing_to_train_on_are_refused() -> None:
    greedy = SplitSettings(kind="temporal", validation_share=0.5, test_share=0.5)
    with pytest.raises(DataError, match=r"validation_share \+ test_share: 0\.5 \+ 0\.5: expected less than 1\. Leave"):
        checked(greedy, "seconds", rated=False)


def test_a_least_rating_without_ratings_is_refused() -> None:
    with pytest.raises(DataError, match=r"min_rating: the log has no ratings\. Leave it out, or name their column"):
        checked(SplitSettings(min_rating=4), "seconds", rated=False)


def test_a_cut_that_is_no_moment_is_refused() -> None:
    with pytest.raises(DataError, match=r'test_from: "soon": expected seconds since 1970 or an ISO date\. Write'):
        checked(SplitSettings(kind="temporal", validation_from=1, test_from="soon"), "seconds", rated=False)


@pytest.mark.parametrize("written", ["20240131", 20240131, " 20240131 "])
def test_a_cut_that_looks_like_a_day_is_refused_with_both_readings(written: str | int) -> None:
    message = r"^test_from: 20240131: looks like a date written yyyymmdd\. Write 2024-01-31, or 1970-08-23T06:15:31"
    with pytest.raises(DataError, match=message + r" if it is seconds\.$"):
        checked(SplitSettings(kind="temporal", validation_from=1, test_from=written), "seconds", rated=False)


def test_what_the_advice_on_a_day_says_is_read_as_it_says() -> None:
    assert times.seconds("1970-08-23T06:15:31", "x") == 20240131
    assert times.seconds("2024-01-31", "x") == 1706659200


@pytest.mark.parametrize("number", [20240230, 20241301, 18991231, 21010101, -20240131, 2024, 1517356800])
def test_a_cut_that_is_no_day_of_the_calendar_stays_seconds(number: int) -> None:
    assert times.seconds(number, "x") == times.seconds(str(number), "x") == number


def test_an_iso_date_and_its_seconds_are_the_same_cut() -> None:
    days = np.arange(10) * 86_400 * SECOND
    iso = SplitSettings(kind="temporal", validation_from="1970-01-05", test_from="1970-01-08T00:00:00+00:00")
    plain = SplitSettings(kind="temporal", validation_from=4 * 86_400, test_from=7 * 86_400)
    user = np.zeros(10, np.int64)
    assert parts(user, days, iso)[0].tolist() == parts(user, days, plain)[0].tolist() == [0] * 4 + [1] * 3 + [2] * 3
