"""Divides an ordered log and gives its users and items their final numbers, from the training part alone."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl

from l2rec.data import splits
from l2rec.data.order import Ordered, tied
from l2rec.data.splits import TRAIN, Cuts, Numbers, SplitSettings
from l2rec.errors import DataError

_SECOND = 1_000_000


@dataclass(frozen=True)
class Division:
    """The divided log under final numbers.

    Attributes:
        frame: `user`, `item`, `timestamp`, perhaps `rating`, and `part`; by user, each user's in order.
        user_ids: By user number; users with training events first, each group in the order of the seeded hash.
        item_ids: By item number, in the same way; items of the catalogue without any event too.
        counts: Training events by item number.
        cuts: Of a temporal split.
        outside_core: Training events that the k-core left out.
        outside_core_users: Users that left with them.
        tied: Events that have the timestamp of another event of the same user.
    """

    frame: pl.DataFrame
    user_ids: pl.Series
    item_ids: pl.Series
    counts: Numbers
    cuts: Cuts
    outside_core: int
    outside_core_users: int
    tied: int


def divided(events: Ordered, catalogue: pl.Series, split: SplitSettings, timestamp_kind: str) -> Division:
    """Splits the events, takes the k-core of the training part, and numbers what stays.

    A user whose training events all fall outside the core leaves with the held-out ones; a user without training
    events is a newcomer and stays. An item outside the core stays if the catalogue has it or a held-out event names it.

    Args:
        events: The log in order.
        catalogue: Ids of the items table.
        split: How to divide.
        timestamp_kind: Whether times are microseconds or positions.

    Raises:
        DataError: a part is empty.
    """
    user, item, time = (events.frame[name].to_numpy().astype(np.int64) for name in ("user", "item", "time"))
    part, cuts = splits.parts(user, time, split)
    training = part == TRAIN
    kept = np.ones(len(user), bool)
    kept[training] = splits.core(user[training], item[training], split.k_core)
    had = _marked(user[training], len(events.user_ids))
    has = _marked(user[training & kept], len(events.user_ids))
    left = had & ~has
    outside = int(np.count_nonzero(~kept))
    kept &= ~left[user]
    if not has.any():
        raise DataError(f"k_core {split.k_core}: no training event is left. Lower it.")
    users = _final(has, _marked(user[kept], len(has)))
    sold = _marked(item[training & kept], len(events.item_ids))
    offered = events.item_ids.is_in(catalogue.implode()).to_numpy() | _marked(item[kept], len(sold))
    items = _final(sold, offered)
    timestamp = time if timestamp_kind == "position" else time // _SECOND
    columns = {"user": users.numbers[user], "item": items.numbers[item], "timestamp": timestamp, "part": part}
    rating = {name: events.frame[name] for name in events.frame.columns if name == "rating"}
    frame = pl.DataFrame({**columns, **rating})
    frame = frame.filter(pl.Series(kept)).sort("user", maintain_order=True)
    counts = np.bincount(items.numbers[item[training & kept]], minlength=len(items.order))
    ties = tied(frame["user"].to_numpy(), frame["timestamp"].to_numpy())
    ids = events.user_ids[users.order], events.item_ids[items.order]
    return Division(frame, *ids, counts, cuts, outside, int(left.sum()), ties)


@dataclass(frozen=True)
class _Final:
    """`order` is the provisional number by final number, `numbers` the other way round."""

    order: Numbers
    numbers: npt.NDArray[np.int32]


def _marked(values: Numbers, size: int) -> npt.NDArray[np.bool_]:
    return np.bincount(values, minlength=size) > 0


def _final(first: npt.NDArray[np.bool_], kept: npt.NDArray[np.bool_]) -> _Final:
    """Those that are `first`, then the others that are kept, each group in the provisional order."""
    order = np.concatenate([np.flatnonzero(first), np.flatnonzero(kept & ~first)])
    numbers = np.full(len(first), -1, np.int32)
    numbers[order] = np.arange(len(order), dtype=np.int32)
    return _Final(order, numbers)
