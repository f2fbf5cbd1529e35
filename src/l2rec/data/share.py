"""What a run may learn from: a share of the users, and their events without the last, as if the rest were not there."""

from dataclasses import replace

import numpy as np
import torch
from jaxtyping import Bool
from torch import Tensor

from l2rec.config import TrainingSettings
from l2rec.data.prepared import Prepared
from l2rec.errors import SettingError

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
    return _with(prepared, chosen.repeat_interleave(lengths))


def held_back(prepared: Prepared, count: int | None) -> Prepared:
    """Returns the data with the training sequences cut short: without the last events of each; None is `prepared`.

    A validation case then has a history whose end no model has learnt from, as the history of a test case does and
    that of a user who is being served; so it is where the last event of each user is asked for and `count` is 1.
    Otherwise its history is a training sequence, which flatters what learns by heart (docs/training.md). Catalogue,
    ids, attributes and cases stay whole.

    Args:
        prepared: The data.
        count: Last events of each sequence that are left out; all of one that has no more.

    Raises:
        SettingError: no event would be left.
    """
    if count is None:
        return prepared
    train, lengths = prepared.train, prepared.train.lengths()
    longest = int(lengths.max()) if len(lengths) else 0
    if count >= longest:
        raise SettingError(
            f"training.held_back: {count}: leaves no event, the longest training sequence has {longest}. "
            "Hold fewer back; 1 is what a test case meets."
        )
    end = (train.offsets[1:] - count).repeat_interleave(lengths)
    return _with(prepared, torch.arange(len(train.items)) < end)


def learnt_part(prepared: Prepared, settings: TrainingSettings, seed: int) -> Prepared:
    """Returns the data as a run with these settings may see them: `shared` users, without what is `held_back`.

    Args:
        prepared: The data.
        settings: The run's.
        seed: The run's.
    """
    return held_back(shared(prepared, settings.share, seed), settings.held_back)


def _with(prepared: Prepared, kept: Bool[Tensor, " E"]) -> Prepared:
    """The data with some of the training events alone, counted anew."""
    part = prepared.train.where(kept)
    counts = torch.bincount(part.items, minlength=len(prepared.items)).to(prepared.items.counts.dtype)
    return replace(prepared, train=part, items=replace(prepared.items, counts=counts))
