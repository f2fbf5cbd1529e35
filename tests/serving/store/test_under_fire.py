"""Stores whose writers are many, hasty or killed: every acknowledged event is there once, and none was invented."""

import subprocess
import sys
import tempfile
import threading
from collections import Counter
from collections.abc import Callable
from itertools import count
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from l2rec.errors import StoreError
from l2rec.serving.records import Event, LiveItem
from l2rec.serving.store.contract import Store
from l2rec.serving.store.opening import open_store
from l2rec.serving.store.sqlite import SqliteStore
from tests.serving.store.stores import at_once, event, listed, publish, release, row

ROOT = Path(__file__).parents[3]


def writer(url: str, name: str, first: int, last: int, size: int) -> subprocess.Popen[str]:
    """Starts a process that appends; its stdout names the acknowledged batches."""
    call = [sys.executable, "-m", "tests.serving.store.writer", url, name, *map(str, (first, last, size))]
    return subprocess.Popen(call, cwd=ROOT, stdout=subprocess.PIPE, text=True)


def whole(store: Store) -> list[Event]:
    """All events, which must be numbered without a gap and be there once."""
    found = store.events(limit=1_000_000)
    assert [e.number for e in found] == list(range(1, store.last_event() + 1))
    assert set(Counter(e.event_id for e in found).values()) <= {1}
    return found


def test_three_processes_that_tell_the_same_store_it_once(store: Store, url: str) -> None:
    writers = [writer(url, "same", 0, 60, 7) for _ in range(3)]
    assert [len(process.communicate(timeout=60)[0].split()) for process in writers] == [60] * 3
    assert {e.event_id for e in whole(store)} == {f"same {batch} {n}" for batch in range(60) for n in range(7)}
    assert len(store.user("none", "same").events) == 420


def test_every_acknowledged_event_outlives_a_killed_writer(store: Store, url: str) -> None:
    acknowledged: set[int] = set()
    for until in (1, 2, 9, 17, 40):
        process = writer(url, "w", len(acknowledged), 10_000, 5)
        assert process.stdout is not None
        for _ in range(until):
            acknowledged.add(int(process.stdout.readline()))
        process.kill()
        with process:  # `communicate` with a timeout would forget the lines that `readline` has buffered
            rest = process.stdout.read()
        acknowledged |= {int(line) for line in rest.splitlines(keepends=True) if line.endswith("\n")}
        stored = Counter(int(e.time) for e in whole(store))
        assert set(stored.values()) == {5}, "half a batch"
        assert acknowledged <= set(stored)
        assert len(set(stored) - acknowledged) <= 1, "only the batch under way may be there unsaid"
        assert {e.event_id for e in whole(store)} == {f"w {batch} {n}" for batch in stored for n in range(5)}
        acknowledged |= set(stored)


def test_a_reader_that_polls_misses_no_event(store: Store, url: str) -> None:
    writers = [writer(url, name, 0, 150, 3) for name in "abc"]
    seen: list[Event] = []
    finished = False
    while not finished:
        finished = all(process.poll() is not None for process in writers)
        seen += store.events(after=seen[-1].number if seen else 0, limit=50)
        finished = finished and len(seen) == store.last_event()
    for process in writers:
        process.communicate(timeout=60)
    assert len(seen) == 1350
    assert seen == whole(store)


def until_done(work: Callable[[], None], look: Callable[[], None]) -> None:
    """Looks again and again, on two threads, while the work goes on."""
    over = threading.Event()

    def worker() -> None:
        try:
            work()
        finally:
            over.set()

    def looker() -> None:
        while not over.is_set():
            look()

    at_once(worker, looker, looker)


def test_a_users_row_and_events_are_of_one_moment(store: Store, url: str) -> None:
    store.append([event("1")])
    publish(store, "v1", ["u"], 1, upto=1)
    other = open_store(url)
    looks = count()

    def work() -> None:
        for number in range(2, 40):
            other.append([event(str(number))])
            if number % 2:
                publish(other, f"v{number}", ["u"], number, upto=number)
            else:
                now = other.current()
                assert now is not None
                other.write_rows(now.version, [("u", row(number, upto=number))], 3)

    def look() -> None:
        now = store.current()
        assert now is not None
        state = store.user(now.version, "u")
        assert state.row is not None, "the current release has the row"
        assert state.row.numbers[0] == state.row.upto
        first = state.row.upto + 1
        assert [e.number for e in state.events] == list(range(first, first + len(state.events)))
        assert state.row.upto + len(state.events) >= int(now.version[1:]), "what was published was known"
        next(looks)

    until_done(work, look)
    other.close()
    assert next(looks) > 40


