"""Routers and the balance loss against their formulas, written out; what one position decides is its own affair."""

import math
from itertools import chain, combinations

import pytest
import torch
from torch import Tensor

from l2rec.nn.router import (
    SIGNALS,
    Choice,
    Layout,
    Pools,
    ViewRouter,
    balance_loss,
    gate_entropy,
    products,
    rank_gates,
    usage,
)
from tests.nn.networks import bent

SUBSETS = list(chain.from_iterable(combinations(SIGNALS, n) for n in range(4)))


def router(signals: tuple[str, ...] = SIGNALS, experts: int = 5, top: int = 2) -> ViewRouter:
    made = ViewRouter(6, experts, top, 3, signals)
    bent(made)
    return made


def decide(made: ViewRouter, context: Tensor, user: Tensor) -> Choice:
    return made(context, products(user, made.user_maps()))


def slow_gates(made: ViewRouter, c: Tensor, u: Tensor) -> tuple[list[float], list[float]]:
    """s = W_c c + W_u u + W_x (W_a c * W_b u), the best two, without signals the first two, their softmax."""
    s = made.bias.clone()
    if made.context is not None:
        s = s + made.context.weight @ c
    if made.user is not None:
        s = s + made.user.weight @ u
    if made.mix is not None:
        a, b, x = (linear.weight for linear in made.mix)
        s = s + x @ ((a @ c) * (b @ u))
    scores = s.tolist()
    static = made.context is made.user is made.mix is None
    best = list(range(len(scores))) if static else sorted(range(len(scores)), key=lambda e: -scores[e])
    best = best[: made.top]
    mass = sum(math.exp(scores[e]) for e in best)
    gates = [math.exp(scores[e]) / mass if e in best else 0.0 for e in range(len(scores))]
    return gates, [math.exp(v) / sum(map(math.exp, scores)) for v in scores]


@pytest.mark.parametrize("signals", SUBSETS, ids="+".join)
@pytest.mark.parametrize("top", [1, 2, 9])
def test_gates_are_the_formula_at_every_position(signals: tuple[str, ...], top: int) -> None:
    made, context, user = router(signals, top=top), torch.randn(2, 3, 6), torch.randn(2, 3, 6)
    found = decide(made, context, user)
    for row in range(2):
        for position in range(3):
            gates, chances = slow_gates(made, context[row, position], user[row, position])
            assert found.gates[row, position].tolist() == pytest.approx(gates, abs=1e-5)
            assert found.probabilities[row, position].tolist() == pytest.approx(chances, abs=1e-5)
            assert sum(g > 0 for g in gates) == min(top, 5)


@pytest.mark.parametrize("signals", SUBSETS, ids="+".join)
def test_a_router_reads_the_signals_that_are_on_and_no_others(signals: tuple[str, ...]) -> None:
    made, context, user = router(signals), torch.randn(1, 4, 6), torch.randn(1, 4, 6)
    before = decide(made, context, user).probabilities
    other = torch.randn(1, 4, 6)
    reads_context = {"context", "interaction"} & set(signals)
    reads_user = {"user", "interaction"} & set(signals)
    assert torch.equal(decide(made, other, user).probabilities, before) != bool(reads_context)
    assert torch.equal(decide(made, context, other).probabilities, before) != bool(reads_user)


def test_static_gates_keep_their_experts_while_they_learn() -> None:
    """With the best by bias, what is chosen sinks below what no gradient reaches, and the pair changes."""
    made = ViewRouter(6, 5, 2, 3, ())
    optimizer = torch.optim.AdamW(made.parameters(), lr=0.01)
    for target in (0.9, 0.1) * 20:
        gates = decide(made, torch.randn(2, 3, 6), torch.randn(2, 3, 6)).gates
        assert (gates > 0).nonzero()[:, -1].unique().tolist() == [0, 1]
        optimizer.zero_grad()
        (gates[..., 0] - target).square().mean().backward()
        optimizer.step()
    assert made.bias[:2].abs().min() > 0


