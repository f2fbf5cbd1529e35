"""iLoRA's slices, weighed by what the SASRec knows of the user: the slow definition, and no gate that hears more."""

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from l2rec.models.llm import ilora, l2rec
from l2rec.models.llm._hybrid import Hybrid
from l2rec.nn.experts import AdaptedLinear
from l2rec.nn.router import ViewRouter
from tests import worlds
from tests.models.llm.test_hybrid import made

HISTORY = [3, 10, 2, 7]


@pytest.fixture
def model(backbone: Path) -> Hybrid:
    """One whose gates and slices are far from their first values."""
    found = made("ilora", backbone, attributes=2)
    torch.manual_seed(1)
    with torch.no_grad():
        for module in found.modules():
            if isinstance(module, AdaptedLinear):
                nn.init.normal_(module.up)
            if isinstance(module, ViewRouter):
                nn.init.normal_(module.bias)
                assert module.user is not None
                nn.init.normal_(module.user.weight, std=0.3)
    return found


def gates(model: Hybrid, history: list[int]) -> list[Tensor]:
    """The gates of every block, at every position of the prompt."""
    rows, _ = model.network.rows(worlds.batch_of([history], attributes=2), model.tokens)
    model.network.read(rows)
    return [pair[0].gates[0] for pair in model.network.reader.choices if pair[0] is not None]


def test_all_slices_have_as_many_ranks_as_all_experts_of_the_papers_l2rec() -> None:
    papers = l2rec.Config(semantic=4, behavioural=4)
    assert ilora.Config().plan().pools.ranks == papers.plan().pools.ranks == 80


@torch.no_grad()
def test_every_slice_has_the_weight_that_the_state_of_the_history_so_far_gives_it(model: Hybrid) -> None:
    """The SASRec is asked anew for every beginning of the history, and every slice is multiplied by itself."""
    network, batch = model.network, worlds.batch_of([HISTORY], attributes=2)
    layer = next(m for m in model.modules() if isinstance(m, AdaptedLinear))
    router = next(m for m in model.modules() if isinstance(m, ViewRouter))
    assert network.heard is not None
    assert network.people is not None
    assert router.user is not None
    seen: list[tuple[Tensor, Tensor]] = []
    layer.register_forward_hook(lambda _, args, out: seen.append((args[0][0], out[0])))
    model.user_vectors(batch)
    [(x, y)] = seen
    assert layer.down.shape[0] == 8
    place = 1
    for number, item in enumerate(HISTORY):
        so_far = worlds.batch_of([HISTORY[: number + 1]])
        z = network.heard.weight @ network.known.states(so_far)[0, -1] + network.people(batch.attributes[0])
        weights = (router.user.weight @ z + router.bias).exp()
        for _ in range(int(model.tokens.lengths[item])):
            expected = layer.base(x[place])
            for k in range(4):
                own = slice(2 * k, 2 * k + 2)
                bent = layer.up[:, own] @ (layer.down[own] @ x[place])
                expected = expected + 8.0 * weights[k] / weights.sum() * bent
            torch.testing.assert_close(y[place], expected, rtol=1e-4, atol=1e-4)
            place += 1
    assert place == len(x)


@torch.no_grad()
def test_no_gate_hears_of_a_later_item_and_every_gate_of_the_items_before(model: Hybrid) -> None:
    one, later, earlier = (gates(model, history) for history in (HISTORY, [3, 10, 22, 8], [5, 10, 2, 7]))
    end = 1 + int(model.tokens.lengths[HISTORY[:2]].sum())
    assert len(one) == 2
    for block in range(2):
        torch.testing.assert_close(one[block][:end], later[block][:end], rtol=1e-5, atol=1e-6)
        assert (one[block][end] - later[block][end]).abs().max() > 1e-3
        assert (one[block][end:] - earlier[block][-len(one[block][end:]) :]).abs().amax(-1).min() > 1e-4


@torch.no_grad()
def test_gates_that_weigh_alike_leave_the_lora_of_llara(model: Hybrid, backbone: Path) -> None:
    other = made("llara", backbone, attributes=2, rank=8)
    for module in model.modules():
        if isinstance(module, ViewRouter):
            assert module.user is not None
            nn.init.zeros_(module.bias)
            nn.init.zeros_(module.user.weight)
    weights = model.state_dict()
    for name, tensor in other.state_dict().items():
        tensor.copy_(weights[name])
    batch = worlds.batch_of([HISTORY, [7, 22]], attributes=2)
    torch.testing.assert_close(model.scores(batch), other.scores(batch), rtol=1e-4, atol=1e-4)
