"""Fusion and the contrastive loss against their formulas, written out."""

import math

import pytest
import torch
from torch import Tensor

from l2rec.nn.fusion import Fusion, bpc_loss
from tests.nn.networks import bent


def slow_projection(fusion: Fusion, h: Tensor, view: int) -> Tensor:
    """LN(h + P h), one vector at a time."""
    projection, norm = fusion.projections[view], fusion.norms[view]
    rows = []
    for vector in h:
        raised = vector + projection.weight @ vector + projection.bias
        spread = (raised - raised.mean()).square().mean()
        rows.append((raised - raised.mean()) / (spread + 1e-5).sqrt() * norm.weight + norm.bias)
    return torch.stack(rows)


def test_acf_is_its_formula() -> None:
    fusion = Fusion(6, "acf")
    bent(fusion)
    h_s, h_b, user = torch.randn(3, 4, 6).unbind(0)
    s, b = slow_projection(fusion, h_s, 0), slow_projection(fusion, h_b, 1)
    torch.testing.assert_close(fusion.project(h_s, 0), s, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(fusion.project(h_b, 1), b, rtol=1e-4, atol=1e-5)
    assert fusion.gate is not None
    for row in range(4):
        whole = [*s[row].tolist(), *b[row].tolist(), *user[row].tolist()]
        for dim in range(6):
            score = sum(w * x for w, x in zip(fusion.gate.weight[dim].tolist(), whole, strict=True))
            a = 1 / (1 + math.exp(-score - fusion.gate.bias[dim].item()))
            expected = a * s[row, dim].item() + (1 - a) * b[row, dim].item()
            assert fusion.share(s, b, user)[row, dim].item() == pytest.approx(a, abs=1e-5)
            assert fusion(s, b, user)[row, dim].item() == pytest.approx(expected, abs=1e-4)


def test_mean_and_gate_less_fusion_ignore_the_user_and_acf_does_not() -> None:
    s, b, user, other = torch.randn(4, 5, 6).unbind(0)
    for kind, moves in (("acf", True), ("mean", False), ("gate-less", False)):
        fusion = Fusion(6, kind)
        bent(fusion)
        assert torch.equal(fusion(s, b, user), fusion(s, b, other)) != moves
    torch.testing.assert_close(Fusion(6, "mean")(s, b, user), (s + b) / 2)
    fixed = Fusion(6, "gate-less")
    assert fixed.fixed is not None
    with torch.no_grad():
        fixed.fixed.copy_(torch.tensor([50.0, -50.0, 0, 0, 0, 0]))
    found = fixed(s, b, user)
    assert torch.equal(found[:, 0], s[:, 0])
    assert torch.equal(found[:, 1], b[:, 1])
    torch.testing.assert_close(found[:, 2:], (s + b)[:, 2:] / 2)


def slow_bpc(semantic: Tensor, behavioural: Tensor, owners: list[int], temperature: float) -> float:
    total = 0.0
    for one, other in ((semantic, behavioural), (behavioural, semantic)):
        for i in range(len(owners)):
            cosines = [float(torch.cosine_similarity(one[i], other[j], dim=0)) for j in range(len(owners))]
            rivals = [j for j in range(len(owners)) if j == i or owners[j] != owners[i]]
            partition = sum(math.exp(cosines[j] / temperature) for j in rivals)
            total -= cosines[i] / temperature - math.log(partition)
    return total / (2 * len(owners))


def test_bpc_is_symmetric_infonce_against_other_users() -> None:
    owners = [0, 0, 1, 2, 2, 2]
    s, b = torch.randn(6, 4), torch.randn(6, 4)
    found = bpc_loss(s, b, torch.tensor(owners), 0.3)
    assert float(found) == pytest.approx(slow_bpc(s, b, owners, 0.3), rel=1e-5)
    assert float(bpc_loss(b, s, torch.tensor(owners), 0.3)) == pytest.approx(float(found), rel=1e-5)


def test_positions_of_one_user_are_no_negatives_of_each_other() -> None:
    s, b = torch.randn(5, 4), torch.randn(5, 4)
    assert float(bpc_loss(s, b, torch.zeros(5, dtype=torch.long), 0.1)) == pytest.approx(0, abs=1e-6)
    assert float(bpc_loss(s, b, torch.arange(5), 0.1)) > 0.1


def test_downhill_on_bpc_the_views_of_a_user_approach() -> None:
    s, b, owners = torch.randn(6, 4, requires_grad=True), torch.randn(6, 4), torch.arange(6)
    start = torch.cosine_similarity(s, b).mean().item()
    for _ in range(50):
        (slope,) = torch.autograd.grad(bpc_loss(s, b, owners, 0.2), s)
        s = (s - slope).detach().requires_grad_()
    assert torch.cosine_similarity(s, b).mean().item() > start + 0.3
