"""The softmax losses against their plain formulas, and the sampled one against the full one in the mean."""

import math

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from l2rec.nn import losses
from l2rec.nn.losses import (
    draw,
    full_softmax,
    matched_softmax,
    mean_log_partition,
    sampled_softmax,
    softmax_over_drawn,
)


def vectors(rows: int, width: int = 6, seed: int = 0) -> Tensor:
    made = torch.randn(rows, width, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    return made.requires_grad_()


def slow_cross_entropy(queries: Tensor, items: Tensor, targets: Tensor, smoothing: float) -> Tensor:
    total = queries.new_zeros(())
    for query, target in zip(queries, targets.tolist(), strict=True):
        chances = torch.exp(items @ query) / torch.exp(items @ query).sum()
        for number, chance in enumerate(chances):
            mass = smoothing / len(items) + (1 - smoothing if number == target else 0)
            total = total - mass * torch.log(chance)
    return total / len(queries)


@pytest.mark.parametrize("smoothing", [0.0, 0.3])
def test_the_full_softmax_is_the_plain_formula_and_so_is_its_gradient(smoothing: float) -> None:
    queries, items, targets = vectors(7), vectors(11, seed=1), torch.tensor([0, 3, 3, 10, 5, 1, 2])
    slow = slow_cross_entropy(queries, items, targets, smoothing)
    expected = torch.autograd.grad(slow, (queries, items))
    fast = full_softmax(queries, items, targets, smoothing=smoothing)
    assert fast.item() == pytest.approx(slow.item(), rel=1e-6)
    for mine, theirs in zip(torch.autograd.grad(3 * fast, (queries, items)), expected, strict=True):
        torch.testing.assert_close(mine, 3 * theirs, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("room", [1, 22, 33, 10_000])
def test_slices_of_any_size_change_nothing(room: int, monkeypatch: pytest.MonkeyPatch) -> None:
    queries, items = vectors(7), vectors(11, seed=1)
    expected = torch.logsumexp(queries @ items.T, 1).mean()
    slopes = torch.autograd.grad(expected, (queries, items))
    monkeypatch.setitem(losses._LOGITS_AT_ONCE, "cpu", room)
    value = mean_log_partition(queries, items)
    assert value.item() == pytest.approx(expected.item(), rel=1e-12)
    for mine, theirs in zip(torch.autograd.grad(value, (queries, items)), slopes, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-10, atol=1e-12)


def test_huge_logits_stay_finite() -> None:
    queries, items = vectors(4), vectors(5, seed=1)
    loss = full_softmax(queries * 1e4, items, torch.tensor([0, 1, 2, 3]), smoothing=0.1)
    assert torch.isfinite(loss)
    assert all(bool(torch.isfinite(g).all()) for g in torch.autograd.grad(loss, (queries, items)))


def test_half_precision_is_near_the_exact_loss_and_returns_gradients_of_the_weights_type() -> None:
    queries = vectors(64, 16).detach().float().requires_grad_()
    items = (0.3 * vectors(50, 16, seed=1)).detach().float().requires_grad_()
    targets = torch.arange(64) % 50
    exact = functional.cross_entropy(queries @ items.T, targets, label_smoothing=0.1)
    slopes = torch.autograd.grad(exact, (queries, items))
    with torch.autocast("cpu", torch.bfloat16):
        rough = full_softmax(queries, items, targets, smoothing=0.1)
    assert rough.item() == pytest.approx(exact.item(), rel=1e-2)
    for mine, theirs in zip(torch.autograd.grad(rough, (queries, items)), slopes, strict=True):
        assert mine.dtype == torch.float32
        assert float((mine - theirs).norm() / theirs.norm()) < 0.02


def test_no_position_gives_a_loss_of_zero_that_can_be_differentiated() -> None:
    for loss_of in (
        lambda q, v, t: full_softmax(q, v, t, smoothing=0.1),
        lambda q, v, t: sampled_softmax(q, v, t, torch.ones(5), 3),
    ):
        items = vectors(5)
        loss = loss_of(vectors(0), items, torch.zeros(0, dtype=torch.long))
        assert loss.item() == 0
        assert torch.autograd.grad(loss, items)[0].abs().max() == 0


@pytest.mark.parametrize("weights", [torch.ones(9), torch.tensor([8, 1, 1, 1, 2, 2, 4, 4, 4])])
def test_the_sampled_sum_has_the_sum_over_the_whole_catalogue_as_its_mean(weights: Tensor) -> None:
    queries, items, targets = vectors(3).detach(), vectors(9, seed=1).detach(), torch.tensor([0, 4, 6])
    sums = []
    for _ in range(1500):
        drawn, log_q = draw(weights, 20)
        for query, target in zip(queries, targets, strict=True):
            hits = (drawn == target).unsqueeze(0)
            loss = softmax_over_drawn(query[None], items[target][None], items[drawn], hits, log_q)
            sums.append(torch.exp(loss + query @ items[target]).item())
    found = torch.tensor(sums, dtype=torch.float64).view(-1, 3)
    exact = torch.exp(queries @ items.T).sum(1)
    noise = found.std(0) / len(found) ** 0.5
    assert ((found.mean(0) - exact).abs() < 4 * noise).all()
    assert (noise / exact < 0.05).all()


def test_many_negatives_reach_the_full_softmax_and_its_gradient() -> None:
    queries, items, targets = vectors(5), vectors(9, seed=1), torch.tensor([0, 4, 6, 1, 1])
    exact = full_softmax(queries, items, targets, smoothing=0.0)
    sampled = sampled_softmax(queries, items, targets, torch.arange(1, 10), 200_000)
    assert sampled.item() == pytest.approx(exact.item(), rel=1e-2)
    for mine, theirs in zip(
        torch.autograd.grad(sampled, (queries, items)), torch.autograd.grad(exact, (queries, items)), strict=True
    ):
        assert float((mine - theirs).norm() / theirs.norm()) < 0.03


def test_a_target_that_is_drawn_is_no_negative_of_its_own_position() -> None:
    queries, items, targets = vectors(2), vectors(4, seed=1), torch.tensor([2, 0])
    only_two = torch.tensor([0.0, 0.0, 1.0, 0.0])
    loss = sampled_softmax(queries[:1], items, targets[:1], only_two, 50)
    assert loss.item() == pytest.approx(0.0, abs=1e-7)
    both = sampled_softmax(queries, items, targets, only_two, 50)
    z = queries[1] @ items.T
    second = torch.log(torch.exp(z[0]) + torch.exp(z[2])) - z[0]
    assert both.item() == pytest.approx(second.item() / 2, rel=1e-5)


def test_items_are_drawn_in_proportion_to_their_weights_and_never_at_weight_zero() -> None:
    weights = torch.tensor([0.0, 1.0, 3.0, 0.0, 6.0, 0.0])
    drawn, log_q = draw(weights, 20_000)
    shares = torch.bincount(drawn, minlength=6) / 20_000
    torch.testing.assert_close(shares, weights / 10, atol=0.02, rtol=0)
    torch.testing.assert_close(log_q, torch.log(20_000 * weights / 10)[drawn])


def test_a_match_is_told_from_the_keys_of_others_and_not_from_those_that_are_as_good() -> None:
    queries, keys = torch.randn(4, 3), torch.randn(4, 3)
    groups = [0, 1, 0, 2]
    expected = []
    for row in range(4):
        others = [k for k in range(4) if k == row or groups[k] != groups[row]]
        marks = [math.exp(float(queries[row] @ keys[k])) for k in others]
        expected.append(-math.log(math.exp(float(queries[row] @ keys[row])) / sum(marks)))
    group = torch.tensor(groups)
    found = matched_softmax(queries, keys, group.unsqueeze(1) == group)
    assert found.item() == pytest.approx(sum(expected) / 4, rel=1e-5)
    assert matched_softmax(queries[:0], keys[:0], torch.ones(0, 0, dtype=torch.bool)).item() == 0
