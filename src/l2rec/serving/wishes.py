"""What a caller wants of a list and what he gets: limits, filters, diversity, and the answer with its source."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Literal, NamedTuple, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float, Int
from numpy import ndarray
from pydantic import Field

from l2rec.config import Settings
from l2rec.errors import SettingError

Source = Literal["fresh", "cached", "newcomer", "popular"]
"""Where a list comes from, best first: the model just now, a list made ahead, the model without a history, counts."""


class Limits(Settings):
    """What a caller may ask for at most."""

    k: int = Field(default=500, ge=1)
    """Length of a list."""
    ids: int = Field(default=1000, ge=1)
    """Item ids or attribute tokens of one filter."""
    characters: int = Field(default=512, ge=1)
    """Characters of an id or a token."""
    text: int = Field(default=2000, ge=1)
    """Characters of a prompt, a text or a title."""
    history: int = Field(default=1000, ge=1)
    """Items of a history that comes with the question."""
    events: int = Field(default=1000, ge=1)
    """Events of one report."""
    seconds: float = Field(default=60.0, gt=0)
    """Deadline of an answer."""


DEFAULT_LIMITS = Limits()


@dataclass(frozen=True)
class Filters:
    """Which items may stand in a list.

    Attributes:
        allow: Item ids; where any are given, no other item is listed.
        deny: Item ids that are not listed.
        allow_attributes: Tokens of the form `column=value`; an item needs one of them for every column that is named.
        deny_attributes: Tokens; an item that has one of them is not listed.
    """

    allow: frozenset[str] = frozenset()
    deny: frozenset[str] = frozenset()
    allow_attributes: frozenset[str] = frozenset()
    deny_attributes: frozenset[str] = frozenset()

    def __bool__(self) -> bool:
        """Whether anything is filtered."""
        return bool(self.allow or self.deny or self.allow_attributes or self.deny_attributes)

    def passes(self, item_id: str, tokens: Iterable[str]) -> bool:
        """Returns whether an item may be listed."""
        held = set(tokens)
        if item_id in self.deny or (self.allow and item_id not in self.allow) or held & self.deny_attributes:
            return False
        return all(held & group for group in self._groups)

    def groups(self) -> list[frozenset[str]]:
        """Returns the tokens of `allow_attributes`, those of one column together."""
        return list(self._groups)

    @cached_property
    def _groups(self) -> tuple[frozenset[str], ...]:
        columns: dict[str, set[str]] = {}
        for token in sorted(self.allow_attributes):
            columns.setdefault(token.partition("=")[0], set()).add(token)
        return tuple(frozenset(group) for group in columns.values())

    def check(self, limits: Limits = DEFAULT_LIMITS) -> None:
        """Refuses what is too long or no token.

        Raises:
            SettingError: there are too many ids or tokens, one is empty or too long, or a token has no `=`.
        """
        for name, values in (("allow", self.allow), ("deny", self.deny)):
            check_ids(name, sorted(values), limits.ids, limits)
        for name, values in (("allow_attributes", self.allow_attributes), ("deny_attributes", self.deny_attributes)):
            check_ids(name, sorted(values), limits.ids, limits)
            for token in sorted(values):
                if "=" not in token:
                    raise SettingError(f'{name}: "{token}": no "=". Name column and value, e.g. genres=Comedy.')


NO_FILTERS = Filters()


@dataclass(frozen=True)
class Wish:
    """What a caller wants of a list.

    Attributes:
        k: Length of the list.
        mask_seen: Whether items of the history are left out; None for the rule of the run's protocol.
        filters: Which items may be listed.
        diversity: 0 for the best scores alone, up to 1 for the greatest difference alone (see `diversified`).
        prompt: What is wanted, in words, within the user's taste.
        deadline: Seconds within which store and model must answer; after them the next best source does.
    """

    k: int = 10
    mask_seen: bool | None = None
    filters: Filters = NO_FILTERS
    diversity: float = 0.0
    prompt: str | None = None
    deadline: float = 1.0

    def check(self, limits: Limits = DEFAULT_LIMITS) -> None:
        """Refuses what cannot be answered.

        Raises:
            SettingError: a value is out of range, with its name, its value and its limit.
        """
        if not 1 <= self.k <= limits.k:
            raise SettingError(f"k: {self.k}: expected 1 to {limits.k}. Ask for a list of such a length.")
        if not 0 <= self.diversity <= 1:
            raise SettingError(f"diversity: {self.diversity}: expected 0 to 1. 0 is the order of the scores.")
        if not 0 < self.deadline <= limits.seconds:
            most = round(limits.seconds * 1000)
            raise SettingError(
                f"deadline_ms: {self.deadline * 1000:g}: expected above 0 to {most}. Choose one of them."
            )
        if self.prompt is not None:
            check_text("prompt", self.prompt, limits)
        self.filters.check(limits)


def check_ids(name: str, values: Sequence[str], most: int, limits: Limits = DEFAULT_LIMITS) -> None:
    """Refuses a list of ids or tokens that is too long, or holds one that is empty, too long or no Unicode text.

    Raises:
        SettingError: see above.
    """
    if len(values) > most:
        raise SettingError(f"{name}: {len(values)} values: over {most}. Send fewer.")
    for value in values:
        if not value:
            raise SettingError(f"{name}: an empty value. Fill it in, or leave it out.")
        if len(value) > limits.characters:
            raise SettingError(f"{name}: a value of {len(value)} characters: over {limits.characters}. Shorten it.")
        _check_unicode(name, value)


def check_text(name: str, text: str, limits: Limits = DEFAULT_LIMITS, *, empty: bool = False) -> None:
    """Refuses a text that is empty, too long or no Unicode text.

    Args:
        name: What the complaint calls it.
        text: The text.
        limits: The limits.
        empty: Whether it may be empty.

    Raises:
        SettingError: see above.
    """
    if not empty and not text.strip():
        raise SettingError(f"{name}: empty. Say in words what is wanted, or leave it out.")
    if len(text) > limits.text:
        raise SettingError(f"{name}: {len(text)} characters: over {limits.text}. Shorten it.")
    _check_unicode(name, text)


def _check_unicode(name: str, text: str) -> None:
    """JSON can spell halves of characters, which no file and no other program can hold."""
    try:
        text.encode()
    except UnicodeEncodeError:
        raise SettingError(f"{name}: half a character (a lone surrogate). Send Unicode text.") from None


class Place(NamedTuple):
    """One place of a list.

    Attributes:
        item_id: The item's outside id.
        title: What a person is shown; the id where there is no title.
        score: The model's own score, comparable within one list only; a popular list counts down from its length.
    """

    item_id: str
    title: str
    score: float


@runtime_checkable
class Shown(Protocol):
    """What is shown of items, by item number."""

    def id(self, number: int) -> str:
        """Returns an item's outside id."""

    def title(self, number: int) -> str:
        """Returns what a person is shown: the title, or the id where there is none."""

    def fragment(self, number: int) -> bytes:
        """Returns the part of an item's JSON before its score; see `fragment`."""


