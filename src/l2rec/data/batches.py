"""Batches: event sequences cut into windows, bucketed by tokens so that little is padding, and padded on the right."""

import heapq
from collections.abc import Iterator, Sequence
from dataclasses import KW_ONLY, dataclass
from functools import cached_property
from itertools import pairwise
from typing import overload

import numpy as np
import torch
from jaxtyping import Int
from numpy import ndarray
from torch import Tensor

from l2rec.errors import SettingError
from l2rec.types import Batch, Histories

_POOL = 64
"""Batches over which windows are sorted by tokens: enough to save padding, few enough to leave the mixture random."""
_MOST_PADDING = 0.12
"""Share of padding above which the batches that waste most are split in two."""


@dataclass(frozen=True)
class _Windows:
    """Stretches of events, one a row of some batch.

    Attributes:
        rows: The sequence that each window belongs to.
        starts: The first input, as an index into the events of all sequences.
        sizes: How many inputs it has.
        contexts: How many of the first inputs are there to be read only, their targets being another window's.
        tokens: Positions that the inputs take in the model.
    """

    rows: Int[ndarray, " W"]
    starts: Int[ndarray, " W"]
    sizes: Int[ndarray, " W"]
    contexts: Int[ndarray, " W"]
    tokens: Int[ndarray, " W"]


