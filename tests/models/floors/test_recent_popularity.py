"""Windowed popularity against windows drawn by hand."""

import math
from collections import Counter
from collections.abc import Sequence
from typing import Any

import pytest
import torch

from l2rec.config import validated
from l2rec.errors import SettingError
from l2rec.models.floors.recent_popularity import Config, Model
from tests import worlds


def scores_of(sequences: Sequence[Sequence[int]], times: Sequence[Sequence[int]], **settings: Any) -> list[float]:
    model = Model(validated(Config, settings, "model"), worlds.tiny_items())
    model.count(worlds.histories_of(sequences, times))
    return model.scores(worlds.batch_of([[]]))[0].tolist()


def slow_by_time(sequences: Sequence[Sequence[int]], times: Sequence[Sequence[int]], share: float) -> Counter[int]:
    """Walks back from the youngest event until the share is reached, and takes the ties of the last one with it."""
    events = sorted((t, i) for s, ts in zip(sequences, times, strict=True) for i, t in zip(s, ts, strict=True))
    wanted = len(events) - int((1 - share) * len(events))
    oldest = events[-wanted][0]
    return Counter(item for time, item in events if time >= oldest)


@pytest.mark.parametrize("share", [0.05, 0.3, 1.0])
@pytest.mark.parametrize("coarseness", [1, 17])
def test_the_window_of_the_data_holds_the_latest_events(share: float, coarseness: int) -> None:
    sequences = worlds.tiny_sequences()
    chance = torch.Generator().manual_seed(2)
    times = [
        (torch.randint(0, 300, (len(s),), generator=chance) // coarseness).sort().values.tolist() for s in sequences
    ]
    scores = scores_of(sequences, times, share=share)
    expected = slow_by_time(sequences, times, share)
    assert [math.floor(score) for score in scores] == [expected[item] for item in range(30)]


def test_the_window_of_a_user_holds_his_last_events() -> None:
    sequences = [[1, 2, 3, 4], [5], [], [6, 7, 1]]
    times = [list(range(len(s))) for s in sequences]
    half = scores_of(sequences, times, share=0.5, clock="user")
    assert [item for item, score in enumerate(half) if score >= 1] == [1, 3, 4, 5, 7]


def test_equal_counts_in_the_window_are_ordered_by_the_events_before() -> None:
    scores = scores_of([[1, 1, 2, 3]], [[0, 0, 0, 9]], share=0.25)
    assert scores[3] > scores[1] > scores[2] > scores[0] == 0.0
    assert scores[3] >= 1 > scores[1]


def test_counting_nothing_scores_zero() -> None:
    for clock in ("data", "user"):
        assert scores_of([[], []], [[], []], clock=clock) == [0.0] * 30


def test_an_unknown_clock_is_refused() -> None:
    with pytest.raises(SettingError, match=r"model\.clock: 'sun': input should be 'data' or 'user'"):
        validated(Config, {"clock": "sun"}, "model")
