"""Accuracy of a ranking: recall, NDCG and MRR of every case, as expectations over the order of tied scores."""

from collections.abc import Sequence

import numpy as np
import polars as pl
from jaxtyping import Float, Int
from numpy import ndarray

from l2rec.evaluation.ranking import Rankings, check_cutoffs

NAMES = ("recall", "ndcg", "mrr")
"""The metrics, each taken at every cut-off and named like `ndcg@10`."""


def recall(above: Int[ndarray, " U"], tied: Int[ndarray, " U"], cutoff: int) -> Float[ndarray, " U"]:
    """Returns the probability that the target is among the first `cutoff`; with one target, recall is the hit rate.

    Args:
        above: Candidates that score higher than the target.
        tied: Other candidates with the target's score; every order of them is equally likely.
        cutoff: Length of the list.
    """
    return _expected(np.ones(cutoff), above, tied)


def ndcg(above: Int[ndarray, " U"], tied: Int[ndarray, " U"], cutoff: int) -> Float[ndarray, " U"]:
    """Returns the expected normalised discounted cumulative gain, `1 / log2(place + 1)` for the place counted from 1.

    With one target the ideal gain is 1, so that nothing is left to divide by. Arguments as for `recall`.
    """
    return _expected(1 / np.log2(np.arange(2, cutoff + 2)), above, tied)


def mrr(above: Int[ndarray, " U"], tied: Int[ndarray, " U"], cutoff: int) -> Float[ndarray, " U"]:
    """Returns the expected reciprocal place of the target, 0 beyond `cutoff`. Arguments as for `recall`."""
    return _expected(1 / np.arange(1, cutoff + 1), above, tied)


def _expected(gains: Float[ndarray, " K"], above: Int[ndarray, " U"], tied: Int[ndarray, " U"]) -> Float[ndarray, " U"]:
    """The mean gain over the places that the target may take: `above + 1` to `above + tied + 1`."""
    total = np.concatenate(([0.0], np.cumsum(gains)))
    first = np.minimum(above, len(gains))
    end = np.minimum(above + tied + 1, len(gains))
    alone = np.append(gains, 0.0)[first]
    expected: Float[ndarray, " U"] = np.where(tied == 0, alone, (total[end] - total[first]) / (tied + 1))
    return expected


def per_case(rankings: Rankings, cutoffs: Sequence[int]) -> pl.DataFrame:
    """Returns a row a case: `case`, `user`, `target`, `above`, `tied`, `candidates` and every metric, e.g. `ndcg@10`.

    Raises:
        SettingError: there is no cut-off, or one is below 1.
    """
    check_cutoffs(tuple(cutoffs))
    above, tied = rankings.above.numpy(), rankings.tied.numpy()
    frame = pl.DataFrame(
        {
            "case": np.arange(len(rankings), dtype=np.int64),
            "user": rankings.users.numpy(),
            "target": rankings.targets.numpy(),
            "above": above,
            "tied": tied,
            "candidates": rankings.candidates.numpy(),
        }
    )
    kinds = {"recall": recall, "ndcg": ndcg, "mrr": mrr}
    columns = {f"{name}@{k}": kinds[name](above, tied, k) for name in NAMES for k in sorted(set(cutoffs))}
    return frame.with_columns(pl.Series(name, values) for name, values in columns.items())


def metric_names(cutoffs: Sequence[int]) -> list[str]:
    """Returns the metric columns of `per_case`, in its order."""
    return [f"{name}@{k}" for name in NAMES for k in sorted(set(cutoffs))]


def per_user(frame: pl.DataFrame) -> pl.DataFrame:
    """Returns a row a user, sorted by `user`: the mean of every metric over the user's cases, and their number `cases`.

    A user is what is sampled, so a user counts once, however many cases he has; with one case a user nothing changes.
    """
    names = [name for name in frame.columns if "@" in name]
    means = [pl.col(name).mean() for name in names]
    return frame.group_by("user").agg(pl.len().alias("cases"), *means).sort("user")


def means(rankings: Rankings, cutoffs: Sequence[int]) -> dict[str, float]:
    """Returns every metric of a ranking by name: the mean over users of each user's mean over his cases.

    Raises:
        SettingError: there is no cut-off, or one is below 1.
    """
    users = per_user(per_case(rankings, cutoffs))
    return {name: float(users[name].to_numpy().mean()) for name in metric_names(cutoffs)}
