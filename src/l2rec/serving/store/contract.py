"""The contract of a store: what publishing writes, what a server reads and what it may promise about an event."""

from abc import ABC, abstractmethod
from collections.abc import Sequence

from l2rec.serving.records import Event, Key, LiveItem, Release, UserState

NEWEST = 1000
"""Events of a user since the row, at most: what one answer reads must not grow with how long a script has reported."""


class Store(ABC):
    """Releases with the rows of their users, a log of events, changed items and keys; any number of processes share it.

    Every method may be called from any thread, and what it has returned from is durable: a process that is killed
    afterwards, the store's own included, loses nothing of it. What cannot be reached or written raises StoreDownError;
    nothing is then half written, and the next call tries again, so that a store heals without being opened anew. Ids
    are any text, of any length.

    Attributes:
        is_local: Whether a read takes microseconds, so that it may be done within an event loop.
    """

    is_local: bool

    # Releases

    @abstractmethod
    def begin(self, release: Release) -> None:
        """Notes a release that is being made; one of the same version goes on where it stopped, as it was first noted.

        Raises:
            StoreError: a finished release has that version.
        """

    @abstractmethod
    def write_rows(self, version: str, rows: Sequence[tuple[str, bytes]], done: int) -> None:
        """Writes rows of users (`UserRow.to_bytes`) by outside id, and notes that `done` users are done.

        The note is never there without the rows; a user's older row is replaced.

        Raises:
            StoreError: the version was never begun or has been dropped, or a row is none.
        """

    @abstractmethod
    def done(self, version: str) -> int:
        """Returns how many users of a release are done; 0 where there is no such release."""

    @abstractmethod
    def switch(self, release: Release) -> None:
        """Makes a finished release the current one, in one step for all readers; it is stored as given.

        Raises:
            StoreError: the version was never begun or has been dropped, or `finished` is None.
        """

    @abstractmethod
    def rollback(self) -> Release:
        """Makes the release that was current before the current one current again, and returns it.

        Each release has one place in that order, that of its last switch; the one that is left loses its place, is
        kept, and may be switched to again. Dropped ones are passed over.

        Raises:
            StoreError: there is none.
        """

    @abstractmethod
    def current(self) -> Release | None:
        """Returns the current release, or None before the first."""

    @abstractmethod
    def releases(self) -> list[Release]:
        """Returns every release that is kept, unfinished ones included, newest first."""

    @abstractmethod
    def drop(self, version: str) -> None:
        """Deletes a release and its rows, in steps that nobody waits for; nothing where there is no such release.

        It is out of sight at once; what a killed process left of its rows goes with the next release that is dropped.

        Raises:
            StoreError: it is the current one.
        """

    # Users and events

    @abstractmethod
    def user(self, version: str, user_id: str) -> UserState:
        """Returns the user's row in a release and the events since (above the row's `upto`), from one moment.

        Of these the newest `NEWEST` (1,000) at most, in order of their numbers. The row's history covers what was
        reported up to `upto`; an event between the two is in neither until the next release.
        """

    def moment(self) -> object | None:
        """Returns what equals a later answer only where no process has changed anything between the two.

        It lets a reader keep what it read, for as long as that is the truth. None, which says nothing, where it cannot
        be told much sooner than a user is read.

        Raises:
            StoreDownError: the store cannot be read.
        """
        return None

    @abstractmethod
    def user_ids(self, version: str, prefix: str, limit: int) -> list[str]:
        """Returns ids of users that have a row and begin with `prefix`, in order of the id, at most `limit`."""

    @abstractmethod
    def append(self, events: Sequence[Event]) -> list[bool]:
        """Stores events, all or none, and returns which of them are new: not reported before by the same `event_id`.

        New ones are numbered from 1 without a gap, in the order in which they become visible: who has read up to a
        number never misses an earlier one.

        Raises:
            StoreError: a time is no finite number.
        """

    @abstractmethod
    def events(self, after: int = 0, limit: int = 10_000) -> list[Event]:
        """Returns events of all users with a number above `after`, in order of their numbers, at most `limit`."""

    @abstractmethod
    def last_event(self) -> int:
        """Returns the number of the newest event; 0 where there is none."""

    # Items and keys

    @abstractmethod
    def put_items(self, items: Sequence[LiveItem]) -> int:
        """Stores changes of items, all or none, gives each its number, and returns the last."""

    @abstractmethod
    def items(self, after: int = 0) -> list[LiveItem]:
        """Returns the newest state of every item that changed after the change `after`, in order of the changes."""

    @abstractmethod
    def put_key(self, key: Key) -> None:
        """Stores a key; one of the same digest is replaced."""

    @abstractmethod
    def keys(self) -> list[Key]:
        """Returns every key."""

    @abstractmethod
    def drop_key(self, name: str) -> int:
        """Deletes the keys of a name and returns how many there were."""

    # The store itself

    @abstractmethod
    def ping(self) -> None:
        """Returns where the store can be read.

        Raises:
            StoreDownError: it cannot.
        """

    @abstractmethod
    def close(self) -> None:
        """Lets go of connections and files; the store may not be used afterwards."""
