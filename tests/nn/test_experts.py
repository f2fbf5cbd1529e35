"""Stacked experts against a plain loop over experts, and at zero."""

import pytest
import torch
from torch import Tensor, nn

from l2rec.nn.experts import AdaptedLinear, Route


def adapted(ranks: int = 6) -> AdaptedLinear:
    base = nn.Linear(5, 7).requires_grad_(False)
    return AdaptedLinear(base, ranks, 1.7, Route())


def slow(layer: AdaptedLinear, x: Tensor, gates: Tensor, rank: int) -> Tensor:
    """One expert after another, one position after another."""
    out = torch.zeros(*x.shape[:2], 7)
    for row in range(x.shape[0]):
        for position in range(x.shape[1]):
            y = layer.base.weight @ x[row, position] + layer.base.bias
            for expert in range(gates.shape[2]):
                ranks = range(expert * rank, (expert + 1) * rank)
                delta = sum(torch.outer(layer.up[:, r], layer.down[r]) for r in ranks)
                y = y + 1.7 * gates[row, position, expert] * (delta @ x[row, position])
            out[row, position] = y
    return out


def test_stacked_experts_equal_a_loop_over_experts_and_so_do_their_gradients() -> None:
    layer = adapted()
    nn.init.normal_(layer.up)
    x = torch.randn(2, 4, 5, requires_grad=True)
    gates = torch.rand(2, 4, 3, requires_grad=True)
    weights = torch.randn(2, 4, 7)
    leaves = (x, gates, layer.down, layer.up)
    layer.route.gates = gates.repeat_interleave(2, -1)
    fast = layer(x)
    expected = slow(layer, x, gates, rank=2)
    torch.testing.assert_close(fast, expected)
    mine = torch.autograd.grad((fast * weights).sum(), leaves)
    theirs = torch.autograd.grad((expected * weights).sum(), leaves)
    for one, other in zip(mine, theirs, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_untrained_experts_and_absent_gates_change_no_bit(dtype: torch.dtype) -> None:
    layer, x = adapted(), torch.randn(3, 4, 5)
    layer.base.to(dtype)
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=dtype == torch.bfloat16):
        frozen = layer.base(x)
        assert torch.equal(layer(x), frozen)
        layer.route.gates = torch.rand(3, 4, 6)
        assert torch.equal(layer(x), frozen)
        nn.init.normal_(layer.up)
        assert not torch.equal(layer(x), frozen)
    assert layer(x.to(dtype)).dtype == dtype


def test_a_closed_gate_silences_its_ranks_and_stops_their_gradient() -> None:
    layer, x = adapted(), torch.randn(2, 3, 5)
    nn.init.normal_(layer.up)
    gates = torch.ones(2, 3, 6)
    gates[..., 4:] = 0
    layer.route.gates = gates
    before = layer(x)
    before.sum().backward()
    assert layer.down.grad is not None
    assert layer.up.grad is not None
    assert layer.down.grad[:4].abs().min() > 0
    assert not layer.down.grad[4:].any()
    assert not layer.up.grad[:, 4:].any()
    with torch.no_grad():
        layer.down[4:] = 99.0
    assert torch.equal(layer(x), before)
