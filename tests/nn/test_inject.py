"""Experts in frozen models of every kind: exact at first, frozen for good, blind to the future and to each other."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from l2rec.errors import BackboneError
from l2rec.nn.experts import AdaptedLinear
from l2rec.nn.inject import DualView, blocks
from l2rec.nn.router import Choice, Layout, Pools
from tests.nn import networks
from tests.nn.networks import POOLS, bent, dual_view, inputs

ROOT = Path(__file__).parents[2]

every_kind = pytest.mark.parametrize("kind", networks.CONFIGS)
every_target = pytest.mark.parametrize("targets", ["ffn", "attention", "all"])


def adapted(model: DualView) -> dict[str, AdaptedLinear]:
    return {name: m for name, m in model.named_modules() if isinstance(m, AdaptedLinear)}


@every_kind
@every_target
def test_an_untrained_model_is_the_frozen_one_bit_for_bit(kind: str, targets: str) -> None:
    words, visible, positions, user, layout = inputs()
    expected = networks.little(kind)(words, visible, positions, layout.parts)
    torch.testing.assert_close(networks.little(kind)(words, visible, positions), expected, rtol=1e-4, atol=1e-5)
    model = dual_view(kind, targets=targets)
    assert torch.equal(model(words, visible, positions, user, layout), expected)
    assert len(model.choices) == 2
    assert torch.equal(model.plain(words, visible, positions, layout), expected)
    bent(model)
    assert torch.equal(model.plain(words, visible, positions, layout), expected)
    assert not torch.allclose(model(words, visible, positions, user, layout), expected, atol=1e-3)


@every_kind
def test_targets_are_the_matrices_that_they_say(kind: str) -> None:
    found = {t: set(adapted(dual_view(kind, targets=t))) for t in ("ffn", "attention", "all")}
    attention, feed_forward = (4, 2) if kind in ("bert", "roberta") else (4, 3)
    assert len(found["attention"]) == 2 * attention
    assert len(found["ffn"]) == 2 * feed_forward
    assert all("attn" in name or "attention" in name for name in found["attention"])
    assert found["all"] == found["ffn"] | found["attention"]
    assert not found["ffn"] & found["attention"]


@every_kind
def test_each_block_has_its_own_experts_and_routers(kind: str) -> None:
    model = dual_view(kind)
    assert len(blocks(model.backbone.network)) == len(model.routers) == 2
    assert {len(layer.down) for layer in adapted(model).values()} == {POOLS.ranks}
    assert len({id(layer.route) for layer in adapted(model).values()}) == 2


def test_a_model_without_blocks_is_refused() -> None:
    frozen = networks.little("bert")
    frozen.network.encoder.layer = nn.ModuleList(list(frozen.network.encoder.layer)[:1])
    with pytest.raises(BackboneError, match=r"BertModel: its 2 blocks are not found\. Use a BERT-like or decoder"):
        DualView(frozen, POOLS, "ffn", 2.0, 3, ())


@every_kind
@every_target
def test_frozen_weights_keep_every_bit_through_training(kind: str, targets: str) -> None:
    model = dual_view(kind, targets=targets)
    frozen = {name: p.clone() for name, p in model.named_parameters() if not p.requires_grad}
    buffers = {name: b.clone() for name, b in model.named_buffers()}
    trained = {name: p for name, p in model.named_parameters() if p.requires_grad}
    assert {name.rpartition(".")[2] for name in trained} == {"down", "up", "bias", "weight"}
    before = {name: p.detach().clone() for name, p in trained.items()}
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.1, weight_decay=0.5)
    for _ in range(3):
        optimizer.zero_grad()
        model(*inputs()).square().mean().backward()
        optimizer.step()
    assert len(frozen) > 10
    assert all(torch.equal(model.get_parameter(name), p) for name, p in frozen.items())
    assert all(torch.equal(model.get_buffer(name), b) for name, b in buffers.items())
    assert all(not torch.equal(p, before[name]) for name, p in trained.items())


def gates_of(model: DualView) -> list[Tensor]:
    return [choice.gates for pair in model.choices for choice in pair if choice is not None]


@every_kind
@pytest.mark.parametrize("signals", [(), ("context",), ("user",), ("interaction",), networks.SIGNALS], ids="+".join)
def test_the_future_changes_no_state_and_no_gate(kind: str, signals: tuple[str, ...]) -> None:
    """Words and user states change from a position on, in one view and then in the other."""
    model = dual_view(kind, signals)
    bent(model)
    words, visible, positions, user, layout = inputs()
    before, gates = model(words, visible, positions, user, layout), gates_of(model)
    for start, end in ((4, 6), (7, 9)):
        later = (torch.arange(9) >= start) & (torch.arange(9) < end)
        other = torch.randn(2, 9, networks.WIDTH)
        changed, moved = (torch.where(later.view(1, -1, 1), other, x) for x in (words, user))
        after = model(changed, visible, positions, moved, layout)
        assert torch.equal(after[:, ~later], before[:, ~later])
        assert not torch.allclose(after[:, later], before[:, later], atol=1e-3)
        masks = [later[part] for _ in range(2) for part in layout.slices]
        for one, two, mask in zip(gates, gates_of(model), masks, strict=True):
            assert torch.equal(one[:, ~mask], two[:, ~mask])
            assert bool(mask.any()) or torch.equal(one, two)
        assert all(map(torch.equal, gates, gates_of(model))) == (not signals)


@every_kind
def test_the_views_are_bent_by_different_experts(kind: str) -> None:
    """Each view moves with its own and the shared experts; the other view's change nothing and learn nothing."""
    words, visible, positions, user, layout = inputs()
    rank, shared, semantic = POOLS.rank, POOLS.shared, POOLS.semantic
    owners = (
        slice(shared * rank, (shared + semantic) * rank),
        slice((shared + semantic) * rank, POOLS.ranks),
        slice(0, shared * rank),
    )
    for view, part in enumerate(layout.slices):
        model = dual_view(kind)
        bent(model)
        before = model(words, visible, positions, user, layout)
        before[:, part].square().mean().backward()
        for layer in adapted(model).values():
            assert layer.down.grad is not None
            assert layer.up.grad is not None
            assert layer.down.grad[owners[view]].any()
            assert layer.up.grad[:, owners[2]].any()
            assert not layer.down.grad[owners[1 - view]].any()
            assert not layer.up.grad[:, owners[1 - view]].any()
        for routers in model.routers:
            assert isinstance(routers, nn.ModuleList)
            assert all(p.grad is None or not p.grad.any() for p in routers[1 - view].parameters())
            assert any(p.grad is not None and bool(p.grad.any()) for p in routers[view].parameters())
        with torch.no_grad():
            for layer in adapted(model).values():
                layer.down[owners[1 - view]] += 1.0
        after = model(words, visible, positions, user, layout)
        assert torch.equal(after[:, part], before[:, part])
        other = layout.slices[1 - view]
        assert not torch.allclose(after[:, other], before[:, other], atol=1e-3)


