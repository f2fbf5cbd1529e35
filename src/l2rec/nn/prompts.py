"""A history as text: every item's tokens once per catalogue, laid end to end per user."""

from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING

import numpy as np
import torch
from jaxtyping import Bool, Int
from torch import Tensor
from torch.nn import functional

from l2rec.nn.room import Room

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


@dataclass(frozen=True)
class Tokens:
    """The token ids of every item, padded on the right, the last one a separator.

    Attributes:
        ids: Token ids; 0 beyond `lengths`.
        lengths: Tokens of each item, the separator counted; at least 1.
        start: Token that opens a sequence, e.g. [CLS]; None where the backbone has none.
    """

    ids: Int[Tensor, "N T"]
    lengths: Int[Tensor, " N"]
    start: int | None

    def to(self, device: torch.device) -> "Tokens":
        """Returns the same tokens on `device`."""
        return Tokens(self.ids.to(device), self.lengths.to(device), self.start)


@dataclass(frozen=True)
class Prompt:
    """Histories as text.

    Attributes:
        ids: Token ids of the whole row, padded on the right.
        mask: True at a token.
        item: Which item of the history (0..L-1) a token belongs to; the opening token belongs to the first.
        last: Position of every item's last token; 0 where the history has no item.
        events: True where the history has an item.
    """

    ids: Int[Tensor, "B T"]
    mask: Bool[Tensor, "B T"]
    item: Int[Tensor, "B T"]
    last: Int[Tensor, "B L"]
    events: Bool[Tensor, "B L"]


def tokenize(tokenizer: "PreTrainedTokenizerBase", texts: tuple[str, ...], limit: int) -> Tokens:
    """Returns the tokens of all items, each cut to `limit` tokens of which the last is the separator."""
    separator = _separator(tokenizer)
    rows = [[*row[: limit - 1], separator] for row in _rows(tokenizer, texts, max(limit - 1, 1))]
    counts = np.array([len(row) for row in rows], dtype=np.int64)
    padded = np.zeros((len(rows), int(counts.max()) if rows else 1), dtype=np.int64)
    padded[np.arange(padded.shape[1]) < counts[:, None]] = np.fromiter(chain.from_iterable(rows), np.int64)
    ids, lengths = torch.from_numpy(padded), torch.from_numpy(counts)
    start = tokenizer.cls_token_id if tokenizer.cls_token_id is not None else tokenizer.bos_token_id
    return Tokens(ids, lengths, start)


def _rows(tokenizer: "PreTrainedTokenizerBase", texts: tuple[str, ...], most: int) -> list[list[int]]:
    """The first `most` tokens of every text, or the last where the tokenizer cuts on the left.

    A tokenizer in Rust is asked past its wrapper, which takes longer over the answer than Rust over the texts.
    """
    if not texts:
        return []
    if not tokenizer.is_fast:
        rows: list[list[int]] = tokenizer(list(texts), add_special_tokens=False, truncation=True, max_length=most)[
            "input_ids"
        ]
        return rows
    rust = tokenizer.backend_tokenizer
    rust.no_padding()
    rust.enable_truncation(most, direction=tokenizer.truncation_side)
    rust.encode_special_tokens = tokenizer.split_special_tokens
    return [encoded.ids for encoded in rust.encode_batch_fast(texts, add_special_tokens=False)]


def put(tokens: Tokens, numbers: Int[Tensor, " P"], more: Tokens, room: Room) -> Tokens:
    """Returns the tokens with those of some items replaced, or appended behind the last.

    Args:
        tokens: The catalogue's tokens.
        numbers: Item numbers: known ones, or the next in order.
        more: Their tokens.
        room: Where the appended rows lie.
    """
    width = max(tokens.ids.shape[1], more.ids.shape[1])
    wide, narrow = (functional.pad(ids, (0, width - ids.shape[1])) for ids in (tokens.ids, more.ids))
    ids = room.put("ids", wide if width > tokens.ids.shape[1] else tokens.ids, numbers, narrow)
    return Tokens(ids, room.put("lengths", tokens.lengths, numbers, more.lengths), tokens.start)


def _separator(tokenizer: "PreTrainedTokenizerBase") -> int:
    for token in (tokenizer.sep_token_id, tokenizer.eos_token_id, tokenizer.pad_token_id):
        if isinstance(token, int):
            return token
    return 0


def lay_out(tokens: Tokens, items: Int[Tensor, "B L"], mask: Bool[Tensor, "B L"]) -> Prompt:
    """Returns every row's items as one sequence of tokens, oldest first.

    Args:
        tokens: The catalogue's tokens.
        items: Item numbers; anything where `mask` is False.
        mask: True at an event; events stand on the left.
    """
    lengths = tokens.lengths[items] * mask
    opening = 0 if tokens.start is None else 1
    ends = lengths.cumsum(1) + opening
    width = max(int(ends.max()), 1)
    events, offsets = _grid(tokens, items)
    inside = (offsets < lengths.unsqueeze(2)) & mask.unsqueeze(2)
    position = (ends - lengths).unsqueeze(2) + offsets
    rows = torch.arange(len(items), device=items.device).view(-1, 1, 1).expand_as(position)
    ids = tokens.ids.new_zeros(len(items), width)
    item = torch.zeros_like(ids)
    filled = torch.zeros_like(ids, dtype=torch.bool)
    where = (rows[inside], position[inside])
    ids[where] = tokens.ids[items][inside]
    item[where] = events.expand_as(position)[inside]
    filled[where] = True
    if tokens.start is not None:
        ids[:, 0] = tokens.start
        filled[:, 0] = True
    return Prompt(ids, filled, item, (ends - 1).clamp(min=0) * mask, mask)


def _grid(tokens: Tokens, items: Int[Tensor, "B L"]) -> tuple[Int[Tensor, "1 L 1"], Int[Tensor, "1 1 T"]]:
    events = torch.arange(items.shape[1], device=items.device).view(1, -1, 1)
    offsets = torch.arange(tokens.ids.shape[1], device=items.device).view(1, 1, -1)
    return events, offsets
