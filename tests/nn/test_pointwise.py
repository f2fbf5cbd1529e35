"""Pointwise attention against its formula written out, one head, one position and one pair after another."""

import math

import pytest
import torch
from torch import Tensor

from l2rec.nn.pointwise import SPANS, PointwiseBlock, PointwiseNetwork, spans_between


def slow_norm(x: Tensor, norm: torch.nn.LayerNorm) -> Tensor:
    mean = x.mean(-1, keepdim=True)
    return (x - mean) / ((x - mean).square().mean(-1, keepdim=True) + norm.eps).sqrt() * norm.weight + norm.bias


def silu(x: Tensor) -> Tensor:
    return x / (1 + torch.exp(-x))


def slow_span(seconds: int) -> int:
    return min(int(math.log(max(abs(seconds), 1)) / 0.301), 127)


def slow_block(block: PointwiseBlock, x: Tensor, times: list[int] | None) -> Tensor:
    length, width = x.shape
    size = width // block.heads
    inner = silu(slow_norm(x, block.norm) @ block.parts.weight.T + block.parts.bias)
    gate, value, query, key = inner.split(width, dim=1)
    rows = []
    for t in range(length):
        mixed = torch.zeros(width, dtype=x.dtype)
        for s in range(t + 1):
            bias = block.distances[min(t - s, block.history - 1)]
            if times is not None:
                bias = bias + block.spans[slow_span(times[t] - times[s])]
            for h in range(block.heads):
                part = slice(h * size, (h + 1) * size)
                mixed[part] += silu(query[t, part] @ key[s, part] + bias) / block.history * value[s, part]
        rows.append(slow_norm(mixed, block.mixed_norm) * gate[t])
    return x + torch.stack(rows) @ block.out.weight.T + block.out.bias


def shaken(network: PointwiseNetwork) -> PointwiseNetwork:
    """Weights far from their first values, norms and biases included."""
    torch.manual_seed(0)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.5 * torch.randn_like(parameter))
    return network.double().eval()


@pytest.mark.parametrize("times", [None, [0, 1, 3600, 86_400, 86_400 * 365]])
@torch.no_grad()
def test_the_network_is_the_formula_written_out(times: list[int] | None) -> None:
    network = shaken(PointwiseNetwork(width=8, layers=2, heads=2, history=4, dropout=0.5))
    x = torch.randn(3, 5, 8, dtype=torch.float64)
    expected = []
    for row in x:
        state = row
        for block in network.blocks:
            assert isinstance(block, PointwiseBlock)
            state = slow_block(block, state, times)
        expected.append(slow_norm(state, network.norm))
    given = None if times is None else torch.tensor([times] * 3)
    torch.testing.assert_close(network(x, given), torch.stack(expected), rtol=1e-9, atol=1e-9)


def test_what_stands_on_the_right_changes_nothing_on_the_left() -> None:
    network = shaken(PointwiseNetwork(width=8, layers=2, heads=4, history=9, dropout=0.0))
    x, times = torch.randn(2, 6, 8, dtype=torch.float64), torch.randint(10**6, (2, 9))
    other = torch.cat((x[:, :4], torch.randn(2, 5, 8, dtype=torch.float64)), 1)
    one, two = network(x, times[:, :6]), network(other, times + (torch.arange(9) > 3))
    torch.testing.assert_close(two[:, :4], one[:, :4], rtol=1e-9, atol=1e-12)
    assert not torch.allclose(two[:, 4:6], one[:, 4:])


def test_a_class_of_time_is_a_third_longer_than_the_one_before() -> None:
    seconds = [0, 1, 2, 60, 3600, 86_400, 10**9, 2**62]
    found = spans_between(torch.tensor([seconds]))
    assert found[0, 0].tolist() == [slow_span(s) for s in seconds] == [0, 0, 2, 13, 27, 37, 68, SPANS - 1]
    assert torch.equal(found[0], found[0].T)
