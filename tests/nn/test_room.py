"""Tables that grow: what is written is there, what stood there stays, and few rows move."""

import pytest
import torch

from l2rec.nn.room import Room


@pytest.mark.parametrize("width", [(), (3,), (2, 2)])
def test_a_table_that_grows_row_by_row_is_the_rows_end_to_end(width: tuple[int, ...]) -> None:
    rows = torch.randn(300, *width)
    room, table = Room(), rows[:5].clone()
    for n in range(5, 300):
        table = room.put("a", table, torch.tensor([n]), rows[n : n + 1])
        assert torch.equal(table, rows[: n + 1])


def test_known_rows_are_written_anew_and_the_caller_keeps_a_table_that_moved() -> None:
    room, first = Room(), torch.zeros(4, 2)
    second = room.put("a", first, torch.tensor([1, 4]), torch.ones(2, 2))
    assert second.sum(1).tolist() == [0, 2, 0, 0, 2]
    assert first.sum() == 0
    third = room.put("a", second, torch.tensor([0]), torch.ones(1, 2))
    assert third.data_ptr() == second.data_ptr()
    assert third.sum(1).tolist() == [2, 2, 0, 0, 2]


def test_few_appended_rows_move_the_table() -> None:
    room, table, places = Room(), torch.zeros(1000, 2), set()
    for n in range(1000, 1400):
        table = room.put("a", table, torch.tensor([n]), torch.ones(1, 2))
        places.add(table.data_ptr())
    assert len(places) <= 3


def test_tables_of_one_room_do_not_mix_and_one_that_was_moved_by_others_is_followed() -> None:
    room = Room()
    one = room.put("a", torch.zeros(2), torch.tensor([2]), torch.ones(1))
    two = room.put("b", torch.zeros(2, dtype=torch.long), torch.tensor([2]), torch.full((1,), 7.0))
    assert (one.tolist(), two.tolist()) == ([0, 0, 1], [0, 0, 7])
    elsewhere = one.clone().fill_(5.0)
    assert room.put("a", elsewhere, torch.tensor([3]), torch.ones(1)).tolist() == [5, 5, 5, 1]
