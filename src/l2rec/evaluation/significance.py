"""What chance could have done: bootstrap intervals over users, paired permutation tests and Holm's correction."""

from collections.abc import Iterator, Sequence

import numpy as np
from jaxtyping import Float, Num
from numpy import ndarray

RESAMPLES = 2_000
"""Resamples behind an interval."""
PERMUTATIONS = 10_000
"""Random sign flips behind a p value; with few users all flips are gone through instead."""
LEVEL = 0.95
"""Share of resamples that an interval holds, and one minus the error rate that a verdict allows."""
_AT_ONCE = 4_000_000
"""Random numbers held at a time."""


def interval(
    values: Num[ndarray, "U M"], *, seed: int = 0, resamples: int = RESAMPLES, level: float = LEVEL
) -> tuple[Float[ndarray, " M"], Float[ndarray, " M"]]:
    """Returns the percentile bootstrap interval of the mean of every column.

    Users are drawn with replacement, the same draw for every column; give the differences of two models for a paired
    interval. With no user there is nothing to draw, and the bounds are NaN.

    Args:
        values: One row a user.
        seed: Of the draws; the same seed and number of users give the same draws.
        resamples: How many times the users are drawn.
        level: Share of the resampled means between the bounds.

    References:
        Efron and Tibshirani, An Introduction to the Bootstrap (1993), chapter 13.
    """
    if not len(values):
        nothing = np.full(values.shape[1], np.nan)
        return nothing, nothing
    table = values.astype(np.float64)
    means = np.concatenate([draws @ table for draws in _draws(len(values), resamples, seed)]) / len(values)
    tail = 100 * (1 - level) / 2
    low, high = np.percentile(means, [tail, 100 - tail], axis=0)
    return low, high


def _draws(users: int, resamples: int, seed: int) -> Iterator[Float[ndarray, "draws users"]]:
    """How often each user was drawn, a row a resample."""
    chance = np.random.default_rng(seed)
    step = max(1, _AT_ONCE // users)
    for begin in range(0, resamples, step):
        size = min(step, resamples - begin)
        drawn = chance.integers(0, users, (size, users)) + users * np.arange(size)[:, None]
        yield np.bincount(drawn.ravel(), minlength=size * users).reshape(size, users).astype(np.float64)


def paired_p(differences: Num[ndarray, " U"], *, seed: int = 0, permutations: int = PERMUTATIONS) -> float:
    """Returns the two-sided p value of the paired permutation test of a zero mean difference.

    If two models are exchangeable, each user's difference is as likely with the other sign. p is the share of sign
    flips whose mean is at least as far from zero as the one found; the found one counts as one of them, so that p is
    never zero. Where there are no more than `permutations` flips, all are gone through, and p is exact.

    Args:
        differences: One value a user; zeros change nothing.
        seed: Of the flips.
        permutations: Random flips.
    """
    moved = differences[differences != 0].astype(np.float64)
    if not len(moved):
        return 1.0
    found = abs(moved.sum()) * (1 - 1e-12)
    if len(moved) < 63 and 2 ** len(moved) <= permutations:
        every = (np.arange(2 ** len(moved))[:, None] >> np.arange(len(moved))) & 1
        return float((np.abs(_flipped(every, moved)) >= found).mean())
    extreme = sum(int((np.abs(_flipped(f, moved)) >= found).sum()) for f in _flips(len(moved), permutations, seed))
    return (extreme + 1) / (permutations + 1)


def _flips(users: int, permutations: int, seed: int) -> Iterator[Num[ndarray, "flips users"]]:
    chance = np.random.default_rng(seed)
    width = -(-users // 8)
    step = max(1, _AT_ONCE // users)
    for begin in range(0, permutations, step):
        size = min(step, permutations - begin)
        raw = np.frombuffer(chance.bytes(size * width), np.uint8).reshape(size, width)
        yield np.unpackbits(raw, axis=1, count=users)


def _flipped(flips: Num[ndarray, "flips users"], moved: Float[ndarray, " users"]) -> Float[ndarray, " flips"]:
    """The sum of the differences under every row of flips, 1 for a sign that stays."""
    sums: Float[ndarray, " flips"] = 2 * (flips.astype(np.float64) @ moved) - moved.sum()
    return sums


def holm(p_values: Sequence[float]) -> list[float]:
    """Returns the p values adjusted for being several, in the given order.

    The smallest is multiplied by their number m, the next by m - 1 and so on, none falling below the one before it.

    References:
        Holm, A simple sequentially rejective multiple test procedure (1979).
    """
    adjusted = [0.0] * len(p_values)
    largest = 0.0
    for place, number in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        largest = max(largest, min(1.0, (len(p_values) - place) * p_values[number]))
        adjusted[number] = largest
    return adjusted


def verdict(low: float, high: float, p_adjusted: float, level: float = LEVEL) -> str:
    """Returns `better` or `worse` where the interval excludes 0 and the adjusted p agrees; `not shown` otherwise.

    Args:
        low: Lower bound of the difference.
        high: Its upper bound.
        p_adjusted: Holm's p value.
        level: The interval's level; p has to be below one minus it.
    """
    if p_adjusted >= round(1 - level, 12) or not (low > 0 or high < 0):
        return "not shown"
    return "better" if low > 0 else "worse"
