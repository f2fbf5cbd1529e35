"""The dense all-action loss against its formula, written with loops over positions, targets and items."""

import math

import pytest
import torch
from torch import Tensor

from l2rec.nn.dense import dense_sampled, dense_softmax, shares
from l2rec.nn.losses import draw

ASKED = torch.tensor([[True, True, True, True], [False, True, True, False], [False, False, False, False]])
TARGETS = torch.tensor([[3, 1, 3, 0], [2, 4, 5, 1], [0, 0, 0, 0]])


def world() -> tuple[Tensor, Tensor]:
    return torch.randn(3, 4, 5).requires_grad_(), torch.randn(7, 5).requires_grad_()


def slow_shares(horizon: int, decay: float) -> list[list[dict[int, float]]]:
    found = []
    for row in ASKED.tolist():
        each = []
        for i in range(4):
            weights = {j: decay ** (j - i) for j in range(i, min(i + horizon, 4)) if row[i] and row[j]}
            each.append({j: w / sum(weights.values()) for j, w in weights.items()})
        found.append(each)
    return found


@pytest.mark.parametrize(("horizon", "decay"), [(1, 1.0), (2, 1.0), (9, 0.5)])
def test_a_position_is_asked_for_its_next_targets_and_its_parts_add_up_to_one(horizon: int, decay: float) -> None:
    found = shares(ASKED, horizon, decay)
    for row, each in enumerate(slow_shares(horizon, decay)):
        for i, parts in enumerate(each):
            assert found[row, i].tolist() == pytest.approx([parts.get(j, 0.0) for j in range(4)])


@torch.no_grad()
def slow_full(queries: Tensor, items: Tensor, horizon: int, decay: float, smoothing: float) -> float:
    found = []
    for row, each in enumerate(slow_shares(horizon, decay)):
        for i, parts in enumerate(each):
            if not parts:
                continue
            scores = [float(queries[row, i] @ item) for item in items]
            logs = [score - math.log(sum(math.exp(s) for s in scores)) for score in scores]
            hit = sum(share * logs[TARGETS[row, j]] for j, share in parts.items())
            found.append(-(1 - smoothing) * hit - smoothing * sum(logs) / len(logs))
    return sum(found) / len(found)


@pytest.mark.parametrize(("horizon", "decay", "smoothing"), [(1, 1.0, 0.0), (3, 1.0, 0.0), (9, 0.5, 0.3)])
def test_over_the_whole_catalogue_it_is_its_formula(horizon: int, decay: float, smoothing: float) -> None:
    queries, items = world()
    found = dense_softmax(queries, items, TARGETS, shares(ASKED, horizon, decay), smoothing=smoothing)
    assert found.item() == pytest.approx(slow_full(queries, items, horizon, decay, smoothing), rel=1e-4)
    found.backward()
    assert queries.grad is not None
    assert (queries.grad.abs().sum(2) > 0).tolist() == ASKED.tolist()


@torch.no_grad()
def slow_sampled(queries: Tensor, items: Tensor, drawn: tuple[Tensor, Tensor], horizon: int) -> float:
    found = []
    for row, each in enumerate(slow_shares(horizon, 0.5)):
        for i, parts in enumerate(each):
            own = {int(TARGETS[row, j]) for j in parts}
            missed = [
                float(queries[row, i] @ items[n]) - q
                for n, q in zip(drawn[0].tolist(), drawn[1].tolist(), strict=True)
                if n not in own
            ]
            total = 0.0
            for j, share in parts.items():
                hit = float(queries[row, i] @ items[TARGETS[row, j]])
                total += share * (math.log(math.exp(hit) + sum(math.exp(s) for s in missed)) - hit)
            found += [total] if parts else []
    return sum(found) / len(found)


@pytest.mark.parametrize("horizon", [1, 3])
def test_against_drawn_items_a_target_is_told_apart_from_what_the_user_did_not_take(horizon: int) -> None:
    queries, items = world()
    drawn = draw(torch.arange(1, 8), 20)
    found = dense_sampled(queries, items, TARGETS, shares(ASKED, horizon, 0.5), drawn)
    assert found.item() == pytest.approx(slow_sampled(queries, items, drawn, horizon), rel=1e-4)


def test_nothing_asked_costs_nothing() -> None:
    queries, items = world()
    parts = shares(torch.zeros_like(ASKED), 3, 1.0)
    drawn = draw(torch.ones(7), 5)
    for loss in (
        dense_softmax(queries, items, TARGETS, parts, smoothing=0.1),
        dense_sampled(queries, items, TARGETS, parts, drawn),
    ):
        assert loss.item() == 0.0
        loss.backward()
