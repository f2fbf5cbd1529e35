"""Kinds of cases that a mean over all hides: new users and items, popular and rare items, short and long histories."""

import numpy as np
from jaxtyping import Bool, Int, Shaped
from numpy import ndarray
from torch import Tensor

from l2rec.types import Cases

NAMES = (
    "new users",
    "new items",
    "head items",
    "middle items",
    "tail items",
    "short histories",
    "medium histories",
    "long histories",
)
"""The slices, in the order of a report."""
HEAD_SHARE, TAIL_SHARE = 0.2, 0.2
"""Share of the training events that the head items take, and the tail items; the middle has the rest."""
SHORT, LONG = 5, 20
"""A history of at most `SHORT` events is short, one of more than `LONG` is long."""


def slices(
    cases: Cases, item_counts: Int[Tensor, " N"], user_counts: Int[Tensor, " users"]
) -> dict[str, Bool[ndarray, " U"]]:
    """Returns, by the slice's name, which cases belong to it; a slice may be empty, and a case is in several.

    * `new users`, `new items`: those without a training event.
    * `head items`, `middle items`, `tail items`: targets by popularity, see `popularity_bands`.
    * `short histories`, `medium histories`, `long histories`: up to 5, 6 to 20, over 20 events before the target.

    Args:
        cases: What is asked.
        item_counts: Training events of every item.
        user_counts: Training events of every user, by row of the users table.
    """
    bands = popularity_bands(item_counts)[cases.targets.numpy()]
    lengths = cases.histories.lengths().numpy()
    masks = (
        user_counts.numpy()[cases.users.numpy()] == 0,
        *(bands == band for band in ("new", "head", "middle", "tail")),
        lengths <= SHORT,
        (lengths > SHORT) & (lengths <= LONG),
        lengths > LONG,
    )
    return dict(zip(NAMES, masks, strict=True))


def popularity_bands(counts: Int[Tensor, " N"]) -> Shaped[ndarray, " N"]:
    """Returns `head`, `middle`, `tail` or `new` for every item.

    Going from the most popular item down, the head takes the first fifth of all training events, the tail the last
    fifth. Items with equal counts go together, by the middle of the stretch of events that they hold, so that no order
    among them matters. An item without an event is new.
    """
    values, place, size = np.unique(-counts.numpy(), return_inverse=True, return_counts=True)
    events = -values * size
    through = np.cumsum(events)
    middle = (through - events / 2) / max(1, int(events.sum()))
    names = np.where(middle < HEAD_SHARE, "head", np.where(middle >= 1 - TAIL_SHARE, "tail", "middle"))
    return np.where(values == 0, "new", names)[place]
