"""Lists that need no model: what was made ahead for a user, brought up to date, and what is popular."""

import asyncio
import math
import time
from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import islice

import numpy as np

from l2rec.serving.answering.edition import Edition, Listed
from l2rec.serving.answering.shelf import Shelf
from l2rec.serving.records import Release, UserRow
from l2rec.serving.wishes import Filters, Wish, diversified

LARGE = 5_000
"""Items of a catalogue that is looked through in a thread."""
UNPLACED = "items were rewritten since this list was made: where they would stand in it is not known"


def age_of(release: Release) -> float:
    """Returns the seconds since a release's lists were made."""
    return max(0.0, time.time() - (release.finished or release.created))


def from_row(edition: Edition, row: UserRow, wish: Wish, hidden: Sequence[int]) -> Listed:
    """Returns the list made ahead, with items that came since at their place and without those that went.

    Args:
        edition: What is served.
        row: What was made ahead.
        wish: What is wanted; `prompt` and `mask_seen` are not looked at.
        hidden: Item numbers that are not listed.
    """
    shelf, numbers, scores = edition.shelf, row.numbers, row.scores
    if len(shelf.added) and len(row.vector):
        numbers = np.concatenate((numbers, shelf.added))
        scores = np.concatenate((scores, shelf.vectors @ row.vector.astype(np.float32)))
        order = np.argsort(-scores, kind="stable")
        numbers, scores = numbers[order], scores[order]
    out = shelf.deleted.union(hidden) if hidden else shelf.deleted
    if not (out or wish.filters or wish.diversity):
        return numbers[: wish.k].tolist(), scores[: wish.k].tolist()
    listed = _passing(shelf, zip(numbers.tolist(), scores.tolist(), strict=True), out, wish)
    if wish.diversity:
        vectors = shelf.token_vectors([n for n, _ in listed])
        found = np.array([s for _, s in listed])
        listed = [listed[place] for place in diversified(found, vectors, wish.k, wish.diversity).tolist()]
    return [n for n, _ in listed], [s for _, s in listed]


def _passing(
    shelf: Shelf, pairs: Iterable[tuple[int, float]], out: frozenset[int], wish: Wish
) -> list[tuple[int, float]]:
    """The places that may be listed: all of them for a diverse list, else no more than are wanted."""
    most = None if wish.diversity else wish.k
    passing = ((n, s) for n, s in pairs if n not in out)
    if wish.filters:
        mask = shelf.passing(wish.filters)
        passing = ((n, s) for n, s in passing if mask[n])
    return list(islice(passing, most))


def popular(edition: Edition, wish: Wish, hidden: Sequence[int]) -> Listed:
    """Returns what most did, most first; then what nobody did yet, so that a list is as long as the filters allow.

    Args:
        edition: What is served.
        wish: What is wanted; only `k` and `filters` are looked at.
        hidden: Item numbers that are not listed.
    """
    shelf = edition.shelf
    free = shelf.passing(wish.filters).copy() if wish.filters else np.ones(shelf.count, dtype=bool)
    free[[*shelf.deleted, *hidden]] = False
    listed = list(islice((number for number in edition.release.popular if free[number]), wish.k))
    free[listed] = False
    listed += np.flatnonzero(free)[: wish.k - len(listed)].tolist()
    return listed, [float(len(listed) - place) for place in range(len(listed))]


async def masked(edition: Edition, filters: Filters) -> None:
    """Looks through a large catalogue in a thread, so that lists that are filtered hold up nobody."""
    if filters and edition.shelf.count > LARGE:
        await asyncio.to_thread(edition.shelf.passing, filters)


def filled(edition: Edition, listed: Listed, wish: Wish, hidden: Sequence[int]) -> tuple[Listed, int]:
    """Returns a list, with what is popular after its end where it is shorter than was wanted, and its own places.

    Args:
        edition: What is served.
        listed: The list; places without a finite score are left out.
        wish: What is wanted; only `k` and `filters` are looked at.
        hidden: Item numbers that are not listed.
    """
    places = [(n, s) for n, s in zip(*listed, strict=True) if math.isfinite(s)]
    numbers, scores = [n for n, _ in places], [s for _, s in places]
    if len(numbers) >= wish.k:
        return (numbers, scores), len(numbers)
    more, counts = popular(edition, replace(wish, k=wish.k - len(numbers)), (*hidden, *numbers))
    if not numbers:
        return (more, counts), 0
    return (numbers + more, scores + [scores[-1] - place for place in range(1, len(more) + 1)]), len(numbers)


def is_behind(edition: Edition, row: UserRow) -> bool:
    """Returns whether a list made ahead holds a rewritten item or was made from one, so that only the model knows it.

    A row's vector cannot tell: it is rounded, the third signal does not stand in it, and where a rewritten item is
    part of the history it is another one now. Any other list is still what the model says of the items in it; that a
    rewritten item would stand among them now it does not know (`UNPLACED`).
    """
    shelf = edition.shelf
    if not shelf.rewritten:
        return False
    read = row.history[-edition.window :].tolist()
    if not read:  # somebody without a history is shown what the average of all items is like
        return True
    return not (shelf.rewritten.isdisjoint(read) and shelf.unplaced.isdisjoint(row.numbers.tolist()))
