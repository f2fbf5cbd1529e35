"""Traits of event sequences that decide what a result on them means: repeats, ties, transitions, id order, crowding."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Int
from numpy import ndarray
from scipy.special import gammaln

from l2rec.config import Settings
from l2rec.types import Histories


class Transitions(Settings):
    """How well the last item alone tells the next one."""

    successors: float
    """Different items that follow an item, on average over the items that are followed by any."""
    familiar_share: float
    """Share of all steps from one item to the next that occur at least twice."""
    guessed_share: float
    """Share of the steps that are guessed right by the item's most frequent successor among all other steps."""
    popular_share: float
    """Share of the steps that lead to the one most popular item: what a guess without the last item reaches."""


class IdOrder(Settings):
    """Whether the order of events follows the order of the ids, which is an artefact of sorting and no behaviour."""

    sequences: int
    """Sequences looked at: those of at least three events that are not all of one item."""
    sorted_share: float
    """Share of them whose ids never fall."""
    sorted_by_chance: float
    """The same share, expected if each sequence were in random order."""
    rising_share: float
    """Share of the steps to another item that lead to a higher id; a half by chance."""


def repeat_share(histories: Histories) -> float:
    """Returns the share of events whose item the same user had before."""
    items, rows = _events(histories)
    return _share(len(items) - len(np.unique(_pairs(rows, items))), len(items))


def tied_share(histories: Histories) -> float:
    """Returns the share of events that have the timestamp of another event of the same user."""
    times, rows = histories.times.numpy(), _events(histories)[1]
    order = np.lexsort((times, rows))
    same = (np.diff(rows[order]) == 0) & (np.diff(times[order]) == 0)
    return _share(int((np.append(same, False) | np.append(False, same)).sum()) if len(times) else 0, len(times))


def tied_end_share(histories: Histories) -> float:
    """Returns the share of users, of those with two events or more, whose last two have the same timestamp."""
    offsets, times = histories.offsets.numpy(), histories.times.numpy()
    ends = offsets[1:][np.diff(offsets) >= 2]
    return _share(int((times[ends - 1] == times[ends - 2]).sum()), len(ends))


