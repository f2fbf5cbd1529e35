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
_SPARE = 8
"""A past that grows gets room for an eighth more than it has."""


class Ground:
    """Where the keys and values of one user lie, with room behind them, so that what grows is not copied every time.

    Attributes:
        places: One for the keys and one for the values of every block; heads, positions, width of a head.
        used: Positions that are written.
    """

    def __init__(self, states: Sequence[Float[Tensor, "_heads _before _head"]], room: int) -> None:
        """Copies states into places of `room` positions."""
        self.used = states[0].shape[1]
        self.places = [state.new_empty(state.shape[0], room, state.shape[2]) for state in states]
        for place, state in zip(self.places, states, strict=True):
            place[:, : self.used] = state

    def write(self, fresh: Sequence[Sequence[Float[Tensor, "_heads _new _head"]]]) -> None:
        """Writes behind what is used: for every place the pieces that follow one another."""
        for place, pieces in zip(self.places, fresh, strict=True):
            end = self.used
            for piece in pieces:
                place[:, end : end + piece.shape[1]] = piece
                end += piece.shape[1]
        self.used += sum(piece.shape[1] for piece in fresh[0])


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
        ground: What keys and values are the beginning of; None where they are all there is.
    """

    items: tuple[int, ...]
    attributes: Float[Tensor, " A"]
    keys: tuple[Float[Tensor, "_heads T _head"], ...]
    values: tuple[Float[Tensor, "_heads T _head"], ...]
    view: Int[Tensor, " T"]
    total: Float[Tensor, " D"]
    vector: Float[Tensor, " D"]
    ground: Ground | None = None

    @property
    def size(self) -> int:
        """Bytes of the tensors, the room behind them counted, on the device where they lie."""
        rest = (self.attributes, self.view, self.total, self.vector)
        states = (*self.keys, *self.values) if self.ground is None else self.ground.places
        return sum(tensor.numel() * tensor.element_size() for tensor in (*states, *rest))

    def begins(self, history: Sequence[int], attributes: Float[Tensor, " A"]) -> bool:
        """Returns whether this is how the history of a user with these attributes begins."""
        count = len(self.items)
        return tuple(history[:count]) == self.items and torch.equal(self.attributes, attributes.to(self.attributes))


class Past:
    """What was read of several users, side by side, so that one call reads on for all of them.

    Attributes:
        prefixes: What was read of each.
        cache: Keys and values of every block; the backbone adds those that it reads.
        counts: Items that were read of each.
        totals: Sums of their item vectors.
    """

    def __init__(self, prefixes: Sequence[Prefix]) -> None:
        """Lays prefixes side by side, each filled up to the longest.

        Args:
            prefixes: One for each user; at least one.
        """
        self.prefixes = prefixes
        self.cache = _laid(prefixes)
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
    """Keys, values and views of one user's positions, and where they lie; as in `Prefix`."""

    keys: tuple[Float[Tensor, "_heads T _head"], ...]
    values: tuple[Float[Tensor, "_heads T _head"], ...]
    view: Int[Tensor, " T"]
    ground: Ground | None = None


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
    start = 0 if past is None else past.view.shape[1]
    pairs = _pairs(cache)
    if len(pairs) != blocks or any(key.shape[2] != start + view.shape[1] for key, _ in pairs):
        return None
    states = [pair[side] for side in (0, 1) for pair in pairs]
    found = []
    for row, there in enumerate(view != _NOBODY):
        own = view[row, there]
        fresh = [[state[row, :, start + a : start + b] for a, b in _runs(there)] for state in states]
        found.append(_whole(fresh, own, len(view)) if past is None else _grown(past.prefixes[row], fresh, own))
    return found


def _whole(fresh: list[list[Tensor]], view: Tensor, users: int) -> Kept:
    # A user alone needs no copy; one of many would hold on to the tensors of all.
    alone = users == 1 and len(fresh[0]) == 1
    states = [pieces[0] if alone else torch.cat(pieces, 1) for pieces in fresh]
    return Kept(tuple(states[: len(states) // 2]), tuple(states[len(states) // 2 :]), view)


def _grown(prefix: Prefix, fresh: list[list[Tensor]], view: Tensor) -> Kept:
    """What is new is written behind what was read, unless another reading was or there is no room."""
    ground, before = prefix.ground, len(prefix.view)
    size = before + len(view)
    if ground is None or ground.used != before or ground.places[0].shape[1] < size:
        ground = Ground((*prefix.keys, *prefix.values), size + size // _SPARE)
    ground.write(fresh)
    states, blocks = [place[:, :size] for place in ground.places], len(prefix.keys)
    return Kept(tuple(states[:blocks]), tuple(states[blocks:]), torch.cat([prefix.view, view]), ground)


def _runs(there: Bool[Tensor, " T"]) -> list[tuple[int, int]]:
    """Beginnings and ends of the stretches that are there."""
    found: list[tuple[int, int]] = []
    for place in there.nonzero().flatten().tolist():
        if found and found[-1][1] == place:
            found[-1] = (found[-1][0], place + 1)
        else:
            found.append((place, place + 1))
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


def _laid(prefixes: Sequence[Prefix]) -> "Cache":
    """What holds the keys and values of prefixes, side by side, and takes the new ones."""
    from transformers import Cache

    from l2rec.nn.laid import Laid

    blocks = range(len(prefixes[0].keys))
    return Cache(layers=[Laid([p.keys[n] for p in prefixes], [p.values[n] for p in prefixes]) for n in blocks])
