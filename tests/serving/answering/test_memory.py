"""The memory: within its room, of one release at a time, in time, and with a word where it stands in for the store."""

import asyncio
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from l2rec.errors import StoreDownError
from l2rec.serving.answering.memory import DOWN, GONE, Memory
from l2rec.serving.records import Event, UserRow, UserState
from l2rec.serving.store.sqlite import SqliteStore
from tests.serving.store.stores import event, publish


def row(number: int, upto: int = 0, length: int = 1) -> UserRow:
    numbers, nothing = np.full(length, number, dtype=np.int32), np.zeros(0, dtype=np.float32)
    return UserRow(numbers, np.zeros(length, dtype=np.float32), numbers[:0], nothing, nothing, upto)


class Far(SqliteStore):
    """A store elsewhere, which takes its time and says what it is told to."""

    is_local = False
    seconds = 0.0

    def user(self, version: str, user_id: str) -> UserState:
        state = self.says(version, user_id)
        time.sleep(self.seconds)
        return state

    def moment(self) -> object | None:
        return None

    says: Callable[[str, str], UserState]


class Near(Far):
    is_local = True


def down(*_: str) -> UserState:
    raise StoreDownError("down")


def by_version(version: str, _: str) -> UserState:
    return UserState(row(int(version)))


@pytest.fixture(params=[Far, Near])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Far:
    made: Far = request.param(tmp_path / "store.sqlite")
    made.says = by_version
    return made


@pytest.fixture
def far(tmp_path: Path) -> Far:
    made = Far(tmp_path / "store.sqlite")
    made.says = by_version
    return made


def first(state: UserState) -> int | None:
    return None if state.row is None else int(state.row.numbers[0])


def test_users_are_remembered_up_to_a_number(store: Far) -> None:
    async def story() -> None:
        memory = Memory(store, most=2)
        for user in ("u1", "u2", "u3"):
            assert first((await memory.user("7", user))[0]) == 7
        store.says = lambda *_: UserState(None)
        assert await memory.user("7", "nobody") == (UserState(None), "")
        assert len(memory) == 2
        await memory.user("8", "nobody")
        assert (len(memory), memory.size) == (0, 0)

    asyncio.run(story())


def test_users_are_remembered_up_to_a_size(store: Far) -> None:
    async def story() -> None:
        memory = Memory(store, room=100_000)
        store.says = lambda *_: UserState(row(1, length=2_500))
        for n in range(9):
            await memory.user("1", f"u{n}")
            await memory.user("1", f"u{n}")
        assert len(memory) == 4
        assert 80_000 < memory.size <= 100_000
        store.says = lambda _, user: UserState(None, tuple(Event("x" * 99, user, "y" * 99, 1.0, n) for n in range(150)))
        await memory.user("1", "busy")
        assert len(memory) == 1
        assert 60_000 < memory.size <= 100_000
        store.says = lambda *_: UserState(row(1, length=15_000))
        await memory.user("1", "huge")
        assert (len(memory), memory.size) == (0, 0)

    asyncio.run(story())


def test_a_slow_answer_of_one_release_is_not_taken_for_another_ones(far: Far) -> None:
    async def story() -> None:
        memory = Memory(far)
        far.seconds = 0.3
        slow = asyncio.create_task(memory.user("1", "u"))
        await asyncio.sleep(0.05)
        far.seconds = 0.0
        await memory.user("2", "other")
        assert first((await slow)[0]) == 1
        far.says = down
        assert await memory.user("2", "u") == (UserState(None), DOWN)
        far.says, far.seconds = by_version, 0.4
        late = asyncio.create_task(memory.user("1", "u", 0.2))
        await asyncio.sleep(0.05)
        far.seconds = 0.0
        assert first((await memory.user("2", "u"))[0]) == 2
        assert await late == (UserState(None), DOWN)

    asyncio.run(story())


def test_what_is_remembered_answers_while_the_store_is_down(store: Far) -> None:
    async def story() -> None:
        memory = Memory(store)
        await memory.user("1", "u")
        store.says = down
        state, note = await memory.user("1", "u")
        assert (first(state), note) == (1, DOWN)
        assert await memory.user("1", "another") == (UserState(None), DOWN)

    asyncio.run(story())


def test_a_slow_store_is_not_waited_for_beyond_the_deadline_and_heard_of_later(far: Far) -> None:
    async def story() -> None:
        memory = Memory(far)
        far.seconds = 0.4
        started = time.monotonic()
        assert await memory.user("1", "u", 0.05) == (UserState(None), DOWN)
        assert time.monotonic() - started < 0.3
        await asyncio.sleep(0.6)
        state, note = await memory.user("1", "u", 0.05)
        assert (first(state), note) == (1, DOWN)
        late = Memory(far, patience=0.05)
        assert await late.user("1", "u") == (UserState(None), DOWN)

    asyncio.run(story())


