"""What lists are like beyond being right: how much of the catalogue they show, how new, how varied, how popular."""

from typing import Any

import numpy as np
from jaxtyping import Float, Int
from numpy import ndarray
from scipy import sparse
from torch import Tensor

from l2rec.errors import SettingError
from l2rec.evaluation.ranking import Rankings
from l2rec.types import Histories, Items


def beyond(
    rankings: Rankings,
    items: Items,
    histories: Histories,
    cutoff: int,
    vectors: Float[Tensor, "N D"] | sparse.csr_array | None = None,
) -> dict[str, float]:
    """Returns what the first `cutoff` places of all lists are like, each value named like `coverage@10`.

    * `coverage`: share of the catalogue that is on some list.
    * `gini`: inequality of the items' places on lists; 0: all alike, near 1: a few items have all.
    * `novelty`: mean self-information `-log2 p` of a listed item, where p is its share of the training events with one
      event added to every item; in bits, larger is rarer.
    * `similarity`: mean cosine of two items on a list, by `vectors` or by their attributes weighted with IDF.
    * `lift`: mean popularity of listed items over that of the users' own histories, minus 1; 0: as popular as what they
      chose themselves (Abdollahpouri et al., The unfairness of popularity bias in recommendation, 2019).

    The last three are means over users of their means over their lists; a user without what is needed (no history, a
    list of one) is left out, and a value that nobody has is NaN.

    Args:
        rankings: With lists of at least `cutoff` places, or as many as the catalogue has items.
        items: The catalogue.
        histories: What was known of the users, in the order of the cases.
        cutoff: Places that count.
        vectors: By what two items are alike; if dense, of any length. Where None, the `attribute_vectors` of the
            catalogue, which are worth keeping for several cut-offs.

    Raises:
        SettingError: the lists are shorter than `cutoff`.
    """
    if cutoff > rankings.lists.shape[1] and rankings.lists.shape[1] < len(items):
        raise SettingError(
            f"cutoff {cutoff}: the lists have {rankings.lists.shape[1]} places. Add {cutoff} to evaluation.cutoffs."
        )
    lists = _Lists(rankings, len(items), cutoff)
    given = attribute_vectors(items) if vectors is None else vectors
    like = _unit(given.double().numpy()) if isinstance(given, Tensor) else given
    counts = items.counts.numpy().astype(np.float64)
    found = {
        "coverage": float((lists.exposure > 0).mean()),
        "gini": gini(lists.exposure),
        "novelty": lists.mean(lists.average(-np.log2((counts + 1) / (counts.sum() + len(counts))))),
        "similarity": lists.mean(lists.similarity(like)),
        "lift": _lift(lists, counts, histories),
    }
    return {f"{name}@{cutoff}": value for name, value in found.items()}


class _Lists:
    """Lists as a sparse table of cases by items, and the weights that make every user count once."""

    def __init__(self, rankings: Rankings, count: int, cutoff: int) -> None:
        there = rankings.listed()[:, :cutoff].numpy()
        rows, places = np.nonzero(there)
        columns = rankings.lists[:, :cutoff].numpy()[rows, places]
        shape = (len(rankings), count)
        self.table = sparse.csr_array((np.ones(len(rows)), (rows, columns)), shape=shape)
        self.sizes = there.sum(1).astype(np.float64)
        self.exposure = np.bincount(columns, minlength=count)
        self.users = rankings.users.numpy()

    def average(self, values: Float[ndarray, " N"]) -> Float[ndarray, " U"]:
        """The mean of an item's value over each list; NaN for an empty list."""
        total: Float[ndarray, " U"] = self.table @ values
        return _divided(total, self.sizes)

    def similarity(self, vectors: Any) -> Float[ndarray, " U"]:
        """The mean cosine over all pairs of each list: the squared length of their sum holds every pair twice.

        `vectors` is a table of N rows of length one or zero, sparse or dense.
        """
        total = self.table @ vectors
        squares = np.asarray((vectors * vectors).sum(1)).ravel()
        together = np.asarray((total * total).sum(1)).ravel()
        return _divided(together - self.table @ squares, self.sizes * (self.sizes - 1))

    def mean(self, values: Float[ndarray, " U"]) -> float:
        """The mean over users of each user's mean; NaN values are left out."""
        there = ~np.isnan(values)
        _, user, cases = np.unique(self.users[there], return_inverse=True, return_counts=True)
        return float(np.average(values[there], weights=1 / cases[user])) if len(cases) else float("nan")


def _lift(lists: _Lists, counts: Float[ndarray, " N"], histories: Histories) -> float:
    lengths = histories.lengths().numpy()
    row = np.repeat(np.arange(len(lengths)), lengths)
    chosen = np.bincount(row, counts[histories.items.numpy()], minlength=len(lengths)).astype(np.float64)
    own = _divided(chosen, lengths.astype(np.float64))
    shown = np.where(lengths > 0, lists.average(counts), np.nan)
    base = lists.mean(own)
    return lists.mean(shown) / base - 1 if base > 0 else float("nan")


def _divided(above: Float[ndarray, " U"], below: Float[ndarray, " U"]) -> Float[ndarray, " U"]:
    ratio: Float[ndarray, " U"] = np.divide(above, below, out=np.full(len(above), np.nan), where=below > 0)
    return ratio


def gini(exposure: Int[ndarray, " N"]) -> float:
    """Returns the Gini coefficient: 0 where all values are alike, (N - 1) / N where one has everything."""
    total, count = exposure.sum(), len(exposure)
    if not total:
        return float("nan")
    return float(2 * (np.sort(exposure) @ np.arange(1, count + 1)) / (count * total) - (count + 1) / count)


def attribute_vectors(items: Items) -> sparse.csr_array:
    """Returns a row an item and a column an attribute: `log(N / items that have it)`, scaled to length one.

    An attribute that every item has weighs nothing; an item with no other is alike to none.
    """
    known = {name: n for n, name in enumerate(sorted({a for row in items.attributes for a in row}))}
    pairs = sorted({(n, known[a]) for n, row in enumerate(items.attributes) for a in row})
    row, column = (np.array([pair[side] for pair in pairs], dtype=np.int64) for side in (0, 1))
    idf = np.log(len(items) / np.maximum(1, np.bincount(column, minlength=len(known))))
    weights = idf[column]
    lengths = np.sqrt(np.bincount(row, weights**2, minlength=len(items)))
    scaled = np.divide(weights, lengths[row], out=np.zeros(len(row)), where=lengths[row] > 0)
    return sparse.csr_array((scaled, (row, column)), shape=(len(items), len(known)))


def _unit(vectors: Float[ndarray, "N D"]) -> Float[ndarray, "N D"]:
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    unit: Float[ndarray, "N D"] = np.divide(vectors, lengths, out=np.zeros_like(vectors), where=lengths > 0)
    return unit
