"""Hybrid prompts: what stands at every position, in which steps, and which of two models learns when."""

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from l2rec.config import validated
from l2rec.errors import SettingError
from l2rec.models import find
from l2rec.models.llm._hybrid import Hybrid, HybridSettings
from l2rec.nn.experts import AdaptedLinear
from tests import worlds
from tests.models.llm.little import SMALL
from tests.models.test_every_model import small_settings

HISTORIES = [[3, 10, 29, 7], [7, 22]]
"""Item 29 has no event."""

both = pytest.mark.parametrize("name", ["llara", "ilora"])


def made(name: str, backbone: Path, attributes: int = 0, **more: Any) -> Hybrid:
    torch.manual_seed(0)
    settings = small_settings(name, backbone, **(SMALL | {"id_model_dropout": 0.0} | more))
    model = find(name).model(settings, worlds.tiny_items(), attributes).eval()
    assert isinstance(model, Hybrid)
    return model


def learning(model: Hybrid, epoch: int) -> tuple[dict[str, float], set[str]]:
    """The parts of the loss in an epoch, and the two-part names of what gets a slope that is not zero.

    The LoRA has left its zeros, so that gates have slopes.
    """
    for module in model.modules():
        if isinstance(module, AdaptedLinear):
            nn.init.normal_(module.up)
    model.begin(epoch)
    loss = model.train().loss(worlds.training_batch_of([[3, 10, 2, 7, 22], [7, 22, 8]]))
    loss.total.backward()
    moved = {n for n, p in model.named_parameters() if p.grad is not None and bool(p.grad.any())}
    return loss.parts, {".".join(name.split(".")[:2]) for name in moved}


def slowly(model: Hybrid, history: list[int], *, hybrid: bool) -> Iterator[Tensor]:
    """Every position of a prompt, one by one."""
    network, tokens = model.network, model.tokens
    assert tokens.start is not None
    words = network.reader.backbone.token_embedding
    yield words(torch.tensor(tokens.start))
    for item in history:
        *said, separator = tokens.ids[item, : int(tokens.lengths[item])]
        yield from (words(word) for word in said)
        row = network.known.items.weight[item] * 16**0.5 * (item != 29)
        yield network.projector(network.rise.weight @ row) if hybrid else words(separator)


@both
@torch.no_grad()
def test_behind_every_text_stands_what_the_sasrec_knows_of_the_item(name: str, backbone: Path) -> None:
    model = made(name, backbone)
    rows, _ = model.network.rows(worlds.batch_of(HISTORIES), model.tokens)
    for row, history in enumerate(HISTORIES):
        expected = torch.stack(list(slowly(model, history, hybrid=True)))
        torch.testing.assert_close(rows.embeddings[row, rows.mask[row]], expected, rtol=1e-5, atol=1e-6)


@both
@torch.no_grad()
def test_without_a_share_of_hybrid_prompts_a_training_reads_text_alone_and_an_answer_both(
    name: str, backbone: Path
) -> None:
    model, batch = made(name, backbone), worlds.batch_of(HISTORIES)
    hybrid, _ = model.network.rows(batch, model.tokens)
    model.network.share = 0.0
    assert torch.equal(model.network.rows(batch, model.tokens)[0].embeddings, hybrid.embeddings)
    rows, _ = model.train().network.rows(batch, model.tokens)
    for row, history in enumerate(HISTORIES):
        expected = torch.stack(list(slowly(model, history, hybrid=False)))
        assert torch.equal(rows.embeddings[row, rows.mask[row]], expected)


@torch.no_grad()
def test_the_chance_is_drawn_for_every_history(backbone: Path) -> None:
    model = made("llara", backbone).train()
    model.network.share = 0.3
    rows, _ = model.network.rows(worlds.batch_of([[3, 10]] * 400), model.tokens)
    text = torch.stack(list(slowly(model, [3, 10], hybrid=False)))
    changed = (rows.embeddings != text).any(-1)
    assert 0.2 < changed.any(1).float().mean() < 0.4
    assert set(changed.sum(1).tolist()) == {0, 2}


def test_the_share_of_hybrid_prompts_rises_step_by_step_and_is_there_after_a_resume(backbone: Path) -> None:
    model, batch = made("llara", backbone, curriculum=4), worlds.training_batch_of([[3, 10, 2]])
    model.begin(0)
    model.loss(batch)
    model.begin(1)
    shares = []
    for step in range(6):
        if step == 3:
            state, model = model.state(), made("llara", backbone, curriculum=4)
            model.load_state(state)
        model.train().loss(batch)
        shares.append(min(model.network.share, 1.0))
    assert shares == [0.25, 0.5, 0.75, 1.0, 1.0, 1.0]
    assert made("ilora", backbone).network.share == 1.0


@both
def test_the_sasrec_learns_alone_at_first_and_is_frozen_then(name: str, backbone: Path) -> None:
    model = made(name, backbone, preparation=1, id_model_dropout=0.5)
    batch = worlds.training_batch_of([[3, 10, 2, 7, 22], [7, 22, 8]])
    expected = float(model.network.known.eval().loss(batch).total.detach())
    model.begin(0)
    assert float(model.eval().loss(batch).total.detach()) == expected
    parts, moved = learning(model, 0)
    assert set(parts) == {"retrieval"}
    assert moved == {"network.known"}
    model.zero_grad(set_to_none=True)
    _, moved = learning(model, 1)
    assert "network.known" not in moved
    assert {"network.tower", "network.fusion", "network.reader"} < moved
    assert not model.network.known.training, "its dropout would blur what it knows"


@both
def test_without_preparation_both_learn_together(name: str, backbone: Path) -> None:
    _, moved = learning(made(name, backbone, preparation=0, curriculum=0), 0)
    assert {"network.known", "network.rise", "network.projector", "network.tower"} < moved


@both
@torch.no_grad()
def test_an_item_without_an_event_is_no_item_to_the_sasrec(name: str, backbone: Path) -> None:
    model = made(name, backbone)
    batch = worlds.batch_of([[3, 29, 7]])
    before = model.scores(batch)
    model.network.known.items.weight[29] = 9.0
    assert torch.equal(model.scores(batch), before)
    model.network.known.items.weight[3] *= -1
    assert not torch.allclose(model.scores(batch), before, atol=1e-6)


@both
@torch.no_grad()
def test_a_prompt_is_not_read_on(name: str, backbone: Path) -> None:
    model = made(name, backbone)
    with pytest.raises(ValueError, match=r"before: a hybrid prompt is read from its start\. Pass None"):
        model.network.rows(worlds.batch_of([[3]]), model.tokens, (torch.zeros(1, 32), torch.ones(1, dtype=torch.long)))


@both
def test_heads_that_do_not_divide_the_width_are_refused(name: str) -> None:
    kind = find(name).config
    assert issubclass(kind, HybridSettings)
    with pytest.raises(SettingError, match=r"heads 3 do not divide width 128\. Set heads to a divisor"):
        validated(kind, {"heads": 3}, "model")


@both
def test_text_is_read_and_said_anew_as_by_every_reader(name: str, backbone: Path) -> None:
    model = made(name, backbone)
    asked, described = model.text_vectors(("red lamp", "blue chair")), model.described(("red lamp", "blue chair"))
    assert all(not torch.allclose(*pair) for found in (asked, described) for pair in pairwise(found))
    assert torch.equal(described, model.described(("red lamp", "blue chair")))
