"""A prefix knows whose beginning it is, how large it is, and lies beside others without touching them."""

from dataclasses import replace

import pytest
import torch

from l2rec.nn.prefix import Past, Prefix, empty, kept
from l2rec.nn.router import Layout
from l2rec.nn.views import Rows, causal

HEADS, HEAD, WIDTH = 2, 3, 5


def prefix(items: tuple[int, ...], view: list[int], blocks: int = 2) -> Prefix:
    """Random keys and values at the positions of `view`."""
    chance = torch.Generator().manual_seed(sum(items))
    states = [torch.randn(HEADS, len(view), HEAD, generator=chance) for _ in range(2 * blocks)]
    width = torch.randn(2, WIDTH, generator=chance)
    return Prefix(
        items, torch.zeros(1), tuple(states[:blocks]), tuple(states[blocks:]), torch.tensor(view), width[0], width[1]
    )


def rows(lengths: tuple[int, int], users: int) -> Rows:
    """New positions of both views, all of them there; the last user's last of each view is padding."""
    size = sum(lengths)
    mask = torch.ones(users, size, dtype=torch.bool)
    mask[-1, lengths[0] - 1] = mask[-1, -1] = False
    places = torch.cat([torch.arange(length) for length in lengths]).expand(users, -1)
    vectors = torch.zeros(users, size, WIDTH)
    return Rows(vectors, mask, causal(mask), places, vectors, Layout(*lengths), None)


@pytest.mark.parametrize(
    ("history", "attribute", "begins"),
    [
        ([4, 9], 0.0, True),
        ([4, 9, 1], 0.0, True),
        ([4], 0.0, False),
        ([], 0.0, False),
        ([9, 4], 0.0, False),
        ([1, 4, 9], 0.0, False),
        ([4, 8, 9], 0.0, False),
        ([4, 9, 1], 1.0, False),
    ],
)
def test_a_prefix_begins_the_same_history_of_the_same_user_and_no_other(
    history: list[int], attribute: float, begins: bool
) -> None:
    assert prefix((4, 9), [0, 0, 1, 1]).begins(history, torch.tensor([attribute])) is begins


def test_its_size_is_that_of_its_tensors() -> None:
    states, numbers = 4 * HEADS * 3 * HEAD * 4, 3 * 8
    made = prefix((4,), [0, 0, 1])
    assert made.size == states + numbers + 4 * (1 + WIDTH + WIDTH)
    half = replace(made, keys=tuple(k.half() for k in made.keys), values=tuple(v.half() for v in made.values))
    assert half.size == made.size - states // 2


def test_side_by_side_each_is_seen_by_its_own_view_and_padding_by_nobody() -> None:
    past = Past([prefix((4, 9), [0, 0, 1, 0, 1]), prefix((7,), [0, 1])])
    behind = past.before(rows((2, 2), 2))
    assert past.counts.tolist() == [2, 1]
    expected = {0: [[1, 1, 0, 1, 0], [1, 0, 0, 0, 0]], 1: [[0, 0, 1, 0, 1], [0, 1, 0, 0, 0]]}
    for query, view in enumerate((0, 0, 1, 1)):
        assert behind.visible[:, query, :5].int().tolist() == expected[view]
    assert torch.equal(behind.visible[:, :, 5:], rows((2, 2), 2).visible)
    assert behind.positions.tolist() == [[3, 4, 2, 3], [1, 2, 1, 2]]


def test_what_is_kept_of_each_is_its_own_positions_in_order() -> None:
    both = [prefix((4, 9), [0, 0, 1, 0, 1]), prefix((7,), [0, 1])]
    new, read = rows((2, 1), 2), torch.randn(2, 2, 2, HEADS, 3, HEAD)
    past = Past(both)
    for block in range(2):
        past.cache.update(read[block, 0], read[block, 1], block)
    found = kept(past.cache, past, past.before(new), 2)
    assert found is not None
    assert [own.view.tolist() for own in found] == [[0, 0, 1, 0, 1, 0, 0, 1], [0, 1, 0]]
    for row, own in enumerate(found):
        for block in range(2):
            for side, (states, before) in enumerate(
                ((own.keys, both[row].keys), (own.values, both[row].values)),
            ):
                fresh = read[block, side, row][:, new.mask[row]]
                assert torch.equal(states[block], torch.cat([before[block], fresh], 1))


def grown(own: Prefix, views: tuple[int, int], items: int) -> tuple[Prefix, torch.Tensor]:
    """The prefix after a call that read positions of both views, and the keys of its first block; one is missing."""
    read = torch.randn(2, 2, 1, HEADS, sum(views), HEAD)
    new = rows(views, 1)
    there = torch.ones_like(new.mask)
    there[0, views[0] - 1] = False
    new = replace(new, mask=there)
    past = Past([own])
    for block in range(2):
        past.cache.update(read[block, 0], read[block, 1], block)
    [found] = kept(past.cache, past, past.before(new), 2) or []
    more = (*own.items, items)
    longer = replace(own, items=more, keys=found.keys, values=found.values, view=found.view, ground=found.ground)
    return longer, read[0, 0, 0][:, there[0]]


def test_what_grows_is_written_behind_what_was_there_and_copied_only_when_its_room_is_full() -> None:
    own = prefix((4, 9), [0] * 30 + [1] * 10)
    places, sizes, keys = set(), [], own.keys[0]
    for item in range(6):
        own, read = grown(own, (2, 1), item)
        keys = torch.cat([keys, read], 1)
        assert torch.equal(own.keys[0], keys)
        assert own.view[-2:].tolist() == [0, 1]
        places.add(own.keys[0].data_ptr())
        sizes.append(own.size)
    assert len(places) == 2
    room = 4 * HEADS * HEAD * 4
    assert sizes[0] == room * (42 + 42 // 8) + 8 * 42 + 4 * (1 + 2 * WIDTH)
    assert sizes[1] - sizes[0] == 8 * 2


def test_two_that_grow_from_one_do_not_write_over_each_other() -> None:
    begun, _ = grown(prefix((4,), [0] * 40), (2, 1), 5)
    before = begun.keys[0].clone()
    (one, of_one), (other, of_other) = grown(begun, (2, 1), 6), grown(begun, (2, 1), 7)
    assert torch.equal(begun.keys[0], before)
    assert torch.equal(one.keys[0], torch.cat([before, of_one], 1))
    assert torch.equal(other.keys[0], torch.cat([before, of_other], 1))


@pytest.mark.parametrize(("blocks", "length"), [(3, 3), (2, 2), (2, 4)])
def test_nothing_is_kept_where_a_block_kept_nothing_or_not_every_position(blocks: int, length: int) -> None:
    cache = empty()
    for block in range(2):
        cache.update(torch.zeros(1, HEADS, length, HEAD), torch.zeros(1, HEADS, length, HEAD), block)
    assert kept(cache, None, rows((2, 1), 1), blocks) is None
