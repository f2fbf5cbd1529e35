"""What the store says of a user, and what it said last where it says nothing."""

import asyncio
from collections import OrderedDict

from l2rec.errors import StoreDownError
from l2rec.serving.records import UserState
from l2rec.serving.store.contract import Store


class Memory:
    """Reads users from a store and keeps those who asked last, for the time when the store is down."""

    def __init__(self, store: Store, most: int = 4096, patience: float = 1.0) -> None:
        """Begins empty.

        Args:
            store: The store.
            most: Users that are kept.
            patience: Seconds after which a store that is not local counts as down.
        """
        self._store, self._most, self._patience = store, most, patience
        self._kept: OrderedDict[str, UserState] = OrderedDict()
        self._version = ""

    def __len__(self) -> int:
        return len(self._kept)

    async def user(self, version: str, user_id: str) -> tuple[UserState, bool]:
        """Returns the state of a user in a release, and whether it is from memory since the store is down."""
        if version != self._version:  # another release has other rows
            self._kept.clear()
            self._version = version
        try:
            state = await self._read(version, user_id)
        except (StoreDownError, TimeoutError):
            return self._kept.get(user_id, UserState(None)), True
        if state.row is not None or state.events:
            self._kept[user_id] = state
            self._kept.move_to_end(user_id)
            if len(self._kept) > self._most:
                self._kept.popitem(last=False)
        return state, False

    async def _read(self, version: str, user_id: str) -> UserState:
        if self._store.is_local:
            return self._store.user(version, user_id)
        async with asyncio.timeout(self._patience):
            return await asyncio.to_thread(self._store.user, version, user_id)
