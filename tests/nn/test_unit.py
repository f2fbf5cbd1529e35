"""Vectors at length one: the values and gradients of the plain formula, and what happens at zero."""

import torch
from torch.nn import functional

from l2rec.nn.unit import unit


def test_values_and_gradients_are_those_of_the_plain_formula() -> None:
    torch.manual_seed(0)
    vectors = torch.randn(5, 3, 7, dtype=torch.float64, requires_grad=True)
    weights = torch.randn(5, 3, 7, dtype=torch.float64)
    found, expected = unit(vectors), functional.normalize(vectors, dim=-1)
    torch.testing.assert_close(found, expected)
    [mine], [theirs] = (torch.autograd.grad((each * weights).sum(), [vectors]) for each in (found, expected))
    torch.testing.assert_close(mine, theirs)
    assert torch.autograd.gradcheck(unit, [vectors])


def test_a_zero_vector_stays_zero_and_its_neighbours_keep_their_gradient() -> None:
    vectors = torch.tensor([[0.0, 0.0], [3.0, 4.0]], requires_grad=True)
    found = unit(vectors)
    torch.testing.assert_close(found, torch.tensor([[0.0, 0.0], [0.6, 0.8]]))
    found[1, 0].backward()
    torch.testing.assert_close(vectors.grad, torch.tensor([[0.0, 0.0], [0.128, -0.096]]))
