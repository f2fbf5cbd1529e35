"""Puts the events in order and decides which of them are trained on, validated on and tested on."""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field

from l2rec.config import Settings
from l2rec.data import times
from l2rec.errors import DataError

TRAIN, VALIDATION, TEST = 0, 1, 2
_SECOND = 1_000_000
Numbers = npt.NDArray[np.signedinteger[Any]]


class SplitSettings(Settings):
    """How the log is divided; all that is learnt or counted comes from the training part."""

    kind: Literal["loo", "temporal"] = "loo"
    """loo: each user's last event is the test, the one before the validation; temporal: one cut in time for all."""
    validation_share: float = Field(default=0.1, gt=0, lt=1)
    """Share of all events between the two cuts of a temporal split."""
    test_share: float = Field(default=0.1, gt=0, lt=1)
    """Share of all events after the second cut of a temporal split."""
    validation_from: str | int | None = None
    """First moment of the validation part, seconds or an ISO date; in place of the shares."""
    test_from: str | int | None = None
    """First moment of the test part, seconds or an ISO date; in place of the shares."""
    cases: Literal["first", "last", "all"] = "last"
    """Which of a user's events in a part of a temporal split are asked for; the others still stand in histories."""
    k_core: int = Field(default=0, ge=0)
    """Training events that every user and every item must have; 0 and 1 keep all."""
    min_rating: float | None = None
    """Events with a lower rating, or none, are left out before the split."""
    seed: int = Field(default=0, ge=0)
    """Seed of the order of events of the same time and of the numbers of users and items."""

    @property
    def name(self) -> str:
        """What a protocol calls this split: `loo`, `temporal-last`, ..."""
        return "loo" if self.kind == "loo" else f"temporal-{self.cases}"


@dataclass(frozen=True)
class Cuts:
    """The first second of the validation part and of the test part; None for a split without a cut."""

    validation_from: int | None = None
    test_from: int | None = None


def checked(settings: SplitSettings, timestamp_kind: str, rated: bool) -> None:
    """Refuses what cannot be split without a leak, before anything is read.

    Raises:
        DataError: a time split of positions, cuts in the wrong order or by halves, or a least rating without ratings.
    """
    if settings.min_rating is not None and not rated:
        raise DataError("min_rating: the log has no ratings. Leave it out, or name their column with --rating.")
    given = [settings.validation_from, settings.test_from]
    if settings.kind == "loo":
        if given != [None, None]:
            raise DataError(
                "validation_from, test_from: a loo split has no cut. Leave them out, or take kind temporal."
            )
        return
    if timestamp_kind == "position":
        why = "the times are positions in each user's sequence, which do not tell what came first among users"
        raise DataError(f"split temporal: {why}. Take kind loo, or a source with times.")
    if given.count(None) == 1:
        raise DataError("validation_from, test_from: one is missing. Give both, or neither and the shares.")
    if settings.validation_share + settings.test_share >= 1:
        both = f"{settings.validation_share:g} + {settings.test_share:g}"
        raise DataError(f"validation_share + test_share: {both}: expected less than 1. Leave events to train on.")
    if None not in given:
        _given(settings)


def _given(settings: SplitSettings) -> tuple[int, int]:
    first = times.seconds(settings.validation_from or 0, "validation_from")
    second = times.seconds(settings.test_from or 0, "test_from")
    if first >= second:
        raise DataError(
            f"validation_from {settings.validation_from}: expected before test_from {settings.test_from}. "
            "Swap or change them."
        )
    return first, second


def parts(user: Numbers, time: Numbers, settings: SplitSettings) -> tuple[npt.NDArray[np.int8], Cuts]:
    """Returns the part of every event, and the cuts.

    Args:
        user: The user of every event, equal ones side by side, each user's events in order.
        time: Its time, microseconds or a position.
        settings: How to divide.

    Raises:
        DataError: no event is left to train on, or a part after a cut is empty.
    """
    if settings.kind == "loo":
        return _last_out(user), Cuts()
    moment = time // _SECOND
    first, second = _given(settings) if settings.validation_from is not None else _shares(moment, settings)
    part = (moment >= first).astype(np.int8) + (moment >= second).astype(np.int8)
    for number, name in enumerate(("training", "validation", "test")):
        if not np.any(part == number):
            span = f"cuts at {first} and {second}, times {moment.min()} to {moment.max()}"
            raise DataError(f"split temporal: the {name} part is empty ({span}). Move the cuts.")
    return part, Cuts(first, second)


def _last_out(user: Numbers) -> npt.NDArray[np.int8]:
    """Users with fewer than three events are trained on entirely."""
    starts, lengths = runs(user)
    part = np.zeros(len(user), np.int8)
    ends = (starts + lengths)[lengths >= 3]
    part[ends - 1] = TEST
    part[ends - 2] = VALIDATION
    return part


def _shares(moment: Numbers, settings: SplitSettings) -> tuple[int, int]:
    """Cuts at whole seconds; all events of the cut's own second fall after it."""
    ordered = np.sort(moment)
    last = len(ordered) - 1
    second = int(ordered[min(last, round(len(ordered) * (1 - settings.test_share)))])
    first = int(ordered[min(last, round(len(ordered) * (1 - settings.test_share - settings.validation_share)))])
    return first, second


def cases(user: Numbers, settings: SplitSettings) -> Numbers:
    """Returns the number of the case that every held-out event of one part is; -1 where it only stands in histories.

    Args:
        user: The user of every event of the part, equal ones side by side, each user's events in order.
        settings: Says which of a user's events are asked for.
    """
    chosen = np.zeros(len(user), bool)
    starts, lengths = runs(user)
    if settings.kind == "loo" or settings.cases == "all":
        chosen[:] = True
    else:
        chosen[starts if settings.cases == "first" else starts + lengths - 1] = True
    return np.where(chosen, np.cumsum(chosen) - 1, -1)


def core(user: Numbers, item: Numbers, k: int) -> npt.NDArray[np.bool_]:
    """Returns which training events belong to the k-core: the largest set where users and items have k events each.

    Args:
        user: The user number of every training event.
        item: Its item number.
        k: Events that every user and item must have; repeats count.
    """
    kept = np.ones(len(user), bool)
    if k < 2:
        return kept
    while True:
        users = np.bincount(user[kept], minlength=user.max(initial=0) + 1)
        items = np.bincount(item[kept], minlength=item.max(initial=0) + 1)
        still = kept & (users[user] >= k) & (items[item] >= k)
        if still.sum() == kept.sum():
            return kept
        kept = still


def runs(values: Numbers) -> tuple[Numbers, Numbers]:
    """Returns where each run of equal values starts, and how long it is."""
    if not len(values):
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    starts = np.flatnonzero(np.concatenate([[True], values[1:] != values[:-1]]))
    return starts, np.diff(np.append(starts, len(values)))
