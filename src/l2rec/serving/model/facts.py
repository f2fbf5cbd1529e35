"""Plain facts: which items state in an attribute or a year what a prompt says in words."""

import re
from collections.abc import Iterator, Sequence

import torch
from jaxtyping import Bool, Float
from torch import Tensor

_WORD = re.compile(r"[^\W_]+")
_YEAR_COLUMN = re.compile(r"year|date|released|published", re.IGNORECASE)
_YEAR_VALUE = re.compile(r"(1[5-9]\d\d|20\d\d)(?!\d)")
_YEAR_IN_TITLE = re.compile(r"\((1[5-9]\d\d|20\d\d)\)")
_DECADES = {"twenties": 1920, "thirties": 1930, "forties": 1940, "fifties": 1950, "sixties": 1960, "seventies": 1970}
_DECADES |= {"eighties": 1980, "nineties": 1990, "noughties": 2000}
_DECADE = rf"(?P<decade>(?:1[5-9]|20)\d0\s?['’]?s|['’]?\d0['’]?s|{'|'.join(_DECADES)})"
_PLAIN = r"(?:1[5-9]\d\d|20\d\d)"
_PART = {"early": (0, 4), "mid": (3, 6), "late": (5, 9)}
_SPANS = re.compile(
    rf"\b(?:between|from)?\s*(?P<first>{_PLAIN})\s*(?:-|–|to|and|until)\s*(?P<last>{_PLAIN})\b"
    rf"|\b(?P<side>before|until|up to|older than|earlier than|after|since|newer than|later than)\s+(?:the\s+)?"
    rf"(?:(?P<year>{_PLAIN})\b(?!\s?['’]?s)|{_DECADE}\b)"
    rf"|(?:\b(?P<part>early|mid|late)[\s-]+)?(?:the\s+)?(?<!\w){_DECADE.replace('decade', 'own')}\b"
    rf"|\b(?P<one>{_PLAIN})\b"
    r"|\b(?P<recent>recent|newest|latest)\b",
    re.IGNORECASE,
)
_BEFORE, _INCLUSIVE = {"before", "until", "up to", "older than", "earlier than"}, {"until", "up to", "since"}
_RECENT = 0.2
"""Share of the items with a year, about, that are recent."""
_LONGEST = 4
"""Words of an attribute's value that can be recognised, at most."""

_LONG = 4
"""Letters of a word that says something, about."""

Words = tuple[str, ...]


