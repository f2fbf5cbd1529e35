"""What the tests of a store are made of: small releases, rows and events, and several callers at once."""

import threading
from collections.abc import Callable, Sequence

import numpy as np

from l2rec.serving.records import Event, Release, UserRow
from l2rec.serving.store.contract import Store

STRANGE = [
    "",
    " ",
    "a' OR '1'='1",
    "'; DROP TABLE events; --",
    "%_*?[a-z]{}:\\",
    "\0",
    "a\0b",
    "a\r\nDEL x\r\n",
    "../../x",
    "Ωmega ☃ 🙂",
    "e\u0301",
    "é",
    "\ud800",
    "\U0010ffff",
    "x" * 100_000,
]
"""Ids that a careless store would trip over."""


def release(version: str, created: float = 1.0, finished: float | None = 2.0) -> Release:
    return Release(
        version=version,
        run="run",
        model="ease",
        weights="0" * 64,
        created=created,
        k=2,
        users=3,
        items=9,
        upto=0,
        popular=(1, 2),
        finished=finished,
    )


def row(number: int, upto: int = 0) -> bytes:
    numbers = np.array([number, number + 1], np.int32)
    nothing = np.zeros(0, np.float32)
    return UserRow(numbers, np.ones(2, np.float32), numbers, nothing, nothing.astype(np.float16), upto).to_bytes()


def publish(store: Store, version: str, users: Sequence[str], number: int, upto: int = 0) -> None:
    store.begin(release(version, finished=None))
    store.write_rows(version, [(user_id, row(number, upto)) for user_id in users], len(users))
    store.switch(release(version))


def event(name: str, user_id: str = "u", item_id: str = "i", time: float = 1.5) -> Event:
    return Event(name, user_id, item_id, time)


def listed(store: Store, version: str, user_id: str) -> list[int] | None:
    found = store.user(version, user_id).row
    return None if found is None else found.numbers.tolist()


def at_once(*tasks: Callable[[], object]) -> None:
    """Runs each task on a thread of its own and raises what one of them raised."""
    raised: list[BaseException] = []

    def run(task: Callable[[], object]) -> None:
        try:
            task()
        except BaseException as error:
            raised.append(error)

    threads = [threading.Thread(target=run, args=(task,)) for task in tasks]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if raised:
        raise raised[0]
