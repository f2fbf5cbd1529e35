"""A model and a store that may fail on demand, and what tests of the desk say about events and answers."""

import threading
from collections.abc import Awaitable, Callable, Sequence

import torch

from l2rec.errors import StoreDownError
from l2rec.serving.answering.desk import Desk
from l2rec.serving.model.live import Ask, Live
from l2rec.serving.records import Event, UserState
from l2rec.serving.store.sqlite import SqliteStore
from l2rec.serving.wishes import Answer

Story = Callable[[Desk], Awaitable[None]]
"""What happens at a desk."""


class Stubborn(Live):
    """A model that may wait at a gate, or fail."""

    gate = threading.Event()
    entered = threading.Event()
    fails = False
    whose: tuple[str, ...] = ()

    def scores(self, asks: Sequence[Ask]) -> torch.Tensor:
        self.entered.set()
        Stubborn.whose = tuple(ask.user_id for ask in asks)
        assert self.gate.wait(20)
        if self.fails:
            raise ValueError("broken")
        return super().scores(asks)


class Moody(SqliteStore):
    """A store that may be down."""

    down = False

    def moment(self) -> object | None:
        if self.down:
            raise StoreDownError("down")
        return None

    def user(self, version: str, user_id: str) -> UserState:
        if self.down:
            raise StoreDownError("down")
        return super().user(version, user_id)


def did(name: str, user: str, item: str) -> Event:
    return Event(name, user, item, 1.6e9)


def ids(answer: Answer) -> list[str]:
    return [place.item_id for place in answer.places]
