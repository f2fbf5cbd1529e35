"""Recent events: the newest of every training sequence, so that the longest sequences do not take most of an epoch."""

import torch

from l2rec.types import Histories


def recent(histories: Histories, count: int | None) -> Histories:
    """Returns the sequences with their newest events alone; None, or a count that no sequence exceeds, changes nothing.

    Args:
        histories: The training part.
        count: Events of a sequence, at most.
    """
    lengths = histories.lengths()
    if count is None or not len(lengths) or int(lengths.max()) <= count:
        return histories
    kept = lengths.clamp(max=count)
    first = (histories.offsets[1:] - kept).repeat_interleave(lengths)
    return histories.where(torch.arange(len(histories.items)) >= first)
