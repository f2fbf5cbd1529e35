"""Intervals, p values and their correction are those of scipy and statsmodels, and mean what they say."""

import math

import numpy as np
import pytest
from scipy import stats

from l2rec.evaluation.significance import holm, interval, paired_p, verdict


def gains(users: int, shift: float = 0.0, seed: int = 0) -> np.ndarray:
    """Differences like NDCG's: mostly nothing."""
    chance = np.random.default_rng(seed)
    moved = chance.random(users) < 0.3
    return moved * (chance.normal(size=users) * 0.4 + shift)


@pytest.mark.parametrize("resamples", [2000, 2500])
def test_the_interval_is_scipys(resamples: int) -> None:
    values = gains(137, 0.1)
    theirs = stats.bootstrap(
        (values,), np.mean, n_resamples=resamples, method="percentile", rng=np.random.default_rng(5)
    ).confidence_interval
    low, high = interval(values[:, None], seed=5, resamples=resamples)
    assert low[0] == pytest.approx(theirs.low, abs=1e-12)
    assert high[0] == pytest.approx(theirs.high, abs=1e-12)


def test_the_draws_are_the_same_however_many_fit_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.stack([gains(50, 0.1), gains(50, 0.2, 1)], axis=1)
    whole = interval(values)
    monkeypatch.setattr("l2rec.evaluation.significance._AT_ONCE", 700)
    parts = interval(values)
    assert np.allclose(whole, parts, atol=1e-12)


def test_a_column_has_the_interval_that_it_has_alone() -> None:
    values = np.stack([gains(50, 0.1), gains(50, 0.2, 1)], axis=1)
    low, high = interval(values)
    assert interval(values[:, 1:])[0][0] == pytest.approx(low[1], abs=1e-12)
    assert low[1] < values[:, 1].mean() < high[1]


def test_the_interval_of_no_user_is_no_number() -> None:
    low, high = interval(np.zeros((0, 2)))
    assert np.isnan(low).all()
    assert np.isnan(high).all()


def test_the_interval_holds_the_truth_as_often_as_it_says() -> None:
    held = 0
    for seed in range(200):
        low, high = interval(np.random.default_rng(seed).normal(0.3, 1, 60)[:, None], seed=seed, resamples=400)
        held += low[0] <= 0.3 <= high[0]
    assert 0.88 <= held / 200 <= 0.99


def scipys_p(differences: np.ndarray, resamples: float) -> float:
    zero = np.zeros_like(differences)
    found = stats.permutation_test(
        (differences, zero),
        lambda a, b, axis: np.mean(a - b, axis=axis),
        permutation_type="samples",
        n_resamples=resamples,
        vectorized=True,
        rng=np.random.default_rng(0),
    )
    return float(found.pvalue)


@pytest.mark.parametrize("seed", range(5))
def test_the_p_value_of_few_users_is_scipys_exact_one(seed: int) -> None:
    differences = np.random.default_rng(seed).normal(0.4, 1, 11)
    assert paired_p(differences) == pytest.approx(scipys_p(differences, math.inf), abs=1e-12)


def test_the_p_value_of_many_users_is_scipys_within_chance() -> None:
    differences = gains(150, 0.12)
    theirs = scipys_p(differences, 20_000)
    assert 0.01 < theirs < 0.5
    assert paired_p(differences, permutations=20_000) == pytest.approx(theirs, abs=0.015)


def test_users_on_whom_the_models_agree_change_no_p_value() -> None:
    differences = gains(60, 0.3)
    assert paired_p(np.append(differences, np.zeros(1000))) == paired_p(differences[differences != 0])


def test_equal_models_have_p_one_and_a_clear_difference_the_smallest_p() -> None:
    assert paired_p(np.zeros(10)) == 1.0
    assert paired_p(np.ones(500), permutations=999) == 1 / 1000


def test_under_no_difference_p_is_below_a_tenth_a_tenth_of_the_time() -> None:
    below = sum(paired_p(np.random.default_rng(s).normal(size=40), permutations=500) < 0.1 for s in range(300))
    assert 0.05 < below / 300 < 0.16


@pytest.mark.parametrize("p_values", [[0.01], [0.04, 0.01, 0.03], [0.5, 0.9, 0.001, 0.001, 0.2], [0.3] * 4])
def test_holm_is_statsmodels(p_values: list[float]) -> None:
    from statsmodels.stats.multitest import multipletests

    assert holm(p_values) == pytest.approx(list(multipletests(p_values, method="holm")[1]))


def test_nothing_to_adjust_is_nothing() -> None:
    assert holm([]) == []


@pytest.mark.parametrize(
    ("low", "high", "p", "said"),
    [
        (0.01, 0.02, 0.001, "better"),
        (-0.02, -0.01, 0.001, "worse"),
        (-0.01, 0.02, 0.001, "not shown"),
        (0.0, 0.02, 0.001, "not shown"),
        (0.01, 0.02, 0.05, "not shown"),
        (math.nan, math.nan, 0.001, "not shown"),
    ],
)
def test_better_is_said_only_where_interval_and_corrected_p_allow(low: float, high: float, p: float, said: str) -> None:
    assert verdict(low, high, p) == said
