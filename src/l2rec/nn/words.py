"""Items as bags of words: a learned vector for every word that several items share, weighed by how rare it is."""

import math
import re
from collections import Counter
from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.autograd.function import FunctionCtx
from torch.nn import functional

from l2rec.nn.room import Room
from l2rec.types import Items

_MOST = 64
"""Words of an item that count, the rarest first."""


def words_of(text: str) -> list[str]:
    """Returns the words of a text, case folded."""
    return re.findall(r"\w+", text.casefold())


def bags_of(items: Items) -> list[list[str]]:
    """Returns what each item's bag holds: the words of its title, and its attributes, each a word by itself."""
    return [[*words_of(title), *own] for title, own in zip(items.titles, items.attributes, strict=True)]


def shared_words(described: Sequence[Sequence[str]], trained: Bool[Tensor, " N"]) -> int:
    """Returns how many words more than one trained item has; a bag has a vector for each, and one at least."""
    return max(sum(count > 1 for count in _counted(described, trained).values()), 1)


def _counted(described: Sequence[Sequence[str]], trained: Bool[Tensor, " N"]) -> Counter[str]:
    known = zip(described, trained.tolist(), strict=True)
    return Counter(word for own, is_trained in known if is_trained for word in set(own))


class WordBag(nn.Module):
    """v_i = sum_w a_iw e_w, with a_i the item's IDF weights at length one and e_w the learned vector of a word.

    The vectors begin at random, so that untrained the dot product of two items is about the cosine of their IDF vectors
    (a random projection keeps angles, Johnson & Lindenstrauss 1984). A word that only one item has is left out: it
    would be an ID once more, and tells nothing of an item that comes later. Only trained items are counted, so that an
    item is the same whether it stood in the catalogue untrained or comes later.
    """

    def __init__(
        self, described: Sequence[Sequence[str]], trained: Bool[Tensor, " N"], width: int, size: float
    ) -> None:
        """Takes up the words of a catalogue.

        Args:
            described: Words of every item; one that is given twice counts once.
            trained: True for an item with a training event.
            width: Width D.
            size: Length of a word's vector at the start.
        """
        super().__init__()
        known, count = _counted(described, trained), int(trained.sum())
        shared = sorted(word for word, items in known.items() if items > 1)
        self._numbers = {word: number for number, word in enumerate(shared)}
        self._idf = [math.log(count / known[word]) for word in shared]
        self.vectors = nn.Embedding(max(len(shared), 1), width)
        nn.init.normal_(self.vectors.weight, std=size / width**0.5)
        words, weights = self._rows(described)
        self.register_buffer("words", words, persistent=False)
        self.register_buffer("weights", weights, persistent=False)
        self.words: Tensor
        self.weights: Tensor
        self._room = Room()

    def forward(self, items: Int[Tensor, " P"] | None = None) -> Float[Tensor, "P D"]:
        """Returns the vectors of `items`, or of all items."""
        words, weights = self.words, self.weights
        if items is not None:
            words, weights = words[items], weights[items]
        return self._sum(words, weights)

    def of(self, described: Sequence[Sequence[str]]) -> Float[Tensor, "P D"]:
        """Returns the vectors that items of these words have."""
        words, weights = self._rows(described)
        return self._sum(words.to(self.words.device), weights.to(self.words.device))

    def put(self, items: Int[Tensor, " P"], described: Sequence[Sequence[str]]) -> None:
        """Gives items other words, of those that are known; items beyond the last are appended.

        Args:
            items: Item numbers, each once: known ones, or the next in order.
            described: Words of each.
        """
        words, weights = self._rows(described)
        self.words = self._room.put("words", self.words, items, words.to(self.words.device))
        self.weights = self._room.put("weights", self.weights, items, weights.to(self.words.device))

    def _sum(self, words: Int[Tensor, "P W"], weights: Float[Tensor, "P W"]) -> Float[Tensor, "P D"]:
        table, weights = self.vectors.weight, weights.to(self.vectors.weight.dtype)
        if not weights.is_cpu:
            return functional.embedding_bag(words, table, mode="sum", per_sample_weights=weights)
        there = weights != 0  # a row is mostly padding; without it a CPU takes a quarter of the time
        summed: Tensor = _Bags.apply(table, words[there], weights[there], there.sum(1))  # type: ignore[no-untyped-call]
        return summed

    def _rows(self, described: Sequence[Sequence[str]]) -> tuple[Int[Tensor, "P W"], Float[Tensor, "P W"]]:
        """The word numbers of each item, and their weights; 0 of weight 0 beyond an item's last."""
        words = torch.zeros(len(described), _MOST, dtype=torch.long)
        weights = torch.zeros(len(described), _MOST)
        for row, own in enumerate(described):
            known = sorted(self._numbers[word] for word in set(own) if word in self._numbers)
            rarest = sorted(known, key=lambda number: -self._idf[number])[:_MOST]
            words[row, : len(rarest)] = torch.tensor(rarest, dtype=torch.long)
            weights[row, : len(rarest)] = torch.tensor([self._idf[number] for number in rarest])
        return words, functional.normalize(weights, dim=1)


class _Bags(torch.autograd.Function):
    """Weighted sums of rows of a table, whose gradient is such sums again: of bags, for every row of the table.

    PyTorch's own gradient of them goes through the pairs one by one, and takes a CPU four times as long.
    """

    @staticmethod
    def forward(ctx: FunctionCtx, table: Tensor, words: Tensor, weights: Tensor, sizes: Tensor) -> Tensor:
        """Returns a sum a bag, of `sizes` pairs of word and weight each."""
        ctx.save_for_backward(words, weights, sizes, table.new_empty(len(table), 0))
        return _summed(table, words, weights, sizes)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None, None]:
        """Returns the gradient to the table."""
        words, weights, sizes, rows = ctx.saved_tensors
        order = words.argsort(stable=True)
        bags = torch.repeat_interleave(sizes)[order]
        return _summed(gradient, bags, weights[order], words.bincount(minlength=len(rows))), None, None, None


def _summed(
    table: Float[Tensor, "V D"], rows: Int[Tensor, " E"], weights: Float[Tensor, " E"], sizes: Int[Tensor, " P"]
) -> Float[Tensor, "P D"]:
    starts = functional.pad(sizes.cumsum(0), (1, 0))[:-1]
    return functional.embedding_bag(rows, table, starts, mode="sum", per_sample_weights=weights)
