"""Sequences turned round: a share of them is read from the newest event to the oldest, chosen anew in every epoch."""

from dataclasses import replace

import numpy as np
import torch

from l2rec.types import Histories

_STREAM = 20_012
"""Keeps the choice of sequences apart from every other use of the seed."""


def turned(histories: Histories, share: float, seed: int, epoch: int) -> Histories:
    """Returns the sequences, some of them with their events in the opposite order.

    Where the order of events means little, e.g. as those of one day are listed in any order, an item is then asked for
    after what came before it and after what came later. Times are mirrored with the events, so that they still rise
    and every gap stays with its two events. A function of its arguments alone; a share of 0 is `histories`.

    Args:
        histories: The training part.
        share: Probability of each sequence to be turned, from 0 to 1.
        seed: The run's seed.
        epoch: Number of the pass, from 0.
    """
    if not share:
        return histories
    chosen = torch.from_numpy(np.random.default_rng([_STREAM, seed, epoch]).random(len(histories)) < share)
    owner = torch.arange(len(histories)).repeat_interleave(histories.lengths())
    first, last = histories.offsets[:-1][owner], histories.offsets[1:][owner] - 1
    here, round_ = torch.arange(len(owner)), chosen[owner]
    place = torch.where(round_, first + last - here, here)
    times = histories.times
    mirrored = times[first] + times[last] - times[place]
    return replace(histories, items=histories.items[place], times=torch.where(round_, mirrored, times))
