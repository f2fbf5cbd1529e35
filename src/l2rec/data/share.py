"""A share of the training part: some users' sequences, chosen by a seed, as if the others had never been there."""

from dataclasses import replace

import numpy as np
import torch

from l2rec.data.prepared import Prepared
from l2rec.types import Histories

_STREAM = 20_011
"""Keeps the choice of users apart from every other use of the seed."""


def shared(prepared: Prepared, share: float, seed: int) -> Prepared:
    """Returns the data with the training sequences of a share of its users; the other users' are empty.

    Sequences and item counts are those of the chosen users alone. Catalogue, ids, attributes and the cases of an
    evaluation stay whole. With one seed, a smaller share is a part of a larger one, and a share of 1 is `prepared`.

    Args:
        prepared: The data.
        share: Of the users with a training event, above 0 and up to 1; one user at least.
        seed: Of the choice.
    """
    if share == 1:
        return prepared
    train, lengths = prepared.train, prepared.train.lengths()
    known = lengths.nonzero().flatten()
    order = torch.from_numpy(np.random.default_rng([_STREAM, seed]).permutation(len(known)))
    chosen = torch.zeros(len(train), dtype=torch.bool)
    chosen[known[order[: max(1, round(share * len(known)))]]] = True
    kept = chosen.repeat_interleave(lengths)
    offsets = torch.cat([train.offsets[:1], (lengths * chosen).cumsum(0)])
    part = Histories(train.items[kept], train.times[kept], offsets, train.attributes)
    counts = torch.bincount(part.items, minlength=len(prepared.items)).to(prepared.items.counts.dtype)
    return replace(prepared, train=part, items=replace(prepared.items, counts=counts))
