"""The whitening against its formula, one item and one expert after another."""

import math

import pytest
import torch
from torch import Tensor

from l2rec.nn.whitening import Whitening


def shaken(dropout: float = 0.0) -> Whitening:
    """Three experts from width 5 to width 4, far from their first values."""
    whitening = Whitening(torch.randn(5), width=4, experts=3, dropout=dropout).double()
    with torch.no_grad():
        for parameter in whitening.parameters():
            parameter.add_(torch.randn_like(parameter))
    return whitening


def slow(whitening: Whitening, x: Tensor, noise: Tensor) -> Tensor:
    marks = []
    for k in range(3):
        spread = math.log1p(math.exp(float(x @ whitening.noise[:, k]))) + 0.01
        marks.append(math.exp(float(x @ whitening.gates[:, k]) + float(noise[k]) * spread))
    turned = [(x - centre) @ turn for centre, turn in zip(whitening.centres, whitening.turns, strict=True)]
    return torch.stack([mark / sum(marks) * own for mark, own in zip(marks, turned, strict=True)]).sum(0)


@torch.no_grad()
def test_every_item_is_moved_and_turned_by_a_mixture_of_experts() -> None:
    whitening, x = shaken().eval(), torch.randn(6, 5, dtype=torch.float64)
    expected = torch.stack([slow(whitening, row, torch.zeros(3)) for row in x])
    torch.testing.assert_close(whitening(x), expected, rtol=1e-9, atol=1e-9)
    assert whitening(x[:0]).shape == (0, 4)


@torch.no_grad()
def test_in_training_the_gates_are_noisy_as_far_as_the_vector_says() -> None:
    whitening, x = shaken().train(), torch.randn(6, 5, dtype=torch.float64)
    torch.manual_seed(7)
    found = whitening(x)
    torch.manual_seed(7)
    noise = torch.randn(6, 3, dtype=torch.float64)
    expected = torch.stack([slow(whitening, row, drawn) for row, drawn in zip(x, noise, strict=True)])
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-9)


def test_it_starts_by_taking_away_the_mean_with_gates_alike() -> None:
    mean = torch.randn(5)
    whitening = Whitening(mean, width=4, experts=3, dropout=0.0).eval()
    assert whitening(mean.unsqueeze(0)).abs().max().item() == pytest.approx(0, abs=1e-6)
    x = torch.randn(2, 5)
    torch.testing.assert_close(whitening(x), (x - mean) @ whitening.turns.mean(0))
