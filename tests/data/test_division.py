"""Division of an ordered log: who stays, under which number, and what is counted, against sets in plain Python."""

from collections import Counter

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from l2rec.data.division import divided
from l2rec.data.order import Ordered
from l2rec.data.splits import SplitSettings
from l2rec.errors import DataError

SECOND = 1_000_000
Event = tuple[int, int, int]
logs = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 4), st.integers(0, 9)), min_size=1, max_size=30)


def ordered(events: list[Event]) -> Ordered:
    rows = sorted(events, key=lambda event: (event[0], event[2]))
    frame = pl.DataFrame(rows, {"user": pl.UInt32, "item": pl.UInt32, "time": pl.Int64}, orient="row")
    users, items = pl.Series([f"u{n}" for n in range(4)]), pl.Series([f"i{n}" for n in range(5)])
    return Ordered(frame.with_columns(pl.col("time") * SECOND + 7), users, items, 0, 0)


@given(logs, st.sets(st.integers(0, 4)))
def test_those_with_training_events_come_first_and_only_who_has_an_event_or_a_row_stays(
    events: list[Event], listed: set[int]
) -> None:
    split = SplitSettings(kind="temporal", validation_from=4, test_from=7)
    times = {time for _, _, time in events}
    if not all(any(low <= t < high for t in times) for low, high in ((0, 4), (4, 7), (7, 10))):
        return
    found = divided(ordered(events), pl.Series([f"i{n}" for n in listed], dtype=pl.String), split, "seconds")
    trained = Counter(item for _, item, time in events if time < 4)
    others = ({item for _, item, _ in events} | listed) - set(trained)
    assert found.item_ids.to_list() == [f"i{n}" for n in (*sorted(trained), *sorted(others))]
    assert found.counts.tolist() == [*(trained[n] for n in sorted(trained)), *(0 for _ in others)]
    first = {user for user, _, time in events if time < 4}
    assert found.user_ids.to_list() == [f"u{n}" for n in (*sorted(first), *sorted({u for u, _, _ in events} - first))]


@given(logs)
def test_every_event_keeps_its_user_its_item_and_its_whole_second(events: list[Event]) -> None:
    found = divided(ordered(events), pl.Series([], dtype=pl.String), SplitSettings(), "seconds")
    rows = found.frame.select("user", "item", "timestamp").rows()
    named = [(found.user_ids[user], found.item_ids[item], time) for user, item, time in rows]
    assert Counter(named) == Counter((f"u{user}", f"i{item}", time) for user, item, time in events)
    pairs = Counter((user, time) for user, _, time in events)
    assert found.tied == sum(count for count in pairs.values() if count > 1)


def test_a_position_is_not_divided_into_seconds() -> None:
    events = ordered([(0, 0, 1), (0, 1, 2)])
    found = divided(events, pl.Series([], dtype=pl.String), SplitSettings(), "position")
    assert found.frame["timestamp"].to_list() == [SECOND + 7, 2 * SECOND + 7]


def test_a_core_without_any_event_is_refused() -> None:
    with pytest.raises(DataError, match=r"k_core 3: no training event is left\. Lower it\."):
        divided(ordered([(0, 0, 1)]), pl.Series([], dtype=pl.String), SplitSettings(k_core=3), "seconds")
