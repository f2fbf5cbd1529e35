"""Ids as bytes: any text that a caller may send, in the order of its characters, and back."""

import math
from collections.abc import Sequence

from l2rec.errors import StoreError
from l2rec.serving.records import Event

LATEST = 1e11
"""Seconds since 1970 of the latest event; milliseconds are beyond it."""


def to_bytes(text: str) -> bytes:
    """Returns a text as UTF-8; the halves of a character pair that JSON lets through alone are kept."""
    return text.encode("utf-8", "surrogatepass")


def to_text(data: bytes) -> str:
    """Returns the text that `to_bytes` encoded."""
    return data.decode("utf-8", "surrogatepass")


def past(prefix: str) -> bytes:
    """Returns bytes above all ids that begin with `prefix` and below all later ones."""
    data = to_bytes(prefix)
    return data[:-1] + bytes([data[-1] + 1]) if data else b"\xff"


def checked(events: Sequence[Event]) -> Sequence[Event]:
    """Returns the events.

    Raises:
        StoreError: a time is no finite number, before 1970 or after `LATEST`.
    """
    for event in events:
        if not math.isfinite(event.time):
            raise StoreError(f"event {event.event_id!r}: time {event.time}: expected seconds since 1970. Correct it.")
        if not 0 <= event.time <= LATEST:
            raise StoreError(
                f"event {event.event_id!r}: time {event.time:g}: expected 0 to {LATEST:.0f}. Send seconds since 1970."
            )
    return events
