"""A prompt beside a history: what it wants, what it does not want, and how both move the scores."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

_NOT = (
    r"no(?!\s+(?:matter|problem|doubt|preference|limit)\b)|not(?!\s+(?:only|just|necessarily)\b)|"
    r"nothing(?!\s+(?:but|short|less)\b)|without|never|neither|nor|except|excepting|excluding|exclude|avoid|avoiding|"
    r"other\s+than|apart\s+from|anything\s+but|everything\s+but|all\s+but|"
    r"(?:(?:i|we)\s+)?(?:do\s+not|don[’']?t)\s+(?:want|like|need|show\s+me|give\s+me)"
)
_TOKEN = re.compile(
    rf"""(?P<quoted>"[^"]*"|“[^”]*”)|(?P<mark>(?<![\w'’-])(?:{_NOT})(?![\w'’-]))|(?P<comma>,)"""
    r"|(?P<end>[.!?;:()\[\]\n]+(?!\d)|(?<=\s)[-–—]+(?=\s))|(?P<word>\S[^\s,.!?;:()\[\]]*)",
    re.IGNORECASE,
)
_TURNS = {"but", "just", "only", "rather", "instead", "please", "though", "yet"}
"""Words behind which what is said is wanted again."""
_MORE = {"with", "more", "lots", "some", "plenty", "many", "i", "we", "give", "show", "preferably", *_TURNS}
"""Words that make an `and` begin something that is wanted."""
_HOLLOW = {
    "a",
    "an",
    "the",
    "any",
    "anything",
    "too",
    "so",
    "very",
    "really",
    "that",
    "much",
    "more",
    "many",
    "of",
    "with",
}
_HOLLOW |= {
    "for",
    "like",
    "about",
    "from",
    "in",
    "to",
    "be",
    "me",
    "please",
    "all",
    "kind",
    "films",
    "movies",
    "or",
    "and",
}
"""Words that say nothing at the beginning of what is unwanted."""
_SHORT = 2
"""Words of a list's item, at most, where a list of unwanted things goes on behind a comma."""

_PHRASES = 8
"""Unwanted phrases of a prompt, at most: each is a text for the language model and a score of every item."""

Token = tuple[str, str]


@dataclass(frozen=True)
class Steer:
    """What a prompt asks for.

    Attributes:
        wanted: What is wanted, in the prompt's own words; empty where it only says what is not.
        unwanted: What is not wanted, a phrase each, none empty.
    """

    wanted: str
    unwanted: tuple[str, ...] = ()


@dataclass(frozen=True)
class Weights:
    """What each share counts for, in standard deviations of the history's scores.

    Attributes:
        wanted: Of the text score of what is wanted, where no fact covers a word of it.
        unwanted: Of the text score of what is not, likewise.
        stated: Of meeting all that is wanted and that items state in plain words.
        excluded: Of being what is not wanted, as items state it.
    """

    wanted: float = 1.0
    unwanted: float = 1.0
    stated: float = 8.0
    excluded: float = 8.0


@dataclass(frozen=True)
class Shares:
    """What a prompt says of every item, before weights; None where it says nothing.

    Attributes:
        wanted: Text scores of what is wanted.
        unwanted: Text scores of each unwanted phrase.
        stated: Share of the wanted facts that an item meets, 0 to 1.
        excluded: 1 where an item is what is unwanted.
        left: Share of the words of `wanted` that say something else than what `stated` knows, 0 to 1.
        unwanted_left: The same of every unwanted phrase, one number each; 1 where not given.
    """

    wanted: Float[Tensor, " N"] | None = None
    unwanted: Float[Tensor, "P N"] | None = None
    stated: Float[Tensor, " N"] | None = None
    excluded: Float[Tensor, " N"] | None = None
    left: float = 1.0
    unwanted_left: tuple[float, ...] = ()


