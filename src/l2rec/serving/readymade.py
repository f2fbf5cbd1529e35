"""Lists that need no model: what was made ahead for a user, brought up to date, and what is popular."""

import time
from collections.abc import Iterable, Sequence
from itertools import chain, islice

import numpy as np

from l2rec.serving.edition import Edition, Listed
from l2rec.serving.records import Release, UserRow
from l2rec.serving.shelf import Shelf
from l2rec.serving.wishes import Wish, diversified


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
    filters, most = wish.filters, None if wish.diversity else wish.k
    passing = ((n, s) for n, s in pairs if n not in out)
    if filters:
        passing = ((n, s) for n, s in passing if shelf.passes(n, filters))
    return list(islice(passing, most))


def popular(edition: Edition, wish: Wish, hidden: Sequence[int]) -> Listed:
    """Returns what most did, most first; then what nobody did yet, so that a list is as long as the filters allow.

    Args:
        edition: What is served.
        wish: What is wanted; only `k` and `filters` are looked at.
        hidden: Item numbers that are not listed.
    """
    shelf, out = edition.shelf, edition.shelf.deleted.union(hidden)
    listed: dict[int, None] = {}
    for number in chain(edition.release.popular, range(shelf.count)):
        if len(listed) == wish.k:
            break
        if number not in out and (not wish.filters or shelf.passes(number, wish.filters)):
            listed[number] = None
    return list(listed), [float(len(listed) - place) for place in range(len(listed))]