def test_a_late_answer_does_not_replace_a_later_one(far: Far) -> None:
    async def story() -> None:
        memory = Memory(far)
        far.seconds = 0.3
        await memory.user("1", "u", 0.01)
        far.seconds = 0.0
        far.says = lambda *_: UserState(row(1), (Event("e", "u", "i", 1.0, 1),))
        await memory.user("1", "u")
        await asyncio.sleep(0.5)
        far.says = down
        assert len((await memory.user("1", "u"))[0].events) == 1

    asyncio.run(story())


def test_a_row_that_is_gone_from_the_store_is_remembered(store: Far) -> None:
    async def story() -> None:
        memory = Memory(store)
        store.says = lambda *_: UserState(row(1, upto=5))
        await memory.user("1", "u")
        store.says = lambda *_: UserState(None, tuple(Event(f"e{n}", "u", "i", 1.0, n) for n in (4, 5, 6)))
        for _ in range(2):
            state, note = await memory.user("1", "u")
            assert (first(state), [event.number for event in state.events], note) == (1, [6], GONE)
        assert (await memory.user("1", "another"))[1] == ""
        memory.gone = "1"
        assert (await memory.user("1", "another"))[1] == GONE
        assert (await memory.user("2", "another"))[1] == ""

    asyncio.run(story())


class Counting(SqliteStore):
    """A store that counts how often a user is read."""

    asked = 0

    def user(self, version: str, user_id: str) -> UserState:
        self.asked += 1
        return super().user(version, user_id)


@pytest.fixture
def counting(tmp_path: Path) -> Counting:
    store = Counting(tmp_path / "store.sqlite")
    publish(store, "a", ["u", "v"], 1)
    return store


def test_a_user_is_read_again_only_when_something_was_written(counting: Counting) -> None:
    other = SqliteStore(counting._file.path)

    async def story() -> None:
        memory = Memory(counting)
        for writer, number in ((counting, 1), (other, 2)):
            for _ in range(3):
                state, note = await memory.user("a", "u")
                assert (first(state), len(state.events), note) == (1, number - 1, "")
                await asyncio.sleep(0)
            assert counting.asked == number
            await asyncio.to_thread(writer.append, [event(str(number))])
        assert [one.event_id for one in (await memory.user("a", "u"))[0].events] == ["1", "2"]
        await asyncio.to_thread(publish, other, "b", ["v"], 7)
        await asyncio.to_thread(other.drop, "a")
        assert (await memory.user("a", "u"))[1] == GONE
        assert first((await memory.user("b", "v"))[0]) == 7

    asyncio.run(story())
    other.close()


def test_what_was_acknowledged_is_heard_by_whoever_asks_afterwards_while_others_ask(counting: Counting) -> None:
    other = SqliteStore(counting._file.path)
    memory, acknowledged = Memory(counting), 0

    async def ask(until: float) -> int:
        asked = 0
        while time.monotonic() < until:
            known = acknowledged
            await asyncio.create_task(late(known))
            asked += 1
        return asked

    async def late(known: int) -> None:
        state, note = await memory.user("a", "u")
        assert (len(state.events) >= known, note) == (True, "")

    async def report(until: float) -> None:
        nonlocal acknowledged
        while time.monotonic() < until:
            await asyncio.to_thread(other.append, [event(f"e{acknowledged}")])
            acknowledged += 1
            await asyncio.sleep(0.001)

    async def story() -> None:
        until = time.monotonic() + 1
        counts = await asyncio.gather(*(ask(until) for _ in range(8)), report(until))
        assert acknowledged > 9
        assert sum(count or 0 for count in counts) > 2 * counting.asked

    asyncio.run(story())
    other.close()


def test_while_the_store_is_down_nothing_that_was_read_is_taken_for_the_truth(counting: Counting) -> None:
    path = counting._file.path
    away = path.with_suffix(".away")

    async def story() -> None:
        memory = Memory(counting)
        await memory.user("a", "u")
        await asyncio.sleep(0)
        path.rename(away)
        state, note = await memory.user("a", "u")
        assert (first(state), note) == (1, DOWN)
        away.rename(path)
        assert (await memory.user("a", "u"))[1] == ""

    asyncio.run(story())


def test_a_slow_disk_holds_up_the_others_once_a_second_at_most(tmp_path: Path) -> None:
    near = Near(tmp_path / "store.sqlite")
    near.says, near.seconds = by_version, 0.1

    async def story() -> None:
        memory, stops = Memory(near), 0.0

        async def watch() -> None:
            nonlocal stops
            while True:
                began = time.monotonic()
                await asyncio.sleep(0)
                stops += max(0.0, time.monotonic() - began - 0.05)

        watching = asyncio.create_task(watch())
        await asyncio.sleep(0)
        for _ in range(5):
            state, note = await memory.user("1", "u", 0.01)
            assert (first(state), note) == (1, "")
        watching.cancel()
        assert 0.02 < stops < 0.2

    asyncio.run(story())