def parse(prompt: str) -> Steer:
    """Returns what a prompt wants and what it does not.

    A word such as `no`, `not`, `without`, `nothing with`, `except` or `anything but` opens what is unwanted; `or`,
    `nor` and `and` list more of it; a comma, the end of a sentence, a bracket or a word such as `but` closes it. A list
    goes on behind a comma where its last item is joined by `or`: `no horror, war or musicals`. What stands in double
    quotes, as a title may, is taken as it is. Of more than 8 unwanted phrases the eighth and all behind it are one.

    Args:
        prompt: Any text.
    """
    tokens = [(match.lastgroup or "", match.group()) for match in _TOKEN.finditer(prompt)]
    wanted: list[Token] = []
    unwanted: list[list[str]] = []
    negated = False
    for at, (kind, text) in enumerate(tokens):
        if kind == "mark":
            negated = True
            unwanted.append([])
            wanted.append(("comma", ","))
        elif negated and not _goes_on(tokens, at):
            negated = False
            wanted.append(("comma", ","))
            if kind == "word" and text.lower() not in {*_TURNS, "and"}:
                wanted.append((kind, text))
        elif negated and (kind == "comma" or text.lower() in {"or", "and"}):
            unwanted.append([])
        elif negated:
            unwanted[-1].append(text)
        else:
            wanted.append((kind, text))
    return Steer(_joined(wanted), _few([" ".join(_filled(words)) for words in unwanted]))


def _few(phrases: Sequence[str]) -> tuple[str, ...]:
    """Each phrase once, none empty; the last of those that are read apart takes up what is beyond them."""
    each = list(dict.fromkeys(phrase for phrase in phrases if phrase))
    last = ", ".join(each[_PHRASES - 1 :])
    return (*each[: _PHRASES - 1], last) if last else tuple(each)


def _goes_on(tokens: Sequence[Token], at: int) -> bool:
    """Whether what is unwanted goes on at a token."""
    kind, text = tokens[at]
    if kind == "end":
        return False
    if kind == "comma":
        return _lists_on(tokens[at + 1 :])
    following = tokens[at + 1][1].lower() if at + 1 < len(tokens) else ""
    return text.lower() not in _TURNS and not (text.lower() == "and" and following in _MORE)


def _lists_on(tokens: Sequence[Token]) -> bool:
    """Whether the words behind a comma are short items of a list that ends with `or`."""
    words = 0
    for kind, text in tokens:
        if text.lower() == "or":
            return True
        words = 0 if kind == "comma" else words + 1
        if kind in {"mark", "end"} or words > _SHORT or text.lower() in _MORE:
            return False
    return False


def _filled(words: list[str]) -> list[str]:
    """The words without hollow ones at the beginning."""
    start = next((n for n, word in enumerate(words) if word.lower() not in _HOLLOW), len(words))
    return words[start:]


def _joined(tokens: list[Token]) -> str:
    return ", ".join(" ".join(part) for part in _parts(tokens) if part)


def _parts(tokens: list[Token]) -> Iterator[list[str]]:
    part: list[str] = []
    for kind, text in tokens:
        if kind in {"comma", "end"}:
            yield part
            part = []
        else:
            part.append(text)
    yield part if any(word.lower() not in {"and", "but", "or"} for word in part) else []


def steered(
    history: Float[Tensor, " N"],
    shares: Shares,
    weights: Weights = Weights(),
) -> Float[Tensor, " N"]:
    """Returns one score of every item from the history's and what the prompt says.

    Scores of history and texts are standardised over the catalogue first, so that a weight means the same for every
    user and prompt. A text counts by the share of its words that no stated fact covers: where an item says itself that
    it is a comedy of 1995, reading adds little. An item is as unwanted as the nearest unwanted phrase makes it; being
    unlike it earns nothing.

    Args:
        history: Scores for the history, finite.
        shares: What the prompt says.
        weights: What each share counts for.
    """
    total = standard(history)
    if shares.wanted is not None:
        total = total + weights.wanted * shares.left * standard(shares.wanted)
    if shares.unwanted is not None and len(shares.unwanted):
        left = shares.unwanted_left or (1.0,) * len(shares.unwanted)
        nearest = torch.zeros_like(total)
        for share, row in zip(left, shares.unwanted, strict=True):
            nearest = torch.maximum(nearest, share * standard(row))
        total = total - weights.unwanted * nearest
    if shares.stated is not None:
        total = total + weights.stated * shares.stated
    if shares.excluded is not None:
        total = total - weights.excluded * shares.excluded
    return total


def standard(scores: Float[Tensor, " N"]) -> Float[Tensor, " N"]:
    """Returns scores with mean 0 and standard deviation 1; all 0 where they are all alike."""
    return (scores - scores.mean()) / scores.std(correction=0).clamp(min=1e-6)