@dataclass(frozen=True, eq=False)
class TrainingBatches(Sequence[Batch]):
    """One epoch of training batches; a function of the data, the settings, `seed` and `epoch`, and nothing else.

    Every event that has a predecessor is the target of exactly one position of the epoch. A sequence with more targets
    than `length` is cut at an offset drawn anew for every epoch; its last window is filled up with earlier events,
    whose targets do not count again. Any batch can be asked for by its number, so that a resumed run starts anywhere.

    Attributes:
        histories: The training part; sequences of fewer than two events give nothing.
        length: Inputs of a window, at most.
        batch_size: Windows of a batch, at most.
        token_counts: Positions that each item takes in the model.
        seed: The run's seed.
        epoch: Number of the pass, from 0.
        max_tokens: Windows of a batch times tokens of its longest window, at most; a window that is longer by itself
            is a batch by itself. No bound where None.
    """

    histories: Histories
    _: KW_ONLY
    length: int
    batch_size: int
    token_counts: Int[Tensor, " N"]
    seed: int
    epoch: int
    max_tokens: int | None = None

    def __post_init__(self) -> None:
        """Refuses impossible sizes.

        Raises:
            SettingError: `length`, `batch_size` or `max_tokens` is below 1.
        """
        _refuse_less_than_one(self.length, self.batch_size, self.max_tokens)

    def __len__(self) -> int:
        return len(self._bounds) - 1

    @overload
    def __getitem__(self, number: int) -> Batch: ...
    @overload
    def __getitem__(self, number: slice) -> list[Batch]: ...
    def __getitem__(self, number: int | slice) -> Batch | list[Batch]:
        """Returns one batch, or a list of them.

        Raises:
            IndexError: the epoch has fewer batches.
        """
        if isinstance(number, slice):
            return [self[i] for i in range(len(self))[number]]
        place = range(len(self))[number]
        return self._collated(self._order[self._bounds[place] : self._bounds[place + 1]])

    def padding_share(self) -> float:
        """Returns the share of all token positions of the epoch that hold padding."""
        tokens = self._windows.tokens[self._order]
        room = _room(tokens, self._bounds)
        return 1 - int(tokens.sum()) / room if room else 0.0

    def _collated(self, chosen: Int[ndarray, " B"]) -> Batch:
        windows = self._windows
        starts, sizes = torch.from_numpy(windows.starts[chosen]), torch.from_numpy(windows.sizes[chosen])
        contexts, rows = torch.from_numpy(windows.contexts[chosen]), torch.from_numpy(windows.rows[chosen])
        items, times = self._events
        column = torch.arange(int(sizes.max()))
        mask = column < sizes[:, None]
        place = torch.where(mask, starts[:, None] + column, len(items) - 1)
        target_mask = mask & (column >= contexts[:, None])
        targets = torch.where(target_mask, items[torch.where(mask, place + 1, 0)], 0)
        return Batch(items[place], mask, times[place], self.histories.attributes[rows], targets, target_mask, rows)

    @cached_property
    def _events(self) -> tuple[Int[Tensor, " M"], Int[Tensor, " M"]]:
        return _with_a_blank(self.histories)

    @cached_property
    def _chance(self) -> tuple[np.random.Generator, np.random.Generator]:
        cuts, order = np.random.SeedSequence([self.seed, self.epoch]).spawn(2)
        return np.random.default_rng(cuts), np.random.default_rng(order)

    @cached_property
    def _windows(self) -> _Windows:
        """The cut of every sequence; target t of a sequence is its event t + 1, asked at its event t."""
        offsets = self.histories.offsets.numpy().astype(np.int64)
        counts = np.maximum(np.diff(offsets) - 1, 0)
        drawn = self._chance[0].integers(1, self.length, len(counts), endpoint=True)
        first = np.where(counts <= self.length, counts, drawn)
        pieces = np.where(counts > 0, 1 - (first - counts) // self.length, 0)
        rows = np.repeat(np.arange(len(counts)), pieces)
        piece = np.arange(len(rows)) - np.repeat(np.cumsum(pieces) - pieces, pieces)
        begin = np.where(piece == 0, 0, first[rows] + (piece - 1) * self.length)
        end = np.minimum(first[rows] + piece * self.length, counts[rows])
        read = np.maximum(np.minimum(begin, end - self.length), 0)
        starts, stops = offsets[rows] + read, offsets[rows] + end
        total = _running_tokens(self.histories, self.token_counts)
        return _Windows(rows, starts, stops - starts, begin - read, total[stops] - total[starts])

    @cached_property
    def _plan(self) -> tuple[Int[ndarray, " W"], Int[ndarray, " batches_plus_1"]]:
        """The windows in the order of the epoch, and where each batch begins and ends in it."""
        tokens = self._windows.tokens
        mixed = self._chance[1].permutation(len(tokens))
        pools = max(1, len(tokens) // (_POOL * self.batch_size))
        pool = np.arange(len(tokens)) * pools // max(1, len(tokens))
        # Every other pool falls instead of rising, so that a batch across two pools holds windows of one size.
        turned = np.where(pool % 2 == 0, tokens[mixed], -tokens[mixed])
        bucketed = mixed[np.lexsort((turned, pool))]
        bounds = _split(tokens[bucketed], _bounds(tokens[bucketed], self.batch_size, self.max_tokens))
        shuffled = self._chance[1].permutation(len(bounds) - 1)
        sizes = np.diff(bounds)[shuffled]
        ends = np.cumsum(sizes)
        place = np.arange(len(tokens)) + np.repeat(bounds[shuffled] - (ends - sizes), sizes)
        return bucketed[place], np.concatenate(([0], ends))

    @property
    def _order(self) -> Int[ndarray, " W"]:
        return self._plan[0]

    @property
    def _bounds(self) -> Int[ndarray, " batches_plus_1"]:
        return self._plan[1]


def case_batches(
    histories: Histories,
    *,
    length: int,
    batch_size: int,
    token_counts: Int[Tensor, " N"],
    max_tokens: int | None = None,
) -> Iterator[tuple[Int[Tensor, " B"], Batch]]:
    """Yields the end of every history once, the longest first, so that a batch that is too big fails at once.

    Args:
        histories: What the users did; an empty history is a row without a True in the mask.
        length: Events read of a history, at most; the last ones.
        batch_size: Histories of a batch, at most.
        token_counts: Positions that each item takes in the model.
        max_tokens: Histories of a batch times tokens of its longest one, at most; no bound where None.

    Yields:
        The rows of `histories` that the batch holds, and the batch; at least one column wide.

    Raises:
        SettingError: `length`, `batch_size` or `max_tokens` is below 1.
    """
    _refuse_less_than_one(length, batch_size, max_tokens)
    items, times = _with_a_blank(histories)
    stops = histories.offsets[1:].long()
    sizes = (stops - histories.offsets[:-1]).clamp(max=length)
    total = torch.from_numpy(_running_tokens(histories, token_counts))
    tokens = total[stops] - total[stops - sizes]
    order = torch.argsort(tokens, descending=True, stable=True)
    bounds = _bounds(tokens[order].numpy(), batch_size, max_tokens)
    for begin, end in pairwise(bounds.tolist()):
        rows = order[begin:end]
        column = torch.arange(max(1, int(sizes[rows].max())))
        mask = column < sizes[rows, None]
        place = torch.where(mask, (stops - sizes)[rows, None] + column, len(items) - 1)
        yield rows, Batch(items[place], mask, times[place], histories.attributes[rows])


def _refuse_less_than_one(length: int, batch_size: int, max_tokens: int | None) -> None:
    for name, value in (("length", length), ("batch_size", batch_size), ("max_tokens", max_tokens)):
        if value is not None and value < 1:
            raise SettingError(f"batches: {name} {value}: below 1. Set it to 1 or more.")


def _with_a_blank(histories: Histories) -> tuple[Int[Tensor, " M"], Int[Tensor, " M"]]:
    """Items and times with a zero behind the last event: what padding points at, so that it never shows an event."""
    blank = torch.zeros(1, dtype=torch.long)
    return torch.cat((histories.items.long(), blank)), torch.cat((histories.times.long(), blank))


def _running_tokens(histories: Histories, token_counts: Int[Tensor, " N"]) -> Int[ndarray, " M_plus_1"]:
    """Tokens of all events before each event, so that any stretch's tokens are one subtraction."""
    counts = token_counts.long()[histories.items.long()].cumsum(0)
    return np.concatenate((np.zeros(1, np.int64), counts.numpy()))


def _bounds(tokens: Int[ndarray, " W"], batch_size: int, max_tokens: int | None) -> Int[ndarray, " batches_plus_1"]:
    """Where batches begin and end when windows are taken in order until one more would break a limit."""
    if max_tokens is None:
        return np.append(np.arange(0, len(tokens), batch_size), len(tokens))
    bounds, longest = [0], 0
    for place, size in enumerate(tokens.tolist()):
        count = place - bounds[-1]
        longest = max(longest, size)
        if count == batch_size or (count > 0 and (count + 1) * longest > max_tokens):
            bounds.append(place)
            longest = size
    return np.array([*bounds, len(tokens)] if len(tokens) else bounds)


def _split(tokens: Int[ndarray, " W"], bounds: Int[ndarray, " batches_plus_1"]) -> Int[ndarray, " more_batches_plus_1"]:
    """Splits the batch whose split saves the most padding, again and again, until little enough is left.

    A few hundred long windows in large batches of short ones need it: sorting alone leaves them a quarter of padding.
    """
    used, room = int(tokens.sum()), _room(tokens, bounds)
    if room - used <= _MOST_PADDING * room:
        return bounds
    heap = [_best_cut(tokens, begin, end) for begin, end in pairwise(bounds.tolist())]
    heapq.heapify(heap)
    while room - used > _MOST_PADDING * room:
        saving, begin, cut, end = heapq.heappop(heap)
        room += saving
        heapq.heappush(heap, _best_cut(tokens, begin, cut))
        heapq.heappush(heap, _best_cut(tokens, cut, end))
    return np.array([0, *sorted(end for _, _, _, end in heap)])


def _best_cut(tokens: Int[ndarray, " W"], begin: int, end: int) -> tuple[int, int, int, int]:
    """What a batch saves, as a negative number, when it is cut at the best place: saving, begin, place, end."""
    sizes = tokens[begin:end]
    left = np.maximum.accumulate(sizes)[:-1] * np.arange(1, len(sizes))
    right = np.maximum.accumulate(sizes[::-1])[::-1][1:] * np.arange(len(sizes) - 1, 0, -1)
    savings = int(sizes.max()) * len(sizes) - left - right
    place = int(savings.argmax()) if len(savings) else 0
    return -int(savings[place]) if len(savings) else 0, begin, begin + place + 1, end


def _room(tokens: Int[ndarray, " W"], bounds: Int[ndarray, " batches_plus_1"]) -> int:
    """Positions of all batches when every window is as long as the longest of its batch."""
    return int((np.maximum.reduceat(tokens, bounds[:-1]) * np.diff(bounds)).sum()) if len(tokens) else 0
