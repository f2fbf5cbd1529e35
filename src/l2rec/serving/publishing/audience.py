"""Everybody who gets a row: users of the prepared data and those whom only events know, with all that they did."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from jaxtyping import Int
from numpy import ndarray
from torch import Tensor

from l2rec.data.prepared import Prepared
from l2rec.serving.recommender import pasts
from l2rec.serving.records import Event
from l2rec.serving.store.contract import Store
from l2rec.serving.store.ids import LATEST
from l2rec.types import Histories

Users = Int[ndarray, " _"]
"""Numbers of users."""


@dataclass(frozen=True)
class Audience:
    """Users and their histories.

    Attributes:
        ids: Outside ids, U of them.
        histories: What each did, oldest first: the data's events, then the store's in the order of their numbers.
        upto: Number of the last event that each history has heard of. A history ends before the first event with an
            item that the catalogue lacks, so that a server that knows the item finds that event among the later ones.
    """

    ids: tuple[str, ...]
    histories: Histories
    upto: Int[ndarray, " U"]

    def __len__(self) -> int:
        return len(self.ids)

    def plan(self, length: int, token_counts: Int[Tensor, " N"], batch: int, max_tokens: int) -> list[Users]:
        """Returns the users of every batch, the longest histories first, so that a batch that is too big fails at once.

        The order of the users depends on neither `batch` nor `max_tokens`.

        Args:
            length: Events read of a history, at most.
            token_counts: Positions that each item takes in the model.
            batch: Users of a batch, at most.
            max_tokens: Users of a batch times positions of its longest history, at most, where that is not one user.
        """
        total = torch.cat((torch.zeros(1, dtype=torch.long), token_counts.long()[self.histories.items].cumsum(0)))
        stops = self.histories.offsets[1:]
        tokens = total[stops] - total[stops - self.histories.lengths().clamp(max=length)]
        order = tokens.argsort(descending=True, stable=True).numpy()
        longest, bounds = tokens.numpy()[order], [0]
        while bounds[-1] < len(order):
            fitting = max_tokens // max(1, int(longest[bounds[-1]]))
            bounds.append(min(len(order), bounds[-1] + max(1, min(batch, fitting))))
        return [order[begin:end] for begin, end in pairwise(bounds)]

    def part(self, users: Users) -> Histories:
        """Returns the histories of some users, in the order given."""
        chosen = torch.from_numpy(users)
        begin, sizes = self.histories.offsets[chosen], self.histories.lengths()[chosen]
        offsets = torch.cat((torch.zeros(1, dtype=torch.long), sizes.cumsum(0)))
        place = torch.arange(int(offsets[-1])) + (begin - offsets[:-1]).repeat_interleave(sizes)
        return Histories(
            self.histories.items[place], self.histories.times[place], offsets, self.histories.attributes[chosen]
        )


def audience_of(prepared: Prepared, events: Iterable[Event], last: int) -> Audience:
    """Returns the users of prepared data and of events.

    Args:
        prepared: What the run was trained on; everything that it knows of a user counts.
        events: What the store heard, in the order of the numbers.
        last: Number of the last of them.
    """
    item_ids = prepared.item_ids
    numbers = {user_id: number for number, user_id in enumerate(prepared.user_ids.values)}
    stopped: dict[int, int] = {}
    later: list[tuple[int, int, int]] = []
    for event in events:
        user = numbers.setdefault(event.user_id, len(numbers))
        if event.item_id not in item_ids:
            stopped.setdefault(user, event.number - 1)
        elif user not in stopped:
            later.append((user, item_ids.number(event.item_id), _second(event.time)))
    upto = np.full(len(numbers), last)
    upto[list(stopped)] = list(stopped.values())
    return Audience(tuple(numbers), _joined(pasts(prepared), later, len(numbers)), upto)


def _second(time: float) -> int:
    """A time as a whole second; one that an older store took though no clock shows it must not stop a release."""
    return int(min(max(time, 0.0), LATEST))


def _joined(known: Histories, later: list[tuple[int, int, int]], users: int) -> Histories:
    """Histories that go on with later events: user, item and time of each."""
    user, item, time = torch.tensor(later, dtype=torch.long).reshape(-1, 3).T
    owner = torch.cat((torch.arange(len(known)).repeat_interleave(known.lengths()), user))
    order = owner.argsort(stable=True)
    items, times = torch.cat((known.items, item))[order], torch.cat((known.times, time))[order]
    sizes = torch.bincount(owner, minlength=users)
    offsets = torch.cat((torch.zeros(1, dtype=torch.long), sizes.cumsum(0)))
    strangers = torch.zeros(users - len(known), known.attributes.shape[1])
    return Histories(items, times, offsets, torch.cat((known.attributes, strangers)))


def events_until(store: Store, last: int) -> Iterator[Event]:
    """Yields the events of a store up to a number, some at a time."""
    after = 0
    while after < last and (events := store.events(after)):
        yield from (event for event in events if event.number <= last)
        after = max(event.number for event in events)


def popular(histories: Histories, weight: Int[Tensor, " N"], places: int) -> tuple[int, ...]:
    """Returns the items with the most events, most first; equal ones in the order of `evaluation.ranking.best`.

    Args:
        histories: Whose events count.
        weight: Of equal counts the item of the larger weight comes first.
        places: How many, at most.
    """
    counts = np.bincount(histories.items.numpy(), minlength=len(weight))
    return tuple(int(n) for n in np.lexsort((-weight.numpy(), -counts))[:places])