class Facts:
    """The plain facts of a catalogue: values of attributes by their words, and years.

    A value is recognised by its own words alone, in singular or plural; a year by the attribute of a column such as
    `year`, or in brackets in the title.
    """

    def __init__(self, titles: Sequence[str], attributes: Sequence[tuple[str, ...]]) -> None:
        """Takes what the items state.

        Args:
            titles: What a person is shown, by item number.
            attributes: Tokens of the form `column=value`, by item number.
        """
        self._years: list[int] = []
        self._values: list[frozenset[Words]] = []
        self._having: dict[Words, set[int]] = {}
        for number, (title, tokens) in enumerate(zip(titles, attributes, strict=True)):
            self.put(number, title, tokens)

    def __len__(self) -> int:
        return len(self._years)

    def put(self, number: int, title: str, tokens: Sequence[str]) -> None:
        """Takes what one item states now.

        Args:
            number: A known item's number, or the next.
            title: What a person is shown of it.
            tokens: Its attributes.
        """
        if number == len(self._years):
            self._years.append(0)
            self._values.append(frozenset())
        for value in self._values[number]:
            self._having[value].discard(number)
        self._years[number] = _year(title, tokens)
        self._values[number] = frozenset(words for token in tokens if (words := _value(token)))
        for value in self._values[number]:
            self._having.setdefault(value, set()).add(number)

    def wanted(self, text: str) -> Float[Tensor, " N"] | None:
        """Returns the share of the facts in a text that each item meets; None where the text names no fact."""
        met = self.met(text)
        return torch.stack(met).float().mean(0) if met else None

    def excluded(self, texts: Sequence[str]) -> Float[Tensor, " N"] | None:
        """Returns 1 for every item that meets all the facts of one of the texts; None where none names a fact."""
        met = [torch.stack(facts).all(0) for text in texts if (facts := self.met(text))]
        return torch.stack(met).any(0).float() if met else None

    def left(self, text: str) -> float:
        """Returns the share of a text's longer words that say something else than a fact; 1 for a text without any."""
        rest = _words(_SPANS.sub(" ", text))
        named = [word for value in self._named(" ".join(rest)) for word in value]
        size = len([word for word in _words(text) if len(word) >= _LONG])
        left = len([word for word in rest if len(word) >= _LONG and word not in named])
        return left / size if size else 1.0 if rest and not named else 0.0

    def met(self, text: str) -> list[Bool[Tensor, " N"]]:
        """Returns for every fact that a text names which items state it."""
        facts = []
        years = torch.tensor(self._years)
        for match in _SPANS.finditer(text):
            first, last = self._span(match)
            facts.append((years >= first) & (years <= last) & (years > 0))
        for value in self._named(_SPANS.sub(" ", text)):
            have = torch.zeros(len(self), dtype=torch.bool)
            have[sorted(self._having[value])] = True
            facts.append(have)
        return facts

    def _span(self, match: re.Match[str]) -> tuple[int, int]:
        """First and last year of what a match says."""
        if match["first"]:
            first, last = sorted((int(match["first"]), int(match["last"])))
            return first, last
        if match["one"]:
            return int(match["one"]), int(match["one"])
        if match["recent"]:
            return self._recent(), 9999
        if match["own"]:
            start = _decade(match["own"])
            early, late = _PART.get((match["part"] or "").lower(), (0, 9))
            return start + early, start + late
        start, end = (int(match["year"]),) * 2 if match["year"] else (_decade(match["decade"]), 0)
        end = end or start + 9
        side = " ".join(match["side"].lower().split())
        inside = side in _INCLUSIVE
        return (1, end if inside else start - 1) if side in _BEFORE else (start if inside else end + 1, 9999)

    def _recent(self) -> int:
        known = sorted(year for year in self._years if year)
        return known[int((1 - _RECENT) * (len(known) - 1))] if known else 9999

    def _named(self, text: str) -> Iterator[Words]:
        """Values that a text names, the longest first where they overlap, each once."""
        words, at, found = _words(text), 0, set()
        while at < len(words):
            sizes = range(min(_LONGEST, len(words) - at), 0, -1)
            value = next((v for n in sizes if self._having.get(v := words[at : at + n])), None)
            if value is not None and value not in found:
                found.add(value)
                yield value
            at += len(value or (0,))


def _year(title: str, tokens: Sequence[str]) -> int:
    """The year that an item states; 0 for none."""
    for token in tokens:
        column, _, value = token.partition("=")
        if _YEAR_COLUMN.search(column) and (found := _YEAR_VALUE.match(value)):
            return int(found[1])
    named = _YEAR_IN_TITLE.findall(title)
    return int(named[-1]) if named else 0


def _value(token: str) -> Words:
    """The words of an attribute's value; none where it is a number or long."""
    words = _words(token.partition("=")[2])
    return words if len(words) <= _LONGEST and not all(word.isdigit() for word in words) else ()


def _words(text: str) -> Words:
    return tuple(_singular(word) for word in _WORD.findall(text.lower().replace("'s", "").replace("’s", "")))


def _singular(word: str) -> str:
    if len(word) > 4 and word.endswith("ies"):
        return word[:-3] + "y"
    return word[:-1] if len(word) > 3 and word.endswith("s") and not word.endswith("ss") else word


def _decade(text: str) -> int:
    """The first year of a decade in words or figures."""
    text = text.lower()
    if text in _DECADES:
        return _DECADES[text]
    figures = int("".join(letter for letter in text if letter.isdigit()))
    return figures if figures > 99 else figures + (2000 if figures < 20 else 1900)