def test_readers_of_one_release_go_on_while_another_is_dropped(store: Store, url: str) -> None:
    other = open_store(url)
    many = [f"u{n}" for n in range(3000)]
    publish(other, "old", many, 1)
    publish(other, "new", many, 5)

    def look() -> None:
        assert listed(store, "new", "u7") == [5, 6]
        state = listed(store, "old", "u7")
        assert state in ([1, 2], None)

    until_done(lambda: other.drop("old"), look)
    other.close()
    assert listed(store, "old", "u7") is None
    assert len(store.user_ids("new", "", 9999)) == 3000


# Any order of calls does what a dictionary would do.

NAMES = st.sampled_from(["a", "b\0", "\ud800", ""])
VERSIONS = st.sampled_from(["v", "v'2", "v\0"])


class AgainstADictionary(RuleBasedStateMachine):
    """A store beside the plainest thing that could keep the same."""

    opened: Callable[[], Store]

    def __init__(self) -> None:
        super().__init__()
        self.store = type(self).opened()
        self.log: list[Event] = []
        self.rows: dict[str, dict[str, int]] = {}
        self.switched: list[str] = []
        self.finished: set[str] = set()
        self.live: dict[str, LiveItem] = {}
        self.changes = 0

    def teardown(self) -> None:
        self.store.close()

    @rule(told=st.lists(st.tuples(NAMES, NAMES), max_size=4))
    def append(self, told: list[tuple[str, str]]) -> None:
        new = []
        for event_id, user_id in told:
            new.append(all(e.event_id != event_id for e in self.log))
            if new[-1]:
                self.log.append(Event(event_id, user_id, "i", 1.0, len(self.log) + 1))
        assert self.store.append([Event(event_id, user_id, "i", 1.0) for event_id, user_id in told]) == new

    @rule(version=VERSIONS, users=st.lists(NAMES, max_size=3))
    def write(self, version: str, users: list[str]) -> None:
        if version in self.finished:
            with pytest.raises(StoreError, match="finished before"):
                self.store.begin(release(version))
            return
        self.store.begin(release(version, finished=None))
        upto = len(self.log)
        rows = [(user_id, row(upto, upto)) for user_id in users]
        self.store.write_rows(version, rows, len(users))
        self.rows.setdefault(version, {}).update(dict.fromkeys(users, upto))

    @rule(version=VERSIONS)
    def switch(self, version: str) -> None:
        if version not in self.rows:
            with pytest.raises(StoreError, match="never begun, or dropped"):
                self.store.switch(release(version))
            return
        self.store.switch(release(version))
        self.switched = [v for v in self.switched if v != version] + [version]
        self.finished.add(version)

    @rule()
    def rollback(self) -> None:
        if len(self.switched) < 2:
            with pytest.raises(StoreError, match="rollback"):
                self.store.rollback()
            return
        self.switched.pop()
        assert self.store.rollback().version == self.switched[-1]

    @rule(version=VERSIONS)
    def drop(self, version: str) -> None:
        if self.switched[-1:] == [version]:
            with pytest.raises(StoreError, match="the current one"):
                self.store.drop(version)
            return
        self.store.drop(version)
        self.rows.pop(version, None)
        self.finished.discard(version)
        self.switched = [v for v in self.switched if v != version]

    @rule(item_id=st.sampled_from("xyz"), deleted=st.booleans())
    def put(self, item_id: str, deleted: bool) -> None:
        self.changes += 1
        item = LiveItem(item_id=item_id, deleted=deleted)
        assert self.store.put_items([item]) == self.changes
        self.live.pop(item_id, None)
        self.live[item_id] = item.model_copy(update={"number": self.changes})

    @rule(version=VERSIONS, user_id=NAMES)
    def user(self, version: str, user_id: str) -> None:
        state = self.store.user(version, user_id)
        upto = self.rows.get(version, {}).get(user_id)
        assert (None if state.row is None else state.row.upto) == upto
        assert list(state.events) == [e for e in self.log if e.user_id == user_id and e.number > (upto or 0)]

    @invariant()
    def the_whole_is_the_same(self) -> None:
        now = self.store.current()
        assert (now and now.version) == (self.switched[-1] if self.switched else None)
        assert self.store.events() == self.log
        assert self.store.last_event() == len(self.log)
        assert self.store.items() == list(self.live.values())
        assert len(self.store.releases()) == len(self.rows)


def test_any_order_of_calls_does_what_a_dictionary_would(url: str, tmp_path: Path) -> None:
    numbers = count()

    def opened() -> Store:
        if url.startswith("sqlite"):
            return SqliteStore(Path(tempfile.mkdtemp(dir=tmp_path)) / "store.db")
        from l2rec.serving.store.redis import RedisStore

        return RedisStore(url, prefix=f"machine {next(numbers)}")

    machine = type("Machine", (AgainstADictionary,), {"opened": staticmethod(opened)})
    run_state_machine_as_test(machine, settings=settings(max_examples=15, stateful_step_count=25))
