"""Turned sequences: which are, that nothing else moves, and that times go along."""

import pytest
import torch

from l2rec.data.turned import turned
from l2rec.types import Histories

SEQUENCES = [[4, 7, 1], [], [9], [2, 2, 5, 8], *[[n, n + 1, n + 2] for n in range(400)]]


def histories() -> Histories:
    lengths = torch.tensor([len(s) for s in SEQUENCES])
    offsets = torch.cat([torch.zeros(1, dtype=torch.long), lengths.cumsum(0)])
    items = torch.tensor([item for s in SEQUENCES for item in s])
    gaps = torch.tensor([10 * (n % 7) + 1 for n in range(len(items))])
    return Histories(items, gaps.cumsum(0), offsets, torch.zeros(len(SEQUENCES), 0))


def sequences(part: Histories) -> list[list[int]]:
    return [part.sequence(n).tolist() for n in range(len(part))]


def test_every_sequence_is_as_it_was_or_turned_and_about_the_share_is() -> None:
    found = sequences(turned(histories(), 0.3, seed=0, epoch=0))
    assert all(new in (old, old[::-1]) for new, old in zip(found, SEQUENCES, strict=True))
    count = sum(new != old for new, old in zip(found, SEQUENCES, strict=True))
    assert count / len(SEQUENCES) == pytest.approx(0.3, abs=0.08)


def test_a_share_of_one_turns_all_and_of_none_gives_the_same_object() -> None:
    whole = histories()
    assert sequences(turned(whole, 1.0, seed=0, epoch=0)) == [s[::-1] for s in SEQUENCES]
    assert turned(whole, 0.0, seed=0, epoch=0) is whole


def test_times_rise_and_each_gap_stays_with_its_events() -> None:
    whole = histories()
    found = turned(whole, 1.0, seed=0, epoch=0)
    for n in range(len(whole)):
        old, new = (part.times[part.offsets[n] : part.offsets[n + 1]] for part in (whole, found))
        assert new.diff().tolist() == old.diff().tolist()[::-1]
        assert sorted((*new.tolist()[:1], *new.tolist()[-1:])) == sorted((*old.tolist()[:1], *old.tolist()[-1:]))


def test_the_choice_is_made_anew_in_every_epoch_and_by_seed_and_otherwise_the_same() -> None:
    whole = histories()
    first = sequences(turned(whole, 0.5, seed=0, epoch=0))
    assert sequences(turned(whole, 0.5, seed=0, epoch=0)) == first
    assert sequences(turned(whole, 0.5, seed=0, epoch=1)) != first
    assert sequences(turned(whole, 0.5, seed=1, epoch=0)) != first
    assert sequences(whole) == SEQUENCES
