"""Batches: every event is asked once, never too early, padding says nothing, and chance is only seed and epoch."""

from collections import Counter
from collections.abc import Sequence

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from l2rec.data.batches import TrainingBatches, case_batches
from l2rec.errors import SettingError
from l2rec.types import Batch, Histories
from tests.worlds import histories_of, tiny_histories

ITEMS = 7
ONES = torch.ones(ITEMS, dtype=torch.long)
SEQUENCES = st.lists(st.lists(st.integers(0, ITEMS - 1), max_size=25), max_size=12)


def stamped(sequences: Sequence[Sequence[int]]) -> Histories:
    """Histories whose timestamp tells sequence and place, so that a batch's cells can be traced back."""
    times = [[1000 * u + p for p in range(len(s))] for u, s in enumerate(sequences)]
    return histories_of(sequences, times, attributes=3)


def asked(batch: Batch, sequences: Sequence[Sequence[int]]) -> list[int]:
    """The slow definition: the stamps of all targets, after checking every cell against its sequence."""
    assert batch.targets is not None
    assert batch.target_mask is not None
    stamps = []
    for row in range(len(batch)):
        length = int(batch.mask[row].sum())
        assert batch.mask[row].tolist() == [c < length for c in range(batch.mask.shape[1])]
        for column in range(length):
            user, place = divmod(int(batch.times[row, column]), 1000)
            assert int(batch.items[row, column]) == sequences[user][place]
            assert column == 0 or int(batch.times[row, column - 1]) == 1000 * user + place - 1
            if batch.target_mask[row, column]:
                assert int(batch.targets[row, column]) == sequences[user][place + 1]
                stamps.append(1000 * user + place + 1)
        assert not batch.target_mask[row, length:].any()
    return stamps


@given(SEQUENCES, st.integers(1, 9), st.integers(1, 5), st.integers(0, 3), st.sampled_from([None, 1, 12, 40]))
@settings(max_examples=150)
def test_every_event_with_a_predecessor_is_asked_exactly_once(
    sequences: list[list[int]], length: int, batch_size: int, epoch: int, max_tokens: int | None
) -> None:
    batches = TrainingBatches(
        stamped(sequences),
        length=length,
        batch_size=batch_size,
        token_counts=ONES,
        seed=1,
        epoch=epoch,
        max_tokens=max_tokens,
    )
    seen = Counter(stamp for batch in batches for stamp in asked(batch, sequences))
    assert seen == Counter(1000 * u + p for u, s in enumerate(sequences) for p in range(1, len(s)))
    for batch in batches:
        assert len(batch) <= batch_size
        assert int(batch.lengths().max()) == batch.items.shape[1] <= length
        assert batch.target_mask is not None
        assert batch.target_mask.any(1).all()
        assert max_tokens is None or len(batch) == 1 or batch.items.numel() <= max_tokens


@given(SEQUENCES, st.integers(1, 9), st.integers(1, 5), st.sampled_from([None, 1, 12]))
@settings(max_examples=100)
def test_every_case_is_read_once_by_its_last_events(
    sequences: list[list[int]], length: int, batch_size: int, max_tokens: int | None
) -> None:
    histories = stamped(sequences)
    seen = []
    for rows, batch in case_batches(
        histories, length=length, batch_size=batch_size, token_counts=ONES, max_tokens=max_tokens
    ):
        assert len(rows) == len(batch) <= batch_size
        assert batch.items.shape[1] >= 1
        assert batch.targets is None
        assert torch.equal(batch.attributes, histories.attributes[rows])
        for row, items, times, mask in zip(rows.tolist(), batch.items, batch.times, batch.mask, strict=True):
            assert items[mask].tolist() == sequences[row][-length:]
            assert times[mask].tolist() == [1000 * row + p for p in range(len(sequences[row]))][-length:]
            assert mask.tolist() == sorted(mask.tolist(), reverse=True)
        seen += rows.tolist()
    assert sorted(seen) == list(range(len(sequences)))


def test_a_window_carries_the_attributes_of_its_user() -> None:
    histories = stamped([[1, 2], [], [3, 4, 5], [6]])
    for batch in TrainingBatches(histories, length=2, batch_size=2, token_counts=ONES, seed=0, epoch=0):
        users = batch.times[:, 0] // 1000
        assert torch.equal(batch.attributes, histories.attributes[users])


