"""EASE against ridge regressions solved item by item, by elimination on fractions of plain Python."""

from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import pytest
import torch

from l2rec.config import validated
from l2rec.models.floors.ease import Config, Model
from tests import worlds

N = 12
HISTORIES = [[], [4], [3, 10, 3], [1, 5, 2, 0, 7], [N - 1]]


def solved(matrix: list[list[Fraction]], right: list[Fraction]) -> list[Fraction]:
    """Gauss and Jordan, exactly; the matrix is positive definite, so no pivot is 0."""
    rows = [[*row, value] for row, value in zip(matrix, right, strict=True)]
    for p in range(len(rows)):
        rows[p] = [x / rows[p][p] for x in rows[p]]
        for r in range(len(rows)):
            if r != p:
                rows[r] = [x - rows[r][p] * y for x, y in zip(rows[r], rows[p], strict=True)]
    return [row[-1] for row in rows]


def slow_weights(sequences: Sequence[Sequence[int]], ridge: int) -> list[list[float]]:
    """Each item regressed on all the others: the definition of a diagonal that is held at zero."""
    had = [[int(item in sequence) for item in range(N)] for sequence in sequences]
    weights = [[0.0] * N for _ in range(N)]
    for j in range(N):
        others = [k for k in range(N) if k != j]
        gram = [[Fraction(sum(u[a] * u[b] for u in had) + ridge * (a == b)) for b in others] for a in others]
        column = solved(gram, [Fraction(sum(u[a] * u[j] for u in had)) for a in others])
        for k, weight in zip(others, column, strict=True):
            weights[k][j] = float(weight)
    return weights


def scores_of(sequences: Sequence[Sequence[int]], **given: Any) -> torch.Tensor:
    model = Model(validated(Config, {"prior": 0.0, **given}, "model"), worlds.tiny_items(N))
    model.count(worlds.histories_of(sequences))
    return model.scores(worlds.batch_of(HISTORIES))


@pytest.mark.parametrize("users", [6, 11, 40])
@pytest.mark.parametrize("ridge", [1, 20])
@pytest.mark.parametrize("decay", [1.0, 0.6])
def test_scores_follow_the_definition_with_few_users_and_with_many(users: int, ridge: int, decay: float) -> None:
    sequences = worlds.tiny_sequences(users, N)
    weights = slow_weights(sequences, ridge)
    expected = [
        [sum(decay**age * weights[k][j] for age, k in enumerate(reversed(history))) for j in range(N)]
        for history in HISTORIES
    ]
    scores = scores_of(sequences, ridge=ridge, decay=decay)
    torch.testing.assert_close(scores, torch.tensor(expected), rtol=1e-4, atol=1e-5)


def test_blocks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    for users in (6, 40):
        sequences = worlds.tiny_sequences(users, N)
        whole = scores_of(sequences)
        monkeypatch.setattr("l2rec.models.floors.ease.BLOCK", 5)
        torch.testing.assert_close(scores_of(sequences), whole, rtol=1e-5, atol=1e-7)
        monkeypatch.undo()


def test_only_the_largest_weights_of_an_item_are_kept() -> None:
    sequences = worlds.tiny_sequences(40, N)
    weights = slow_weights(sequences, 5)
    expected = sorted(range(N), key=lambda j: -abs(weights[4][j]))[:3]
    kept = scores_of(sequences, ridge=5, links=3)[1]
    assert sorted(kept.nonzero().ravel().tolist()) == sorted(expected)


def test_counting_nothing_scores_zero() -> None:
    assert (scores_of([[], []]) == 0).all()
