"""What the store says of a user, and what it said last where it says nothing."""

import asyncio
from collections import OrderedDict
from sys import getsizeof

from l2rec.errors import StoreDownError
from l2rec.serving.records import UserState
from l2rec.serving.store.contract import Store

DOWN = "the store is down: answered from memory"
GONE = "the rows of this release are gone from the store: answered from what is remembered and reported"
_STATE = 1024
"""Bytes of a remembered user besides the numbers of the row and the events."""
_EVENT = 256
"""Bytes of an event besides its ids."""


class Memory:
    """Reads users from a store and keeps those who asked last, for the time when the store is down.

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
        self._kept: OrderedDict[str, tuple[UserState, int]] = OrderedDict()
        self._readings: set[asyncio.Task[UserState | None]] = set()
        self._version = ""
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
        if state is None:
            return self._kept.get(user_id, (UserState(None), 0))[0], DOWN
        whole = self._whole(version, user_id, state)
        lost = version == self.gone and whole.row is None
        return whole, GONE if lost or whole is not state else ""

    async def _asked(self, version: str, user_id: str, seconds: float | None) -> UserState | None:
        """What the store says; None where it says nothing in time."""
        if self._store.is_local:
            try:
                state = self._store.user(version, user_id)
            except StoreDownError:
                return None
            self._keep(version, user_id, state)
            return state
        reading = asyncio.create_task(self._read(version, user_id))
        self._readings.add(reading)
        reading.add_done_callback(self._readings.discard)
        await asyncio.wait({reading}, timeout=seconds)
        return reading.result() if reading.done() else None

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
        kept = self._kept.get(user_id, (UserState(None), 0))[0].row
        if state.row is not None or kept is None or version != self._version:
            return state
        return UserState(kept, tuple(event for event in state.events if event.number > kept.upto))

    def _keep(self, version: str, user_id: str, state: UserState) -> None:
        """Remembers a state, unless another release came meanwhile or a later state is known."""
        before, held = self._kept.get(user_id, (UserState(None), 0))
        state = self._whole(version, user_id, state)
        if version != self._version or _last(state) < _last(before) or not (state.row is not None or state.events):
            return
        size = _size(user_id, state)
        self._kept[user_id] = state, size
        self._kept.move_to_end(user_id)
        self.size += size - held
        while len(self._kept) > self._most or self.size > self._room:
            self.size -= self._kept.popitem(last=False)[1][1]


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