def test_every_window_says_whose_it_is() -> None:
    histories = stamped([[1, 2], [], [p % ITEMS for p in range(24)], [3, 4, 5], [6]])
    seen = []
    for batch in TrainingBatches(histories, length=5, batch_size=3, token_counts=ONES, seed=0, epoch=0):
        assert batch.users is not None
        assert torch.equal(batch.users, batch.times[:, 0] // 1000)
        seen += batch.users.tolist()
    assert set(seen) == {0, 2, 3}
    assert seen.count(2) >= 5


def test_cells_of_padding_never_show_an_event() -> None:
    histories = tiny_histories(users=80, longest=20)
    counts = torch.ones(30, dtype=torch.long)
    training = TrainingBatches(histories, length=10, batch_size=16, token_counts=counts, seed=0, epoch=0)
    cases = [batch for _, batch in case_batches(histories, length=10, batch_size=16, token_counts=counts)]
    for batches in (list(training), cases):
        assert any((~batch.mask).any() for batch in batches)
        for batch in batches:
            cells = [batch.items, batch.times, *([] if batch.targets is None else [batch.targets])]
            assert all((part[~batch.mask] == 0).all() for part in cells)


def test_the_last_window_of_a_long_sequence_is_filled_with_earlier_events() -> None:
    long = [i % ITEMS for i in range(24)]
    for epoch in range(20):
        batches = TrainingBatches(stamped([long]), length=10, batch_size=1, token_counts=ONES, seed=0, epoch=epoch)
        last = next(b for b in batches if int(b.times.max()) == 22)
        assert last.items.shape[1] == 10


def test_a_long_sequence_is_cut_elsewhere_in_another_epoch() -> None:
    long = [i % ITEMS for i in range(24)]
    cuts = set()
    for epoch in range(20):
        batches = TrainingBatches(stamped([long]), length=10, batch_size=1, token_counts=ONES, seed=0, epoch=epoch)
        cuts.add(min(int(b.times.max()) for b in batches))
    assert len(cuts) > 5


def _epoch(seed: int, epoch: int) -> list[list[list[int]]]:
    histories = tiny_histories(users=60, longest=20)
    counts = torch.arange(30) % 4 + 1
    batches = TrainingBatches(histories, length=6, batch_size=4, token_counts=counts, seed=seed, epoch=epoch)
    return [batch.items.tolist() for batch in batches]


def test_an_epoch_is_a_function_of_seed_and_epoch() -> None:
    torch.manual_seed(1)
    first = _epoch(seed=3, epoch=2)
    torch.manual_seed(2)
    np.random.default_rng(5).random()
    assert _epoch(seed=3, epoch=2) == first
    assert _epoch(seed=3, epoch=1) != first
    assert _epoch(seed=2, epoch=2) != first


def test_a_batch_is_the_same_when_asked_for_alone() -> None:
    histories = tiny_histories(users=60, longest=20)
    chosen = {"length": 6, "batch_size": 4, "seed": 0, "epoch": 5}
    counts = torch.ones(30, dtype=torch.long)
    through = list(TrainingBatches(histories, token_counts=counts, **chosen))
    for number in (len(through) - 1, 3, -1):
        alone = TrainingBatches(histories, token_counts=counts, **chosen)[number]
        assert torch.equal(alone.items, through[number].items)
        assert torch.equal(alone.mask, through[number].mask)
    rest = TrainingBatches(histories, token_counts=counts, **chosen)[7:]
    assert [b.items.tolist() for b in rest] == [b.items.tolist() for b in through[7:]]


def test_a_number_behind_the_last_batch_is_refused() -> None:
    batches = TrainingBatches(stamped([[1, 2]]), length=6, batch_size=4, token_counts=ONES, seed=0, epoch=0)
    with pytest.raises(IndexError):
        batches[1]


@pytest.mark.parametrize("sequences", [[], [[]], [[1], [], [2]]])
def test_no_target_gives_no_batch(sequences: list[list[int]]) -> None:
    batches = TrainingBatches(stamped(sequences), length=6, batch_size=4, token_counts=ONES, seed=0, epoch=0)
    assert list(batches) == []
    assert batches.padding_share() == 0


def test_only_empty_histories_give_rows_without_a_true() -> None:
    [(rows, batch)] = case_batches(stamped([[], []]), length=5, batch_size=4, token_counts=ONES)
    assert rows.tolist() == [0, 1]
    assert batch.mask.tolist() == [[False], [False]]


def skewed(users: int) -> tuple[Histories, torch.Tensor]:
    """Lengths with a heavy tail and texts of one to forty tokens, as shops have them."""
    chance = np.random.default_rng(0)
    lengths = np.minimum(chance.pareto(1.3, users) * 5 + 3, 400).astype(int)
    offsets = torch.from_numpy(np.append(0, np.cumsum(lengths)))
    events = int(offsets[-1])
    numbers = torch.from_numpy(chance.integers(0, 500, events))
    counts = torch.from_numpy(np.clip(chance.lognormal(2.3, 0.6, 500), 1, 40).astype(int))
    return Histories(numbers, torch.arange(events), offsets, torch.zeros(users, 0)), counts


def _padding(batches: Sequence[Batch], counts: torch.Tensor) -> float:
    """The slow definition: the room of every batch is its rows times its longest row, in tokens."""
    rows = [[int(counts[i[m]].sum()) for i, m in zip(b.items, b.mask, strict=True)] for b in batches]
    return 1 - sum(map(sum, rows)) / sum(len(r) * max(r) for r in rows)


@pytest.mark.parametrize("max_tokens", [None, 4096])
@pytest.mark.parametrize("batch_size", [16, 128])
def test_less_than_15_percent_of_the_tokens_are_padding(batch_size: int, max_tokens: int | None) -> None:
    histories, counts = skewed(4000)
    batches = TrainingBatches(
        histories, length=50, batch_size=batch_size, token_counts=counts, seed=0, epoch=0, max_tokens=max_tokens
    )
    share = batches.padding_share()
    assert share < 0.15
    assert share == pytest.approx(_padding(batches, counts), abs=1e-12)


def test_large_batches_of_few_sequences_are_split_where_they_waste_most() -> None:
    lengths = [5] * 300 + [6] * 120 + [10] * 40 + [20] * 20 + [50] * 8
    histories = histories_of([[p % 7 for p in range(n)] for n in lengths])
    batches = TrainingBatches(histories, length=50, batch_size=512, token_counts=ONES, seed=0, epoch=0)
    assert batches.padding_share() < 0.15
    assert len(batches) == 4
    assert min(len(b) for b in batches) == 8


def test_texts_of_every_length_leave_little_padding() -> None:
    counts = torch.from_numpy((10 ** np.random.default_rng(0).uniform(0, 9, 2048)).astype(int))
    histories = histories_of([[n, n] for n in range(2048)])
    batches = TrainingBatches(histories, length=50, batch_size=16, token_counts=counts, seed=0, epoch=0)
    assert 0.11 < batches.padding_share() <= 0.12
    assert 2048 // 16 < len(batches) < 180


def test_a_budget_of_tokens_is_kept_and_nearly_used_up() -> None:
    histories, counts = skewed(4000)
    batches = TrainingBatches(
        histories, length=50, batch_size=24, token_counts=counts, seed=0, epoch=0, max_tokens=2048
    )
    rows = [[int(counts[i[m]].sum()) for i, m in zip(b.items, b.mask, strict=True)] for b in batches]
    assert all(len(r) * max(r) <= 2048 for r in rows)
    nearly_full = sum(len(r) == 24 or (len(r) + 1) * (max(r) + 100) > 2048 for r in rows)
    assert nearly_full > 0.97 * len(rows)


def test_items_without_tokens_are_no_padding() -> None:
    batches = TrainingBatches(stamped([[1, 2]]), length=3, batch_size=4, token_counts=0 * ONES, seed=0, epoch=0)
    assert batches.padding_share() == 0


def test_a_sequence_that_just_fits_is_one_window() -> None:
    for epoch in range(10):
        batches = TrainingBatches(
            stamped([[1, 2, 3, 4, 5]]), length=4, batch_size=1, token_counts=ONES, seed=0, epoch=epoch
        )
        assert len(batches) == 1


def test_batches_do_not_come_in_order_of_size() -> None:
    histories, counts = skewed(4000)
    batches = TrainingBatches(histories, length=50, batch_size=32, token_counts=counts, seed=0, epoch=0)
    sizes = np.array([int(b.mask.sum()) for b in batches])
    assert abs(float(np.corrcoef(np.arange(len(sizes)), sizes)[0, 1])) < 0.2
    assert abs(float(np.corrcoef(sizes[:-1], sizes[1:])[0, 1])) < 0.3


def test_cases_come_with_the_longest_first() -> None:
    histories, counts = skewed(500)
    totals = [
        int(max(counts[i[m]].sum() for i, m in zip(b.items, b.mask, strict=True)))
        for _, b in case_batches(histories, length=50, batch_size=32, token_counts=counts)
    ]
    assert totals == sorted(totals, reverse=True)


@pytest.mark.parametrize("wrong", [{"length": 0}, {"batch_size": -1}, {"max_tokens": 0}])
def test_sizes_below_one_are_refused(wrong: dict[str, int]) -> None:
    name, value = next(iter(wrong.items()))
    chosen = {"length": 5, "batch_size": 4} | wrong
    complaint = rf"batches: {name} {value}: below 1\. Set it to 1 or more"
    with pytest.raises(SettingError, match=complaint):
        TrainingBatches(stamped([[1, 2]]), token_counts=ONES, seed=0, epoch=0, **chosen)
    with pytest.raises(SettingError, match=complaint):
        next(case_batches(stamped([[1, 2]]), token_counts=ONES, **chosen))
