"""The whole dual-view network: causal, deaf to padding and company, and as small as the paper says."""

import pytest
import torch
from torch import Tensor
from transformers import Qwen3Config

from l2rec.models.llm.l2rec import Config
from l2rec.nn import backbone
from l2rec.nn.inject import blocks
from l2rec.nn.network import Network
from l2rec.types import Batch
from tests import worlds
from tests.nn import networks

every_kind = pytest.mark.parametrize("kind", networks.CONFIGS)
HISTORIES = [[3, 0, 7, 5], [11, 2], [9]]


def gates(made: Network) -> list[list[Tensor | None]]:
    return [[None if choice is None else choice.gates for choice in pair] for pair in made.reader.choices]


@every_kind
@pytest.mark.parametrize("signals", [("context",), ("user",), ("interaction",), networks.SIGNALS], ids="+".join)
def test_later_items_change_no_state_and_no_gate_of_earlier_ones(kind: str, signals: tuple[str, ...]) -> None:
    made = networks.network(kind, signals=signals)
    for seen in (1, 2, 3):
        one, other = worlds.batch_of([[3, 0, 7, 5]]), worlds.batch_of([[3, 0, 7, 5][:seen] + [10, 11, 6, 2][seen:]])
        hidden, rows = networks.read(made, one)
        before = gates(made)
        changed, _ = networks.read(made, other)
        after = gates(made)
        assert rows.read is not None
        until = (int(rows.read[0, seen - 1]) + 1, seen)
        for view in (0, 1):
            torch.testing.assert_close(hidden[view][:, :seen], changed[view][:, :seen], rtol=1e-4, atol=1e-5)
            assert not torch.allclose(hidden[view][:, seen:], changed[view][:, seen:], atol=1e-3)
            for block in range(2):
                first, second = before[block][view], after[block][view]
                assert first is not None
                assert second is not None
                torch.testing.assert_close(first[:, : until[view]], second[:, : until[view]], rtol=1e-4, atol=1e-5)


@every_kind
@pytest.mark.parametrize("start", [2, None])
@pytest.mark.parametrize("inject", [False, True])
def test_padding_and_company_change_nothing(kind: str, start: int | None, inject: bool) -> None:
    made = networks.network(kind, inject=inject)
    wide = worlds.batch_of(HISTORIES, width=7)
    junk = Batch(wide.items.masked_fill(~wide.mask, 8), wide.mask, wide.times, wide.attributes)
    crowd, _ = networks.read(made, junk, start)
    for row, history in enumerate(HISTORIES):
        alone, _ = networks.read(made, worlds.batch_of([history]), start)
        assert len(alone) == len(crowd) == (1 if inject else 2)
        for one, other in zip(alone, crowd, strict=True):
            torch.testing.assert_close(one[0], other[row, : len(history)], rtol=1e-4, atol=1e-5)


def test_the_user_state_is_the_mean_of_items_so_far_and_who_the_user_is() -> None:
    made = networks.network("bert", people=3)
    batch = worlds.batch_of([[3, 0, 7], [11]], attributes=3)
    batch = Batch(batch.items, batch.mask, batch.times, torch.randn(2, 3))
    _, state = made.rows(batch, networks.tokens())
    vectors = made.tower()
    assert made.people is not None
    for row, history in enumerate([[3, 0, 7], [11]]):
        for position in range(len(history)):
            mean = torch.stack([vectors[item] for item in history[: position + 1]]).mean(0)
            expected = mean + made.people.weight @ batch.attributes[row]
            torch.testing.assert_close(state[row, position], expected, rtol=1e-4, atol=1e-5)


def test_the_semantic_view_is_read_where_each_item_is_complete() -> None:
    made = networks.network("qwen3")
    batch = worlds.batch_of([[3, 0, 7]])
    hidden, rows = networks.read(made, batch)
    whole = made.reader(rows.embeddings, rows.visible, rows.positions, rows.user, rows.layout)
    ends = (1 + (networks.tokens().lengths[[3, 0, 7]]).cumsum(0) - 1).tolist()
    assert torch.equal(hidden[0][0], whole[0, ends])
    assert torch.equal(hidden[1][0], whole[0, rows.layout.semantic :])