def test_products_in_one_multiplication_are_the_single_products() -> None:
    x, maps = torch.randn(2, 3, 6), [torch.randn(n, 6) for n in (2, 1, 4)]
    for found, weight in zip(products(x, maps), maps, strict=True):
        torch.testing.assert_close(found, x @ weight.T)
    assert products(x, []) == []


def choice_of(gates: list[list[float]], probabilities: list[list[float]]) -> Choice:
    return Choice(torch.tensor([gates]), torch.tensor([probabilities]))


def test_the_balance_loss_is_its_formula_over_unmasked_positions() -> None:
    choice = choice_of(
        [[0.7, 0.3, 0, 0], [0, 0.6, 0.4, 0], [0, 0, 0.5, 0.5]],
        [[0.5, 0.3, 0.1, 0.1], [0.1, 0.5, 0.3, 0.1], [0.0, 0.0, 0.5, 0.5]],
    )
    mask = torch.tensor([[True, True, False]])
    f, p = [0.25, 0.5, 0.25, 0.0], [0.3, 0.4, 0.2, 0.1]
    assert usage(choice, mask).tolist() == pytest.approx(f)
    assert float(balance_loss(choice, mask)) == pytest.approx(4 * sum(x * y for x, y in zip(f, p, strict=True)))
    entropy = [-sum(v * math.log(v) for v in row) for row in choice.probabilities[0, :2].tolist()]
    assert float(gate_entropy(choice, mask)) == pytest.approx(sum(entropy) / 2, rel=1e-5)


def test_balance_is_one_when_all_are_used_alike_and_the_number_of_experts_when_one_is() -> None:
    mask = torch.ones(1, 4, dtype=torch.bool)
    even = choice_of(torch.eye(4).tolist(), [[0.25] * 4] * 4)
    single = choice_of([[1.0, 0, 0, 0]] * 4, [[1.0, 0, 0, 0]] * 4)
    assert float(balance_loss(even, mask)) == pytest.approx(1)
    assert float(balance_loss(single, mask)) == pytest.approx(4)
    assert float(gate_entropy(even, mask)) == pytest.approx(math.log(4))
    assert float(gate_entropy(single, mask)) == pytest.approx(0, abs=1e-6)


def test_downhill_on_balance_a_collapsed_router_opens() -> None:
    made, context, user = router(experts=4), torch.randn(8, 5, 6), torch.randn(8, 5, 6)
    with torch.no_grad():
        made.bias.copy_(torch.tensor([9.0, 9.0, 0.0, 0.0]))
    mask, optimizer = torch.ones(8, 5, dtype=torch.bool), torch.optim.Adam(made.parameters(), lr=0.1)
    assert usage(decide(made, context, user), mask).tolist() == pytest.approx([0.5, 0.5, 0, 0])
    for _ in range(120):
        optimizer.zero_grad()
        balance_loss(decide(made, context, user), mask).backward()
        optimizer.step()
    assert usage(decide(made, context, user), mask).min().item() > 0.1


def test_rank_gates_are_one_for_shared_the_choice_for_own_and_zero_for_the_other_view() -> None:
    pools = Pools(shared=2, semantic=3, behavioural=2, rank=2, top=2)
    layout, like = Layout(3, 2), torch.zeros(1, 5, 6)
    semantic, behavioural = torch.rand(1, 3, 3), torch.rand(1, 2, 2)
    found = rank_gates(pools, (Choice(semantic, semantic), Choice(behavioural, behavioural)), layout, like)
    for position in range(5):
        own = [1.0, 1.0]
        own += semantic[0, position].tolist() if position < 3 else [0.0] * 3
        own += behavioural[0, position - 3].tolist() if position >= 3 else [0.0] * 2
        assert found[0, position].tolist() == pytest.approx([g for g in own for _ in range(2)])
    assert found.shape[-1] == pools.ranks == 14
    closed = rank_gates(pools, (None, None), layout, like)
    assert torch.equal(closed, torch.tensor([1.0] * 4 + [0.0] * 10).expand(1, 5, 14))