def transitions(histories: Histories) -> Transitions:
    """Returns what follows what, over all pairs of neighbours in a sequence.

    `guessed_share` leaves the step in question out of the counts, and divides a hit among equally frequent successors.
    """
    items, rows = _events(histories)
    inside = rows[1:] == rows[:-1]
    before, after = items[:-1][inside], items[1:][inside]
    if not len(before):
        return Transitions(successors=0.0, familiar_share=0.0, guessed_share=0.0, popular_share=0.0)
    kinds, counts = np.unique(_pairs(before, after), return_counts=True)
    _, source, successors = np.unique(kinds // _width(after), return_inverse=True, return_counts=True)
    return Transitions(
        successors=float(successors.mean()),
        familiar_share=_share(int(counts[counts > 1].sum()), len(before)),
        guessed_share=_guessed(source, counts) / len(before),
        popular_share=float(np.unique(after, return_counts=True)[1].max() / len(before)),
    )


def _guessed(sources: Int[ndarray, " P"], counts: Int[ndarray, " P"]) -> float:
    """Expected hits over all steps; only the one most frequent successor of an item can be guessed once it is left out.

    Left out, a pair with count c stands at c - 1: it still leads alone where c - 1 exceeds the second highest count,
    it shares the lead where it equals it, and it is behind otherwise.
    """
    order = np.lexsort((-counts, sources))
    source, count = sources[order], counts[order]
    first = np.flatnonzero(np.append(True, source[1:] != source[:-1]))
    sizes = np.diff(np.append(first, len(source)))
    most = count[first]
    second = np.where(sizes > 1, count[np.minimum(first + 1, len(count) - 1)], 0)
    sharing = np.add.reduceat((count == np.repeat(second, sizes)).astype(np.int64), first)
    alone, shared = most - 1 > second, (most - 1 == second) & (second > 0)
    return float(most[alone].sum() + (most[shared] / (sharing[shared] + 1)).sum())


def id_order(histories: Histories, item_ids: Sequence[str]) -> IdOrder:
    """Returns how far sequences follow their ids, as text or as numbers, whichever leaves more of them sorted.

    Args:
        histories: The sequences.
        item_ids: The outside id of every item number.
    """
    orders = [_id_order(histories, _ranks(sorted(range(len(item_ids)), key=item_ids.__getitem__)))]
    if all(value.isdecimal() for value in item_ids):
        numbers = [int(value) for value in item_ids]
        orders.append(_id_order(histories, _ranks(sorted(range(len(numbers)), key=numbers.__getitem__))))
    return max(orders, key=lambda order: (order.sorted_share, order.rising_share))


def _ranks(order: Sequence[int]) -> Int[ndarray, " N"]:
    ranks = np.empty(len(order), np.int64)
    ranks[order] = np.arange(len(order))
    return ranks


def _id_order(histories: Histories, ranks: Int[ndarray, " N"]) -> IdOrder:
    items, rows = _events(histories)
    users = len(histories)
    step = np.diff(ranks[items])
    inside = rows[1:] == rows[:-1]
    falls = np.bincount(rows[1:][inside & (step < 0)], minlength=users)
    moves = np.bincount(rows[1:][inside & (step != 0)], minlength=users)
    chosen = (histories.lengths().numpy() >= 3) & (moves > 0)
    ways = _log_ways_to_be_sorted(items, rows, users)
    return IdOrder(
        sequences=int(chosen.sum()),
        sorted_share=_share(int((falls[chosen] == 0).sum()), int(chosen.sum())),
        sorted_by_chance=float(np.exp(ways[chosen]).mean()) if chosen.any() else 0.0,
        rising_share=_share(int((inside & (step > 0)).sum()), int((inside & (step != 0)).sum())),
    )


def _log_ways_to_be_sorted(items: Int[ndarray, " M"], rows: Int[ndarray, " M"], users: int) -> Float[ndarray, " U"]:
    """Logarithm of the share of a sequence's orders that are sorted: product of (count of an item)! over length!."""
    pairs, counts = np.unique(_pairs(rows, items), return_counts=True)
    same = np.bincount(pairs // _width(items), weights=gammaln(counts + 1), minlength=users)
    return np.asarray(same - gammaln(np.bincount(rows, minlength=users) + 1))


def gini(counts: Int[ndarray, " N"]) -> float:
    """Returns the Gini coefficient of popularity: 0 if all items are equally popular, near 1 if one has all events."""
    total = int(counts.sum())
    rank = np.arange(1, len(counts) + 1)
    return float(((2 * rank - len(counts) - 1) * np.sort(counts)).sum() / (len(counts) * total)) if total else 0.0


def top_share(counts: Int[ndarray, " N"], share: float) -> float:
    """Returns the share of all events that the most popular `share` of the items have; at least one item."""
    top = np.sort(counts)[::-1][: max(1, round(share * len(counts)))]
    return _share(int(top.sum()), int(counts.sum()))


def _events(histories: Histories) -> tuple[Int[ndarray, " M"], Int[ndarray, " M"]]:
    """Item and sequence of every event."""
    return histories.items.numpy(), np.repeat(np.arange(len(histories)), histories.lengths().numpy())


def _pairs(rows: Int[ndarray, " M"], items: Int[ndarray, " M"]) -> Int[ndarray, " M"]:
    """One number for each pair; the row is the quotient by the width of the items."""
    return np.asarray(rows * _width(items) + items)


def _width(items: Int[ndarray, " M"]) -> int:
    return int(items.max(initial=0)) + 1


def _share(part: int, whole: int) -> float:
    return part / whole if whole else 0.0
