"""Puts users, items and each user's events in the order of a seeded hash: never of an id, never of the file."""

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b

import numpy as np
import numpy.typing as npt
import polars as pl

from l2rec.data.interactions import Log
from l2rec.data.splits import Numbers, SplitSettings
from l2rec.errors import DataError

Hashes = npt.NDArray[np.uint64]
Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Ordered:
    """Events by user, each user's in the order of time, under provisional numbers.

    Attributes:
        frame: `user`, `item` (places in `user_ids` and `item_ids`), `time` and perhaps `rating`.
        user_ids: Distinct ids in the order of their seeded hash.
        item_ids: The same for items.
        low_rating: Events that were left out since their rating was too low or missing.
    duplicates: Events that were left out as the second of a pair with one user, item, time and rating.
        tied: Events that share their stored time with another event of the same user.
    """

    frame: pl.DataFrame
    user_ids: pl.Series
    item_ids: pl.Series
    low_rating: int
    duplicates: int


def ordered(log: Log, catalogue: pl.Series, split: SplitSettings, keep_duplicates: bool) -> Ordered:
    """Returns the events of a checked log in order.

    Events of one user at one time follow each other by a hash of (seed, user_id, item_id, occurrence), where occurrence
    counts the events of one user, item and time by rating.

    Args:
        log: What `interactions.read` returned.
        catalogue: Ids of further items, with or without events.
        split: Says the seed of every hash and the least rating.
        keep_duplicates: Whether full duplicates stay.

    Raises:
        DataError: no event has a rating that is high enough, or two events of a user have one position.
    """
    frame = pl.scan_parquet(log.path)
    if split.min_rating is not None:
        frame = frame.filter(pl.col("rating") >= split.min_rating)
    ids = [
        frame.select(pl.col(name).unique()).collect(engine="streaming").to_series() for name in ("user_id", "item_id")
    ]
    if not len(ids[0]):
        raise DataError(f"min_rating {split.min_rating}: no event has such a rating. Lower it.")
    users = _hashed(ids[0], "user", split.seed)
    items = _hashed(pl.concat([ids[1], catalogue.alias("item_id")]).unique(), "item", split.seed)
    numbered = frame.join(users.lazy(), on="user_id").join(items.lazy(), on="item_id")
    columns = ["user", "time", "item", *(["rating"] if "rating" in frame.collect_schema() else [])]
    events = numbered.select(columns).collect(engine="streaming").sort(columns)
    twice = _same_as_before(events, columns)
    if not keep_duplicates and twice.any():
        events = events.filter(~pl.Series(twice))
    if log.timestamp_kind == "position":
        _refuse_shared(events, users)
    events = _untied(events, users["hash"].to_numpy(), items["hash"].to_numpy())
    low = log.rows - log.bad_rows - len(twice)
    return Ordered(events, users["user_id"], items["item_id"], low, len(twice) - len(events))


def _refuse_shared(events: pl.DataFrame, users: pl.DataFrame) -> None:
    shared = events.filter(_same_as_before(events, ["user", "time"]))
    if len(shared):
        user, position = users["user_id"][shared["user"][0]], shared["time"][0]
        raise DataError(f'user "{user}": position {position}: two events. Give each event of a user its own position.')


def tied(user: Numbers, timestamp: Numbers) -> int:
    """Returns how many events have the timestamp of another event of the same user; equal ones side by side."""
    same = (user[1:] == user[:-1]) & (timestamp[1:] == timestamp[:-1])
    return int(np.count_nonzero(_either(same)))


def _either(same: Flags) -> Flags:
    """Marks both of every two neighbours that `same` marks."""
    return np.append(same, False) | np.append(False, same) if len(same) else np.zeros(1, bool)


def _hashed(ids: pl.Series, kind: str, seed: int) -> pl.DataFrame:
    """The ids in the order of their hash, numbered."""
    hashes = [int.from_bytes(blake2b(f"{seed} {kind} {i}".encode(), digest_size=8).digest()) for i in ids]
    table = pl.DataFrame({f"{kind}_id": ids, "hash": pl.Series(hashes, dtype=pl.UInt64)})
    return table.sort("hash", f"{kind}_id").with_row_index(kind)


def _same_as_before(events: pl.DataFrame, columns: Sequence[str]) -> Flags:
    same = pl.all_horizontal(pl.col(name).eq_missing(pl.col(name).shift()) for name in columns)
    flags = events.select(same).to_series().to_numpy().copy()
    flags[:1] = False
    return flags


def _untied(events: pl.DataFrame, user_hash: Hashes, item_hash: Hashes) -> pl.DataFrame:
    """Brings the events of one user and time, sorted by item so far, into the order of their hash."""
    user, item, time = (events[name].to_numpy() for name in ("user", "item", "time"))
    start = np.append(True, (user[1:] != user[:-1]) | (time[1:] != time[:-1]))
    places = np.flatnonzero(_either(~start[1:]))
    group = np.cumsum(start)[places]
    item = item[places]
    first = np.append(True, (group[1:] != group[:-1]) | (item[1:] != item[:-1]))[: len(places)]
    count = np.arange(len(places))
    occurrence = count - np.maximum.accumulate(np.where(first, count, 0))
    tie = _mixed(_mixed(user_hash[user[places]] ^ _mixed(item_hash[item])) + occurrence.astype(np.uint64))
    keys = pl.DataFrame({"group": group, "tie": tie})
    new = np.arange(len(events))
    new[places] = places[keys.select(pl.arg_sort_by("group", "tie", maintain_order=True)).to_series().to_numpy()]
    return events[new]


def _mixed(values: Hashes) -> Hashes:
    """The finalizer of splitmix64 (Steele, Lea and Flood 2014): every input bit moves every output bit."""
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))
