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
