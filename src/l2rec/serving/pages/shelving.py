"""What pages look up in a catalogue: titles that hold some words, and the attributes to filter by."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from l2rec.serving.answering.edition import Edition
from l2rec.serving.answering.shelf import Shelf

MOST_FOUND = 12
_SHOWN = 24
"""Attributes of a column that are offered, those of most items."""


@dataclass(frozen=True)
class Item:
    """An item as a page shows it.

    Attributes:
        item_id: Its outside id.
        title: Its title, or its id.
        told: The values of its attributes, in one line.
    """

    item_id: str
    title: str
    told: str


class Lookup:
    """A catalogue at one moment, made ready for looking things up."""

    def __init__(self, shelf: Shelf) -> None:
        """Reads every title and token once."""
        self.shelf = shelf
        present = [number for number in range(shelf.count) if number not in shelf.deleted]
        self._titles = [(shelf.title(number).casefold(), number) for number in present]
        counts = Counter(token for number in present for token in set(shelf.catalogue.attributes[number]))
        self._counts = counts
        columns: dict[str, list[tuple[str, str]]] = {}
        for token in sorted(counts, key=lambda token: (-counts[token], token)):
            column, _, value = token.partition("=")
            columns.setdefault(column, []).append((token, value))
        self.offered = {column: sorted(tokens[:_SHOWN]) for column, tokens in columns.items()}

    def found(self, words: str) -> list[Item]:
        """Returns items whose title holds every word, those that begin with the words first."""
        parts = words.casefold().split()
        if not parts:
            return []
        hits = [(title, number) for title, number in self._titles if all(part in title for part in parts)]
        hits.sort(key=lambda hit: (not hit[0].startswith(parts[0]), len(hit[0]), hit[0]))
        return [self.item(number) for _, number in hits[:MOST_FOUND]]

    def item(self, number: int) -> Item:
        """Returns an item as a page shows it."""
        return item_of(self.shelf, number)

    def unknown(self, tokens: Sequence[str]) -> list[str]:
        """Returns the tokens that no item has."""
        return [token for token in tokens if token not in self._counts]


def item_of(shelf: Shelf, number: int) -> Item:
    """Returns an item as a page shows it."""
    values = (token.partition("=")[2] for token in shelf.catalogue.attributes[number])
    return Item(shelf.id(number), shelf.title(number), ", ".join(dict.fromkeys(values)))


def lookup(edition: Edition) -> Lookup:
    """Returns the catalogue that an edition serves, made ready once for every change of it."""
    return _lookup(_Key(edition.shelf))


@dataclass(frozen=True)
class _Key:
    """A shelf by its identity; shelves are replaced, not changed."""

    shelf: Shelf

    def __hash__(self) -> int:
        return id(self.shelf)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Key) and other.shelf is self.shelf


@lru_cache(2)
def _lookup(key: _Key) -> Lookup:
    return Lookup(key.shelf)
