"""What the store says of a user, and what it said last where it says nothing."""

import asyncio
import time
from collections import OrderedDict
from sys import getsizeof
from typing import NamedTuple

from l2rec.errors import StoreDownError
from l2rec.serving.records import UserState
from l2rec.serving.store.contract import Store

DOWN = "the store is down: answered from memory"
GONE = "the rows of this release are gone from the store: answered from what is remembered and reported"
_STATE = 1024
"""Bytes of a remembered user besides the numbers of the row and the events."""
_EVENT = 256
"""Bytes of an event besides its ids."""
_SLOW, _REST = 0.05, 1.0
"""Seconds of a local read after which others are not held up by the next ones, and for how long."""


class Kept(NamedTuple):
    """A remembered user.

    Attributes:
        state: What the store said last.
        size: Bytes, about.
        moment: The store's moment before it said so; None where it has to be asked again.
    """

    state: UserState
    size: int
    moment: object | None


_NOBODY = Kept(UserState(None), 0, None)


class Memory:
    """Reads users from a store and keeps those who asked last: while nothing changes there, and while it is down.

    A store that is local is read within the event loop, since that takes microseconds. Where it once took over 50 ms,
    the reads of the next second are left to threads, so that a slow disk holds up the others once a second at most.

    Attributes:
        gone: A release whose rows the store no longer has; empty where none is known.
        size: Bytes of what is kept, about.
    """

    def __init__(self, store: Store, most: int = 4096, patience: float = 1.0, room: int = 64 * 2**20) -> None:
        """Begins empty.

        Args:
            store: The store.
            most: Users that are kept.
            patience: Seconds after which a store that is not local counts as down.
            room: Bytes that are kept.
        """
        self._store, self._most, self._patience, self._room = store, most, patience, room
        self._kept: OrderedDict[str, Kept] = OrderedDict()
        self._readings: set[asyncio.Task[UserState | None]] = set()
        self._version, self._slow_until = "", 0.0
        self._moment: object | None = None
        self.gone, self.size = "", 0

    def __len__(self) -> int:
        return len(self._kept)

    async def user(self, version: str, user_id: str, seconds: float | None = None) -> tuple[UserState, str]:
        """Returns the state of a user in a release, and what must be said of it.

        Args:
            version: The release that is served.
            user_id: The user.
            seconds: How long a store that is not local may take; its patience where None. What comes later is
                remembered for the next question.

        Returns:
            The state; and `DOWN` where it is from memory since the store did not answer, `GONE` where the store no
            longer has the release's rows, else nothing.
        """
        if version != self._version:  # another release has other rows
            self._kept.clear()
            self._version, self.size = version, 0
        state = await self._asked(version, user_id, seconds)
        if state is None:  # another release may have come meanwhile, whose rows mean nothing to this one
            kept = self._kept.get(user_id, _NOBODY) if version == self._version else _NOBODY
            return kept.state, DOWN
        whole = self._whole(version, user_id, state)
        lost = version == self.gone and whole.row is None
        return whole, GONE if lost or whole is not state else ""

    async def _asked(self, version: str, user_id: str, seconds: float | None) -> UserState | None:
        """What the store says; None where it says nothing in time."""
        if self._store.is_local:
            began = time.monotonic()
            if began >= self._slow_until:
                state = self._near(version, user_id)
                if (ended := time.monotonic()) - began > _SLOW:
                    self._slow_until = ended + _REST
                return state
            seconds = None
        reading = asyncio.create_task(self._read(version, user_id))
        self._readings.add(reading)
        reading.add_done_callback(self._readings.discard)
        await asyncio.wait({reading}, timeout=seconds)
        return reading.result() if reading.done() else None

    def _near(self, version: str, user_id: str) -> UserState | None:
        """What the store says; what it said before where it has not changed since. None where it says nothing."""
        try:
            moment = self._moment_of_turn()
            kept = self._kept.get(user_id)
            if kept is not None and kept.moment is not None and kept.moment == moment:
                self._kept.move_to_end(user_id)
                return kept.state
            state = self._store.user(version, user_id)
        except StoreDownError:
            return None
        self._keep(version, user_id, state, moment)
        return state

    def _moment_of_turn(self) -> object | None:
        """The store's moment, asked once a turn of the event loop.

        What runs within a turn was asked before it, so it need not hear of what others acknowledge meanwhile. Who asks
        later, knowing of such an acknowledgement, is queued behind `_forget`: a loop calls in the order of the queue.
        """
        if self._moment is None:
            self._moment = self._store.moment()
            asyncio.get_running_loop().call_soon(self._forget)
        return self._moment

    def _forget(self) -> None:
        self._moment = None

    async def _read(self, version: str, user_id: str) -> UserState | None:
        try:
            async with asyncio.timeout(self._patience):
                state = await asyncio.to_thread(self._store.user, version, user_id)
        except (StoreDownError, TimeoutError):
            return None
        self._keep(version, user_id, state)
        return state

    def _whole(self, version: str, user_id: str, state: UserState) -> UserState:
        """The same state; with the remembered row where the store has lost it."""
        kept = self._kept.get(user_id, _NOBODY).state.row
        if state.row is not None or kept is None or version != self._version:
            return state
        return UserState(kept, tuple(event for event in state.events if event.number > kept.upto))

    def _keep(self, version: str, user_id: str, state: UserState, moment: object | None = None) -> None:
        """Remembers a state, unless another release came meanwhile or a later state is known."""
        before = self._kept.get(user_id, _NOBODY)
        whole = self._whole(version, user_id, state)
        if (
            version != self._version
            or _last(whole) < _last(before.state)
            or not (whole.row is not None or whole.events)
        ):
            return
        size = _size(user_id, whole)
        self._kept[user_id] = Kept(whole, size, moment if whole is state else None)
        self._kept.move_to_end(user_id)
        self.size += size - before.size
        while len(self._kept) > self._most or self.size > self._room:
            self.size -= self._kept.popitem(last=False)[1].size


def _last(state: UserState) -> int:
    """Number of the last event that a state has heard of."""
    if state.events:
        return state.events[-1].number
    return 0 if state.row is None else state.row.upto


def _size(user_id: str, state: UserState) -> int:
    """Bytes of a state, about."""
    row, size = state.row, _STATE + getsizeof(user_id)
    if row is not None:
        size += sum(part.nbytes for part in (row.numbers, row.scores, row.history, row.attributes, row.vector))
    ids = ((event.event_id, event.user_id, event.item_id) for event in state.events)
    return size + sum(_EVENT + sum(map(getsizeof, names)) for names in ids)
