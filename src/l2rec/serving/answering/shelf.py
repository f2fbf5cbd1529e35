"""What a server holds of a catalogue at one moment: what is shown, what passes a filter, what came and what went."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from jaxtyping import Bool, Float, Int
from numpy import ndarray

from l2rec.serving.model.catalogue import Catalogue
from l2rec.serving.wishes import Filters, fragment

_KEPT_FILTERS, _KEPT_BYTES = 256, 32 * 2**20
"""Filters whose masks are kept, and bytes of these masks, at most; of a large catalogue fewer are."""


class Tokens:
    """Which items hold a token, by item number; of the catalogue as it was trained."""

    def __init__(self, attributes: Sequence[tuple[str, ...]]) -> None:
        """Keeps the tokens of every item; they are sorted when the first filter asks."""
        self._attributes = tuple(attributes)

    def passing(self, filters: Filters, count: int) -> Bool[ndarray, " N"]:
        """Returns which of `count` items have tokens that pass; the ids are not looked at."""
        passing = np.ones(count, dtype=bool)
        for group in filters.groups():
            passing &= self._holding(group, count)
        passing &= ~self._holding(filters.deny_attributes, count)
        return passing

    def _holding(self, tokens: frozenset[str], count: int) -> Bool[ndarray, " N"]:
        holding = np.zeros(count, dtype=bool)
        for token in tokens & self._holders.keys():
            holding[self._holders[token]] = True
        return holding

    @cached_property
    def _holders(self) -> dict[str, Int[ndarray, " _"]]:
        holders: dict[str, list[int]] = {}
        for number, tokens in enumerate(self._attributes):
            for token in dict.fromkeys(tokens):
                holders.setdefault(token, []).append(number)
        return {token: np.array(numbers) for token, numbers in holders.items()}


@dataclass(frozen=True)
class Shelf:
    """The first N items of a catalogue, by number; a change of an item makes a new shelf.

    Attributes:
        catalogue: Ids, titles and tokens; it may know more items already.
        count: N.
        deleted: Numbers of items that may not be recommended.
        changed: Numbers of items that are not as they were trained.
        tokens: Who holds which token, as trained.
        added: Numbers of items that came after the training, deleted ones left out.
        vectors: Their vectors; none where the model has no vectors.
        rewritten: Numbers of trained items of which the model reads another text by now, deleted ones included; none
            where the model reads no texts.
    """

    catalogue: Catalogue
    count: int
    deleted: frozenset[int]
    changed: frozenset[int]
    tokens: Tokens
    added: Int[ndarray, " M"]
    vectors: Float[ndarray, "M D"]
    rewritten: frozenset[int] = frozenset()
    _fragments: dict[int, bytes] = field(default_factory=dict, repr=False, compare=False)
    _masks: dict[Filters, Bool[ndarray, " N"]] = field(default_factory=dict, repr=False, compare=False)

    @cached_property
    def unplaced(self) -> frozenset[int]:
        """Rewritten items that may be recommended: no list that was made ahead knows their place."""
        return self.rewritten - self.deleted

    def id(self, number: int) -> str:
        """Returns an item's outside id."""
        return self.catalogue.id(number)

    def title(self, number: int) -> str:
        """Returns what a person is shown: the title, or the id where there is none."""
        return self.catalogue.title(number)

    def fragment(self, number: int) -> bytes:
        """Returns the part of an item's JSON before its score."""
        made = self._fragments.get(number)
        if made is None:
            made = self._fragments[number] = fragment(self.id(number), self.title(number))
        return made

    def number(self, item_id: str) -> int | None:
        """Returns the number of an id; None where it is not on the shelf."""
        if item_id not in self.catalogue:
            return None
        number = self.catalogue.number(item_id)
        return number if number < self.count else None

    def numbers(self, ids: Sequence[str]) -> tuple[int, ...]:
        """Returns the numbers of those ids that are on the shelf, in their order."""
        return tuple(number for item_id in ids if (number := self.number(item_id)) is not None)

    def passes(self, number: int, filters: Filters) -> bool:
        """Returns whether an item may be listed."""
        return filters.passes(self.id(number), self.catalogue.attributes[number])

    def passing(self, filters: Filters) -> Bool[ndarray, " N"]:
        """Returns which items may be listed, deleted ones included; the masks of the last filters are kept."""
        made = self._masks.get(filters)
        if made is None:
            made = self._passing(filters)
            if len(self._masks) >= min(_KEPT_FILTERS, max(1, _KEPT_BYTES // max(1, self.count))):
                self._masks.clear()
            self._masks[filters] = made
        return made

    def kinship(self, number: int) -> Float[ndarray, " N"]:
        """Returns how alike the tokens of every item and of one item are: common ones over all (Jaccard)."""
        own = set(self.catalogue.attributes[number])
        others = (set(tokens) for tokens in self.catalogue.attributes[: self.count])
        return np.array([len(own & other) / max(1, len(own | other)) for other in others])

    def token_vectors(self, numbers: Sequence[int]) -> Float[ndarray, "M T"]:
        """Returns a vector for each item with 1 for every token that it holds, to compare items by cosine."""
        held = [self.catalogue.attributes[number] for number in numbers]
        columns = {token: n for n, token in enumerate(dict.fromkeys(t for tokens in held for t in tokens))}
        made = np.zeros((len(numbers), max(1, len(columns))))
        for row, tokens in enumerate(held):
            made[row, [columns[token] for token in tokens]] = 1
        return made

    def _passing(self, filters: Filters) -> Bool[ndarray, " N"]:
        passing = self.tokens.passing(filters, self.count)
        for number in self.changed:
            passing[number] = self.passes(number, filters)
        if filters.allow:
            allowed = np.zeros(self.count, dtype=bool)
            allowed[list(self.numbers(sorted(filters.allow)))] = True
            passing &= allowed
        passing[list(self.numbers(sorted(filters.deny)))] = False
        return passing