@pytest.mark.parametrize(("views", "inject"), [("semantic", False), ("behavioural", False), ("both", True)])
def test_one_view_is_fused_from_itself_alone(views: str, inject: bool) -> None:
    made = networks.network("bert", views=views, inject=inject)
    hidden, rows = networks.read(made, worlds.batch_of(HISTORIES))
    projected = made.project([h[:, 0] for h in hidden])
    assert len(hidden) == len(projected) == 1
    assert torch.equal(made.fuse(projected, torch.randn(3, networks.WIDTH)), projected[0])
    assert (rows.layout.semantic == 0) == (views == "behavioural")
    assert (rows.layout.behavioural == 0) == (views != "behavioural")
    first = int(views == "behavioural")
    torch.testing.assert_close(projected[0], made.fusion.project(hidden[0][:, 0], first))


def test_injected_item_vectors_reach_the_text() -> None:
    made, batch = networks.network("llama", inject=True), worlds.batch_of([[3, 0, 7]])
    before, _ = networks.read(made, batch)
    with torch.no_grad():
        made.tower.ids.weight[0] += 1.0
    after, _ = networks.read(made, batch)
    assert torch.equal(before[0][:, 0], after[0][:, 0])
    assert not torch.allclose(before[0][:, 1], after[0][:, 1], atol=1e-3)


@every_kind
def test_the_adapted_pool_is_a_causal_mean_that_no_other_item_moves(kind: str) -> None:
    made, tokens = networks.network(kind), networks.tokens()
    before = made.adapted_pool(tokens)
    assert before.shape == (networks.ITEMS, networks.WIDTH)
    assert before.isfinite().all()
    tokens.ids[4, 0] = 77
    after = made.adapted_pool(tokens)
    moved = (before - after).abs().amax(1) > 1e-4
    assert moved.tolist() == [item == 4 for item in range(networks.ITEMS)]


def test_the_temperature_starts_where_it_is_told_and_stays_above_a_hundredth() -> None:
    made = Network(networks.plan(temperature=0.2), networks.little("bert"), torch.ones(2, 4), torch.ones(2).bool(), 0)
    assert made.temperature().item() == pytest.approx(0.2)
    with torch.no_grad():
        made.log_temperature.fill_(-99)
    assert made.temperature().item() == pytest.approx(0.01)
    with torch.no_grad():
        made.log_temperature.fill_(-9)
    lowest = made.temperature()
    assert lowest.item() == pytest.approx(0.01)
    lowest.backward()
    assert made.log_temperature.grad is not None
    assert made.log_temperature.grad.item() > 0, "it can rise again"


def test_qwen3_with_the_papers_experts_trains_32_million_parameters() -> None:
    """Shapes of the published Qwen3-0.6B, without values; the ID table grows with the catalogue and is left out."""
    config = Qwen3Config(
        hidden_size=1024,
        num_hidden_layers=28,
        num_attention_heads=16,
        num_key_value_heads=8,
        head_dim=128,
        intermediate_size=3072,
        vocab_size=151936,
        tie_word_embeddings=True,
    )
    pools = {"shared": 2, "semantic": 4, "behavioural": 4, "rank": 8}
    settings = Config(targets="ffn", **pools, signals=("context", "user", "interaction"), words=False, shortcut=False)
    with torch.device("meta"):
        frozen = backbone.from_config(config, torch.bfloat16)
        made = Network(settings.plan(), frozen, torch.zeros(50, 1024), torch.ones(50, dtype=torch.bool), 0)
    assert {p.device.type for p in made.parameters()} == {"meta"}
    assert len(blocks(frozen.network)) == 28
    counted = {n: p for n, p in made.named_parameters() if n != "tower.ids.weight"}
    trained = sum(p.numel() for p in counted.values() if p.requires_grad)
    everything = sum(p.numel() for p in counted.values())
    assert 590e6 < everything - trained < 600e6
    assert 28e6 <= trained <= 36e6
    assert trained / everything <= 0.06