@every_kind
def test_two_views_in_one_call_are_two_calls(kind: str) -> None:
    model = dual_view(kind)
    bent(model)
    words, visible, positions, user, layout = inputs()
    both, gates = model(words, visible, positions, user, layout), gates_of(model)
    for view, part in enumerate(layout.slices):
        alone = Layout(6, 0) if view == 0 else Layout(0, 3)
        one = model(words[:, part], visible[:, part, part], positions[:, part], user[:, part], alone)
        torch.testing.assert_close(one, both[:, part], rtol=1e-4, atol=1e-5)
        for block, choice in enumerate(gates_of(model)):
            torch.testing.assert_close(choice, gates[2 * block + view], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("pools", [(0, 4, 3), (2, 0, 0), (0, 0, 3), (0, 0, 0)])
def test_any_pool_may_be_empty(pools: tuple[int, int, int]) -> None:
    model = dual_view("qwen3", pools=Pools(*pools, rank=2, top=2))
    bent(model)
    out = model(*inputs())
    assert out.isfinite().all()
    found = [sum(choice is not None for choice in pair) for pair in model.choices]
    assert found == ([sum(n > 0 for n in pools[1:])] * 2 if sum(pools) else [])
    words, visible, positions, _, layout = inputs()
    assert torch.equal(out, model.plain(words, visible, positions, layout)) == (sum(pools) == 0)


def test_nothing_of_a_call_is_left_in_the_model_but_the_choices() -> None:
    model = dual_view("bert")
    model.backbone.register_forward_hook(_breaks)
    with pytest.raises(ValueError, match="broken"):
        model(*inputs())
    assert all(layer.route.gates is None for layer in adapted(model).values())
    choice = model.choices[0][0]
    assert isinstance(choice, Choice)
    assert choice.gates.requires_grad


ONE_GRAPH = """
import torch
from l2rec.nn import attention
from tests.nn.networks import bent, dual_view, inputs
model = dual_view("qwen3")
bent(model)
model.backbone.network.set_attn_implementation("sdpa")
attention.choose = lambda *_: None
expected = model(*inputs())
model.backbone.network.compile(backend="eager", fullgraph=True)
torch.testing.assert_close(model(*inputs()), expected)
"""
"""As on a GPU, whose attention is torch's own; in a process whose functions do not check their shapes."""


def test_the_compiler_sees_the_backbone_with_its_experts_as_one_graph() -> None:
    done = subprocess.run([sys.executable, "-c", ONE_GRAPH], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def _breaks(*_: object) -> None:
    raise ValueError("broken")
