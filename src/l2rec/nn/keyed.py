"""Items as key-value attribute text, and a history of them as one sequence of tokens, the most recent item first."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from l2rec.nn.prompts import Tokens, lay_out, tokenize

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

OPENING, KEY, VALUE = 0, 1, 2
"""What a token is: the opening one, part of an attribute's name, or part of what it says."""

Attributes = Sequence[tuple[str, str]]
"""Names and values of one item, in the order in which they are read."""


@dataclass(frozen=True)
class Keyed:
    """The token ids of every item, and what each of them is.

    Attributes:
        tokens: Names and values, without a separator; `start` opens a sequence.
        kinds: `KEY` or `VALUE`; 0 beyond the item's length.
    """

    tokens: Tokens
    kinds: Int[Tensor, "N T"]

    def to(self, device: torch.device) -> "Keyed":
        """Returns the same on `device`."""
        return Keyed(self.tokens.to(device), self.kinds.to(device))


@dataclass(frozen=True)
class Line:
    """Histories as text, the opening token first, then the most recent item.

    Attributes:
        ids: Token ids, padded on the right.
        mask: True at a token.
        kinds: `OPENING`, `KEY` or `VALUE`.
        items: Which item a token belongs to: 0 at the opening token, 1 for the most recent item.
    """

    ids: Int[Tensor, "B T"]
    mask: Bool[Tensor, "B T"]
    kinds: Int[Tensor, "B T"]
    items: Int[Tensor, "B T"]


def attributes_of(titles: tuple[str, ...], tokens: tuple[tuple[str, ...], ...]) -> list[Attributes]:
    """Returns the title and then the attributes of every item, the shortest first, so that the fewest are cut off.

    Several values of one name are one, with commas.

    Args:
        titles: Titles; an item without one begins with its attributes.
        tokens: Attributes of the form `name=value`.
    """
    found: list[Attributes] = []
    for title, own in zip(titles, tokens, strict=True):
        named: dict[str, list[str]] = {}
        for token in own:
            name, _, value = token.partition("=")
            named.setdefault(name, []).append(value)
        others = sorted(((name, ", ".join(values)) for name, values in named.items()), key=lambda pair: len(pair[1]))
        found.append([("title", title), *others] if title else others)
    return found


def tokenize_keyed(
    tokenizer: "PreTrainedTokenizerBase", items: Sequence[Attributes], value_tokens: int, item_tokens: int
) -> Keyed:
    """Returns the tokens of all items: name, value, name, value.

    Args:
        tokenizer: The backbone's.
        items: Names and values; an item without any is one value token, the separator.
        value_tokens: Tokens of a value, at most.
        item_tokens: Tokens of an item, at most.
    """
    phrases = list(dict.fromkeys(phrase for item in items for pair in item for phrase in pair))
    cut = tokenize(tokenizer, (*phrases, ""), value_tokens + 1)
    words = {p: row[: n - 1].tolist() for p, row, n in zip(phrases, cut.ids, cut.lengths.tolist(), strict=False)}
    separator = int(cut.ids[-1, 0])
    ids, kinds = [], []
    for item in items:
        parts = [(words[phrase], kind) for pair in item for phrase, kind in zip(pair, (KEY, VALUE), strict=True)]
        ids.append([word for part, _ in parts for word in part][:item_tokens] or [separator])
        kinds.append([kind for part, kind in parts for _ in part][:item_tokens] or [VALUE])
    lengths = torch.tensor([len(row) for row in ids], dtype=torch.long)
    start = separator if cut.start is None else cut.start
    return Keyed(Tokens(_padded(ids), lengths, start), _padded(kinds))


def _padded(rows: list[list[int]]) -> Int[Tensor, "N T"]:
    width = max((len(row) for row in rows), default=1)
    return torch.tensor([[*row, *[0] * (width - len(row))] for row in rows], dtype=torch.long).view(-1, width)


def newest_first(keyed: Keyed, items: Int[Tensor, "B L"], mask: Bool[Tensor, "B L"], most: int) -> Line:
    """Returns every row's items as one sequence.

    Args:
        keyed: The catalogue.
        items: Item numbers, oldest first; anything where `mask` is False.
        mask: True at an event; events stand on the left.
        most: Tokens of a row, at most; the oldest are cut off.
    """
    place = torch.arange(items.shape[1], device=items.device)
    back = (mask.sum(1, keepdim=True) - 1 - place).clamp(min=0)
    turned = items.gather(1, back)
    prompt = lay_out(keyed.tokens, turned, mask)
    kinds = lay_out(Tokens(keyed.kinds, keyed.tokens.lengths, OPENING), turned, mask).ids
    number = (prompt.item + 1) * prompt.mask
    number[:, 0] = 0
    return Line(*(part[:, :most] for part in (prompt.ids, prompt.mask, kinds, number)))
