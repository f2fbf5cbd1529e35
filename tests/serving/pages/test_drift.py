"""Drift against worlds where it is known: none, more of the head, less of it, and other items as popular."""

import numpy as np
import pytest

from l2rec.serving.pages.drift import FEWEST, divergence, drift

COUNTS = np.round(3000 / np.arange(1, 401)).astype(np.int64)
CHANCE = np.random.default_rng(5)


def drawn(weights: np.ndarray, many: int = 800) -> list[int]:
    return [int(n) for n in CHANCE.choice(len(weights), many, p=weights / weights.sum())]


def test_the_divergence_is_its_definition() -> None:
    one, two = np.array([0.5, 0.5, 0.0]), np.array([0.25, 0.25, 0.5])
    middle = (one + two) / 2
    entropy = [-(p[p > 0] * np.log2(p[p > 0])).sum() for p in (middle, one, two)]
    assert divergence(one, two) == pytest.approx(entropy[0] - (entropy[1] + entropy[2]) / 2)
    assert divergence(one, one) == 0
    assert divergence(np.array([1.0, 0.0]), np.array([0.0, 1.0])) == 1


@pytest.mark.parametrize(
    ("weights", "words"),
    [
        (COUNTS, "No drift beyond chance."),
        (COUNTS**2, "more often"),
        (np.sqrt(COUNTS), "less often"),
        (np.concatenate((COUNTS[39::-1], COUNTS[40:])), "other items"),
    ],
)
def test_drift_is_said_as_it_is(weights: np.ndarray, words: str) -> None:
    found = drift(drawn(weights.astype(np.float64)), COUNTS)
    assert found is not None
    assert words in found.told
    assert found.top == 40


def test_few_events_say_nothing() -> None:
    assert drift([0] * (FEWEST - 1), COUNTS) is None
    assert drift([0] * FEWEST, np.zeros(4, dtype=np.int64)) is None
