"""Ids as bytes: any text that a caller may send, in the order of its characters, and back."""

import math
from collections.abc import Sequence

from l2rec.errors import StoreError
from l2rec.serving.records import Event


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
        StoreError: a time is no finite number.
    """
    for event in events:
        if not math.isfinite(event.time):
            raise StoreError(f"event {event.event_id!r}: time {event.time}: expected seconds since 1970. Correct it.")
    return events
