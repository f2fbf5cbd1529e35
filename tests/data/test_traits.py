"""Traits of event sequences equal their slow definitions."""

from collections import Counter
from itertools import pairwise, permutations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from l2rec.data import traits
from tests.worlds import histories_of

SEQUENCES = st.lists(st.lists(st.integers(0, 4), max_size=9), max_size=8)


@given(SEQUENCES)
def test_the_repeat_share_counts_events_that_the_user_had_before(sequences: list[list[int]]) -> None:
    repeated = [item in s[:p] for s in sequences for p, item in enumerate(s)]
    assert traits.repeat_share(histories_of(sequences)) == pytest.approx(np.mean(repeated) if repeated else 0)


@given(SEQUENCES)
def test_ties_are_counted_within_a_user(times: list[list[int]]) -> None:
    histories = histories_of(times, times)
    tied = [t in [*s[:p], *s[p + 1 :]] for s in times for p, t in enumerate(s)]
    ends = [s[-1] == s[-2] for s in times if len(s) > 1]
    assert traits.tied_share(histories) == pytest.approx(np.mean(tied) if tied else 0)
    assert traits.tied_end_share(histories) == pytest.approx(np.mean(ends) if ends else 0)


def guessed(steps: list[tuple[int, int]], number: int) -> float:
    """The slow definition: the chance that the most frequent successor in all other steps is the right one."""
    before, after = steps[number]
    others = Counter(b for n, (a, b) in enumerate(steps) if a == before and n != number)
    best = [item for item, count in others.items() if count == max(others.values())]
    return (after in best) / len(best) if best else 0.0


@given(SEQUENCES)
def test_transitions_equal_a_guess_without_the_step_itself(sequences: list[list[int]]) -> None:
    steps = [step for s in sequences for step in pairwise(s)]
    found = traits.transitions(histories_of(sequences))
    if not steps:
        assert found == traits.Transitions(successors=0, familiar_share=0, guessed_share=0, popular_share=0)
        return
    sources = {a for a, _ in steps}
    assert found.successors == pytest.approx(len(set(steps)) / len(sources))
    assert found.familiar_share == pytest.approx(np.mean([steps.count(step) > 1 for step in steps]))
    assert found.guessed_share == pytest.approx(np.mean([guessed(steps, n) for n in range(len(steps))]))
    assert found.popular_share == pytest.approx(max(Counter(b for _, b in steps).values()) / len(steps))


@given(st.lists(st.lists(st.integers(0, 4), max_size=5), max_size=6))
def test_id_order_is_compared_with_all_orders_of_the_sequence(sequences: list[list[int]]) -> None:
    ids = ("b", "d", "a", "e", "c")
    named = [[ids[i] for i in s] for s in sequences if len(s) >= 3 and len(set(s)) > 1]
    found = traits.id_order(histories_of(sequences), ids)
    assert found.sequences == len(named)
    if named:
        assert found.sorted_share == pytest.approx(np.mean([s == sorted(s) for s in named]))
        chances = [np.mean([list(p) == sorted(p) for p in permutations(s)]) for s in named]
        assert found.sorted_by_chance == pytest.approx(np.mean(chances))
    rises = [ids[b] > ids[a] for s in sequences for a, b in pairwise(s) if a != b]
    assert found.rising_share == pytest.approx(np.mean(rises) if rises else 0)


def test_ids_of_digits_are_also_ordered_as_numbers() -> None:
    histories = histories_of([[0, 1, 2, 3]] * 3)
    assert traits.id_order(histories, ("2", "9", "10", "101")).sorted_share == 1
    assert traits.id_order(histories, ("x2", "x9", "x10", "x101")).sorted_share == 0
    assert traits.id_order(histories, ("1", "10", "101", "2")).sorted_share == 1


@given(st.lists(st.integers(0, 30), min_size=1, max_size=20))
def test_gini_is_the_mean_difference_over_twice_the_mean(counts: list[int]) -> None:
    mean = np.mean(counts)
    expected = np.mean([abs(a - b) for a in counts for b in counts]) / (2 * mean) if mean else 0
    assert traits.gini(np.array(counts)) == pytest.approx(expected)


def test_the_top_share_takes_at_least_one_item() -> None:
    counts = np.array([1, 6, 0, 3])
    assert traits.top_share(counts, 0.01) == 0.6
    assert traits.top_share(counts, 0.5) == 0.9
    assert traits.top_share(0 * counts, 0.5) == 0
