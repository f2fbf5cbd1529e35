"""What a store keeps: releases, the rows of users, events, items that came after the training, and keys."""

import struct
from dataclasses import dataclass, field
from typing import Self

import numpy as np
from jaxtyping import Float, Int
from numpy import ndarray

from l2rec.config import Settings
from l2rec.errors import StoreError

_HEAD = struct.Struct("<BQIIII")
_LAYOUT = 1


class Release(Settings):
    """One published version of a run: what decides its answers, and what was measured while it was made."""

    version: str
    """Name of the version: the time of its beginning in UTC and the first characters of its weights' hash."""
    run: str
    """Folder of the run, as the servers see it."""
    model: str
    """The model's name."""
    weights: str
    """SHA-256 of the run's weights."""
    created: float
    """Seconds since 1970 when publishing began."""
    k: int
    """Length of the lists that were computed ahead."""
    users: int
    """Users that get a row."""
    items: int
    """Items of the catalogue."""
    upto: int
    """Number of the last event that the rows have heard of; 0 where there was none."""
    popular: tuple[int, ...]
    """Item numbers, most events first."""
    index: str = "exact"
    """How the lists were searched: `exact`, or the name of faiss's index."""
    recall: float | None = None
    """Share of the exact lists that the index finds, on a sample of users; None where it is exact."""
    finished: float | None = None
    """Seconds since 1970 when the last row was written; None while it is being made."""


@dataclass(frozen=True)
class UserRow:
    """What was computed ahead for one user.

    Attributes:
        numbers: Item numbers of the list, best first.
        scores: Their scores.
        history: Item numbers of all that the user did until `upto`, oldest first.
        attributes: The user's attribute vector; A = 0 where the data has none.
        vector: The preference vector; D = 0 where the model has none.
        upto: Number of the last event that is in `history`.
    """

    numbers: Int[ndarray, " K"]
    scores: Float[ndarray, " K"]
    history: Int[ndarray, " L"]
    attributes: Float[ndarray, " A"]
    vector: Float[ndarray, " D"]
    upto: int = 0

    def to_bytes(self) -> bytes:
        """Returns the row as bytes: 32-bit numbers, scores and attributes, a 16-bit vector; little endian."""
        sizes = (len(self.numbers), len(self.history), len(self.attributes), len(self.vector))
        parts = (
            self.numbers.astype("<i4"),
            self.scores.astype("<f4"),
            self.history.astype("<i4"),
            self.attributes.astype("<f4"),
            self.vector.astype("<f2"),
        )
        return _HEAD.pack(_LAYOUT, self.upto, *sizes) + b"".join(part.tobytes() for part in parts)

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """Returns the row that `to_bytes` wrote.

        Raises:
            StoreError: the bytes are no row, or were cut.
        """
        if len(data) < _HEAD.size or data[0] != _LAYOUT:
            raise StoreError("a user's row: not in the layout of this l2rec. Publish the run again.")
        _, upto, k, length, attributes, width = _HEAD.unpack_from(data)
        shapes = (("<i4", k), ("<f4", k), ("<i4", length), ("<f4", attributes), ("<f2", width))
        if len(data) != _HEAD.size + sum(np.dtype(kind).itemsize * count for kind, count in shapes):
            raise StoreError("a user's row: cut or damaged. Publish the run again.")
        places = [_HEAD.size]
        for kind, count in shapes:
            places.append(places[-1] + np.dtype(kind).itemsize * count)
        parts = [np.frombuffer(data, kind, count, place) for (kind, count), place in zip(shapes, places, strict=False)]
        return cls(parts[0], parts[1], parts[2], parts[3], parts[4], upto)


@dataclass(frozen=True)
class Event:
    """Something that a user did.

    Attributes:
        event_id: Chosen by whoever reports it; the same id is the same event, however often it is reported.
        user_id: Outside id of the user.
        item_id: Outside id of the item; it need not be known yet.
        time: Seconds since 1970.
        number: Its place among all events of the store, from 1; 0 before it is stored.
    """

    event_id: str
    user_id: str
    item_id: str
    time: float
    number: int = 0


class LiveItem(Settings):
    """An item that came, changed or went after the training."""

    item_id: str
    """Outside id."""
    title: str = ""
    """What a person is shown."""
    text: str = ""
    """What a language model reads; the title where empty."""
    attributes: tuple[str, ...] = ()
    """Tokens of the form `column=value`, for filters."""
    deleted: bool = False
    """Whether it may no longer be recommended."""
    number: int = 0
    """Place of this change among all changes of items, from 1; 0 before it is stored."""


class Key(Settings):
    """An API key as it is stored: its hash, never itself."""

    digest: str
    """SHA-256 of the key, in hexadecimal."""
    name: str
    """Whose it is."""
    scopes: tuple[str, ...]
    """Of `read`, `write` and `admin`."""
    rate: float = 100.0
    """Requests a second on average, 0 for no limit."""
    expires: float | None = None
    """Seconds since 1970 after which it is refused; None for never."""


@dataclass(frozen=True)
class UserState:
    """All that a store knows of a user.

    Attributes:
        row: What was computed ahead; None for a user whom the version does not know.
        events: What the user did since, oldest first; all of it where there is no row.
    """

    row: UserRow | None
    events: tuple[Event, ...] = field(default=())
