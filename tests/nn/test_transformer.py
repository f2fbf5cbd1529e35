"""The Transformer against the formula of attention written out, and its dropout against chance."""

import math

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from l2rec.nn.transformer import Block, Dropout, Transformer


def slow_norm(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    mean = x.mean(-1, keepdim=True)
    return (x - mean) / ((x - mean).square().mean(-1, keepdim=True) + 1e-5).sqrt() * weight + bias


def slow_block(block: Block, x: Tensor) -> Tensor:
    """One sequence, one head and one position after another."""
    length, width = x.shape
    size = width // block.heads
    query, key, value = (
        slow_norm(x, block.attention_norm.weight, block.attention_norm.bias) @ block.attention_in.weight.T
        + block.attention_in.bias
    ).split(width, dim=1)
    rows = []
    for t in range(length):
        heads = []
        for h in range(block.heads):
            part = slice(h * size, (h + 1) * size)
            marks = [torch.exp(query[t, part] @ key[k, part] / math.sqrt(size)) for k in range(t + 1)]
            heads.append(sum(m / sum(marks) * value[k, part] for k, m in enumerate(marks)))
        rows.append(torch.cat(heads))
    x = x + torch.stack(rows) @ block.attention_out.weight.T + block.attention_out.bias
    inner = slow_norm(x, block.inner_norm.weight, block.inner_norm.bias) @ block.inner_in.weight.T + block.inner_in.bias
    bent = inner * 0.5 * (1 + torch.erf(inner / math.sqrt(2)))
    return x + bent @ block.inner_out.weight.T + block.inner_out.bias


def shaken(network: Transformer) -> Transformer:
    """Weights far from their first values, norms and biases included."""
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return network.double().eval()


def test_the_network_is_the_formula_written_out() -> None:
    network = shaken(Transformer(width=8, layers=2, heads=2, inner=12, dropout=0.5))
    x = torch.randn(3, 5, 8, dtype=torch.float64)
    expected = []
    for row in x:
        state = row
        for block in network.blocks:
            assert isinstance(block, Block)
            state = slow_block(block, state)
        expected.append(slow_norm(state, network.norm.weight, network.norm.bias))
    torch.testing.assert_close(network(x), torch.stack(expected), rtol=1e-9, atol=1e-9)


def test_what_stands_on_the_right_changes_nothing_on_the_left() -> None:
    network = shaken(Transformer(width=8, layers=2, heads=4, inner=8, dropout=0.0))
    x = torch.randn(2, 6, 8, dtype=torch.float64)
    other = torch.cat((x[:, :4], torch.randn(2, 5, 8, dtype=torch.float64)), 1)
    torch.testing.assert_close(network(other)[:, :4], network(x)[:, :4], rtol=1e-9, atol=1e-12)
    assert not torch.allclose(network(other)[:, 4:6], network(x)[:, 4:])


def test_told_what_to_see_a_position_looks_at_just_that() -> None:
    """A causal block's last position sees all, so each position is put last behind the others that are seen."""
    block = Block(width=8, heads=2, inner=12, dropout=0.0).double().eval()
    x, seen = torch.randn(1, 5, 8, dtype=torch.float64), [0, 2, 3]
    found = block(x, torch.tensor([[t in seen for t in range(5)]]))
    for t in seen:
        order = [k for k in seen if k != t] + [t]
        torch.testing.assert_close(found[:, t], block(x[:, order])[:, -1], rtol=1e-9, atol=1e-12)
    other = torch.cat((x[:, :4], torch.randn(1, 1, 8, dtype=torch.float64)), 1)
    assert torch.equal(block(other, torch.tensor([[t in seen for t in range(5)]]))[:, :4], found[:, :4])


def test_a_position_of_nothing_takes_up_the_mean_of_what_it_sees() -> None:
    network = Transformer(width=16, layers=1, heads=2, inner=8, dropout=0.0)
    for parameter in network.parameters():
        torch.nn.init.zeros_(parameter) if parameter.ndim > 1 else None
    network.pass_on(0.5)
    x = torch.cat((torch.zeros(1, 1, 16), torch.randn(1, 3, 16)), 1)
    seen = torch.tensor([[True, True, True, False]])
    mean = functional.layer_norm(x[:, :3], (16,)).mean(1)
    torch.testing.assert_close(network(x, seen)[:, 0], functional.layer_norm(0.5 * mean, (16,)), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("probability", [0.1, 0.5, 0.9])
def test_dropout_keeps_the_mean_and_zeroes_its_share(probability: float) -> None:
    dropout = Dropout(probability).train()
    ones = torch.ones(101, 999, requires_grad=True)
    thinned = dropout(ones)
    assert (thinned == 0).float().mean().item() == pytest.approx(probability, abs=0.01)
    assert thinned.mean().item() == pytest.approx(1, abs=0.03)
    kept = thinned[thinned != 0]
    assert torch.equal(kept, kept[:1].expand_as(kept))
    assert torch.equal(torch.autograd.grad(thinned.sum(), ones)[0], thinned.detach())


def test_dropout_draws_every_element_and_every_time_anew() -> None:
    dropout = Dropout(0.5).train()
    one, other = dropout(torch.ones(64, 64)), dropout(torch.ones(64, 64))
    assert (one != other).float().mean().item() == pytest.approx(0.5, abs=0.05)
    for shift in (1, 2, 4, 8):
        assert (one[:, shift:] != one[:, :-shift]).float().mean().item() == pytest.approx(0.5, abs=0.05)
    torch.manual_seed(3)
    first = dropout(torch.ones(5, 7))
    torch.manual_seed(3)
    assert torch.equal(dropout(torch.ones(5, 7)), first)


def test_dropout_is_off_at_zero_and_outside_training() -> None:
    x = torch.randn(4, 4)
    assert torch.equal(Dropout(0.0).train()(x), x)
    assert torch.equal(Dropout(0.9).eval()(x), x)
