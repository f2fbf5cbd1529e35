"""The nouns: sequences end to end, and batches that move whole."""

from dataclasses import fields

import torch

from l2rec.types import Histories
from tests.worlds import batch_of, histories_of, tiny_cases, training_batch_of


def test_sequences_are_found_between_their_offsets() -> None:
    histories = histories_of([[3, 1], [], [2]])
    assert len(histories) == 3
    assert histories.lengths().tolist() == [2, 0, 1]
    assert [histories.sequence(u).tolist() for u in range(3)] == [[3, 1], [], [2]]


def test_no_sequence_is_a_history_too() -> None:
    none = torch.zeros(0, dtype=torch.long)
    assert len(Histories(none, none, torch.zeros(1, dtype=torch.long), torch.zeros(0, 0))) == 0


def test_cases_are_as_many_as_their_targets() -> None:
    cases = tiny_cases(users=7)
    assert len(cases) == len(cases.histories) == len(cases.targets) == 7


def test_a_batch_counts_its_events() -> None:
    batch = batch_of([[1, 2], [], [3]])
    assert len(batch) == 3
    assert batch.lengths().tolist() == [2, 0, 1]


def test_a_batch_moves_whole() -> None:
    for batch in (training_batch_of([[1, 2, 3]]), batch_of([[1, 2, 3]])):
        assert (batch.users is None) == (batch.targets is None)
        moved = batch.to(torch.device("meta"))
        for field in fields(batch):
            before, after = vars(batch)[field.name], vars(moved)[field.name]
            assert (after is None) == (before is None), field.name
            assert before is None or (after.device.type == "meta" and after.shape == before.shape), field.name
