"""What stays valid of a history that only grew: keys and values of both views, and the sum behind the user state."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from l2rec.nn.views import Rows

if TYPE_CHECKING:
    from transformers import Cache

_NOBODY = -1
"""The view of a key that only fills a row up."""


@dataclass(frozen=True)
class Prefix:
    """One user's history as it was read; both views are causal, so what comes later changes nothing of it.

    Attributes:
        items: Item numbers that were read, oldest first.
        attributes: The user's attribute vector, which every position has heard of.
        keys: Keys of every block, in the order in which positions were read.
        values: Values of every block.
        view: The view of each position: 0 semantic, 1 behavioural.
        total: Sum of the item vectors.
        vector: The preference vector after the last item.
    """

    items: tuple[int, ...]
    attributes: Float[Tensor, " A"]
    keys: tuple[Float[Tensor, "_heads T _head"], ...]
    values: tuple[Float[Tensor, "_heads T _head"], ...]
    view: Int[Tensor, " T"]
    total: Float[Tensor, " D"]
    vector: Float[Tensor, " D"]

    @property
    def size(self) -> int:
        """Bytes of the tensors, on the device where they lie."""
        rest = (self.attributes, self.view, self.total, self.vector)
        return sum(tensor.numel() * tensor.element_size() for tensor in (*self.keys, *self.values, *rest))

    def begins(self, history: Sequence[int], attributes: Float[Tensor, " A"]) -> bool:
        """Returns whether this is how the history of a user with these attributes begins."""
        count = len(self.items)
        return tuple(history[:count]) == self.items and torch.equal(self.attributes, attributes.to(self.attributes))


class Past:
    """What was read of several users, side by side, so that one call reads on for all of them.

    Attributes:
        cache: Keys and values of every block; the backbone adds those that it reads.
        counts: Items that were read of each.
        totals: Sums of their item vectors.
    """

    def __init__(self, prefixes: Sequence[Prefix]) -> None:
        """Lays prefixes side by side, each filled up to the longest.

        Args:
            prefixes: One for each user; at least one.
        """
        self.cache = empty()
        for number in range(len(prefixes[0].keys)):
            keys, values = ([p.keys[number] for p in prefixes], [p.values[number] for p in prefixes])
            self.cache.update(_stacked(keys), _stacked(values), number)
        self.view: Int[Tensor, "B S"] = pad_sequence([p.view for p in prefixes], True, _NOBODY)
        self.counts = torch.tensor([len(p.items) for p in prefixes], device=self.view.device)
        self.totals = torch.stack([p.total for p in prefixes])

    def before(self, rows: Rows) -> Rows:
        """Returns rows of new positions as those that come after: seen from the past on, at their own positions."""
        views = _views(rows)
        earlier = self.view.unsqueeze(1) == views.view(1, -1, 1)
        used = torch.stack([(self.view == view).sum(1) for view in (0, 1)], 1)
        visible = torch.cat([earlier, rows.visible], 2)
        return replace(rows, visible=visible, positions=rows.positions + used[:, views])


@dataclass(frozen=True)
class Kept:
    """Keys, values and views of one user's positions; as in `Prefix`."""

    keys: tuple[Float[Tensor, "_heads T _head"], ...]
    values: tuple[Float[Tensor, "_heads T _head"], ...]
    view: Int[Tensor, " T"]


def empty() -> "Cache":
    """Returns what holds no key yet."""
    from transformers import DynamicCache

    return DynamicCache()


def kept(cache: "Cache", past: Past | None, rows: Rows, blocks: int) -> list[Kept] | None:
    """Returns what to keep of every user after a call; None where a block kept nothing, or not every position.

    Args:
        cache: What the call filled.
        past: What was read before the call, if anything.
        rows: What the call read.
        blocks: How many blocks the backbone has.
    """
    view = torch.where(rows.mask, _views(rows), _NOBODY)
    view = view if past is None else torch.cat([past.view, view], 1)
    pairs = _pairs(cache)
    if len(pairs) != blocks or any(key.shape[2] != view.shape[1] for key, _ in pairs):
        return None
    found = []
    for row, there in enumerate(view != _NOBODY):
        # A user alone needs no copy; one of many would hold on to the tensors of all.
        whole = len(view) == 1 and bool(there.all())
        keys, values = (tuple(_row(pair[side], row, None if whole else there) for pair in pairs) for side in (0, 1))
        found.append(Kept(keys, values, view[row, there]))
    return found


def _views(rows: Rows) -> Int[Tensor, " T"]:
    """The view of every position of a row."""
    lengths = torch.tensor(rows.layout.lengths, device=rows.mask.device)
    return torch.arange(2, device=rows.mask.device).repeat_interleave(lengths)


def _pairs(cache: "Cache") -> list[tuple[Tensor, Tensor]]:
    """Keys and values of the blocks that kept some."""
    from transformers.cache_utils import DynamicLayer

    layers = [layer for layer in cache.layers if isinstance(layer, DynamicLayer)]
    return [(layer.keys, layer.values) for layer in layers if layer.keys is not None and layer.values is not None]


def _row(states: Float[Tensor, "B _heads T _head"], row: int, there: Bool[Tensor, " T"] | None) -> Tensor:
    return states[row] if there is None else states[row][:, there]


def _stacked(states: list[Tensor]) -> Float[Tensor, "B _heads T _head"]:
    if len(states) == 1:
        return states[0].unsqueeze(0)
    return pad_sequence([state.transpose(0, 1) for state in states], batch_first=True).transpose(1, 2)