@dataclass(frozen=True)
class Answer:
    """A list, and where it comes from.

    Attributes:
        numbers: Item numbers, best first.
        scores: Their scores.
        source: Where the list comes from.
        version: The release that answered.
        age: Seconds since the list was made; 0 for one of this moment.
        notes: Why the answer is less than was asked for; empty where it is not.
        shown: What is shown of the items.
    """

    numbers: Sequence[int]
    scores: Sequence[float]
    source: Source
    version: str
    age: float
    notes: tuple[str, ...]
    shown: Shown

    @property
    def places(self) -> list[Place]:
        """The list with ids and titles."""
        pairs = zip(self.numbers, self.scores, strict=True)
        return [Place(self.shown.id(number), self.shown.title(number), score) for number, score in pairs]

    def to_json(self) -> bytes:
        """Returns the answer as JSON, put together from each item's ready-made part."""
        told: list[bytes | float] = [0.0] * (2 * len(self.numbers))
        told[::2] = map(self.shown.fragment, self.numbers)
        told[1::2] = self.scores
        places = _pattern(len(self.numbers)) % tuple(told)
        notes = json.dumps(self.notes, ensure_ascii=False).encode() if self.notes else b"[]"
        end = f'],"source":"{self.source}","version":{json.dumps(self.version)},"age":{self.age:.3f},"notes":'
        return b'{"items":[' + places + end.encode() + notes + b"}"


@lru_cache(64)
def _pattern(k: int) -> bytes:
    """What the places of a list are formatted with, all at once."""
    return b",".join([b"%b%.8g}"] * k)


def fragment(item_id: str, title: str) -> bytes:
    """Returns the part of an item's JSON that does not change: all before its score."""
    names = json.dumps({"item_id": item_id, "title": title or item_id}, ensure_ascii=False, separators=(",", ":"))
    return names[:-1].encode() + b',"score":'


def diversified(
    scores: Float[ndarray, " M"], vectors: Float[ndarray, "M D"], k: int, diversity: float
) -> Int[ndarray, " K"]:
    """Returns which candidates to list, in order, by maximal marginal relevance (Carbonell and Goldstein, 1998).

    Each place takes the candidate with the highest (1 - d) r - d s: r is its score scaled to 0..1 over the candidates,
    s its greatest cosine with what is listed already (0 for the first place). Of equals the earlier one is taken.

    Args:
        scores: Scores of the candidates, best first.
        vectors: Their vectors; a row of zeros is like nothing.
        k: Places; all candidates are listed where there are fewer.
        diversity: d, 0 to 1; at 0 the order stays as it is.
    """
    count = min(k, len(scores))
    if not diversity or count == 0:
        return np.arange(count)
    spread = float(scores[0] - scores.min()) or 1.0
    relevance = (scores - scores.min()) / spread
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    units = vectors / np.where(lengths > 0, lengths, 1)
    nearest = np.zeros(len(scores))
    free = np.ones(len(scores), dtype=bool)
    chosen = []
    for place in range(count):
        worth = np.where(free, (1 - diversity) * relevance - diversity * nearest, -np.inf)
        best = int(worth.argmax())
        chosen.append(best)
        free[best] = False
        cosine = units @ units[best]
        nearest = cosine if place == 0 else np.maximum(nearest, cosine)
    return np.array(chosen)
