"""LLaRA's LoRA is one for everybody, and as large as all experts of L2Rec."""

from pathlib import Path

import torch
from torch import Tensor, nn

from l2rec.models.llm import l2rec, llara
from l2rec.nn.experts import AdaptedLinear
from tests import worlds
from tests.models.llm.test_hybrid import made


def test_the_lora_has_as_many_ranks_as_all_experts_of_the_papers_l2rec() -> None:
    papers = l2rec.Config(semantic=4, behavioural=4)
    assert llara.Config().plan().pools.ranks == papers.plan().pools.ranks == 80


@torch.no_grad()
def test_every_position_meets_the_same_lora(backbone: Path) -> None:
    model = made("llara", backbone)
    layer = next(m for m in model.modules() if isinstance(m, AdaptedLinear))
    nn.init.normal_(layer.up)
    seen: list[tuple[Tensor, Tensor]] = []
    layer.register_forward_hook(lambda _, args, out: seen.append((args[0], out)))
    model.user_vectors(worlds.batch_of([[3, 10], [7]]))
    x, y = seen[0]
    expected = layer.base(x) + 2.0 * (x @ layer.down.T) @ layer.up.T
    assert layer.down.shape[0] == 2
    torch.testing.assert_close(y, expected, rtol=1e-5, atol=1e-5)
