"""What RecFormer alone promises: how it reads, what each stage learns from, and when the matrix of items changes."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional
from transformers import AutoModel, AutoTokenizer

from l2rec.config import validated
from l2rec.errors import SettingError
from l2rec.models.text.recformer import Config, Model, drawn
from tests import worlds

SMALL: dict[str, Any] = {"history": 8, "dtype": "float32", "item_tokens": 8, "dropout": 0.0, "trained_layers": 2}
SEQUENCES = [[3, 10, 2, 7, 22], [7, 22, 8], [1, 4, 13, 11]]


def made(backbone: Path, **more: Any) -> Model:
    torch.manual_seed(0)
    settings = validated(Config, SMALL | {"backbone": str(backbone)} | more, "model")
    return Model(settings, worlds.tiny_items(), 0).eval()


def shaken(model: Model) -> Model:
    """The model with all that learns moved, the vectors of kind and place too."""
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.add_(0.3 * torch.randn_like(parameter))
    return model


def slow(model: Model, backbone: Path, history: list[int], most: int = 99) -> Tensor:
    """The state of [CLS] with the rows written out by hand, through the network's own forward pass."""
    tokenizer, items = AutoTokenizer.from_pretrained(backbone), worlds.tiny_items()
    row = [(tokenizer.cls_token_id, 0, 0)]
    for place, item in enumerate(reversed(history), start=1):
        own = [pair.split("=") for pair in items.attributes[item]]
        pairs = [["title", items.titles[item]], *sorted(own, key=lambda pair: len(pair[1]))]
        words = [
            (word, kind, place)
            for pair in pairs
            for kind, text in enumerate(pair, 1)
            for word in plain(tokenizer, text)
        ]
        row += words[:8]
    ids, kinds, places = torch.tensor(row[:most]).T
    network = model.reader.backbone.network
    vectors = network.get_input_embeddings()(ids) + model.kinds.weight[kinds] + model.places.weight[places]
    seen = torch.zeros(1, 1, len(ids), len(ids))
    states = network(inputs_embeds=vectors[None], attention_mask=seen).last_hidden_state
    return functional.normalize(states[0, 0], dim=-1)


def plain(tokenizer: Any, text: str) -> list[int]:
    found: list[int] = tokenizer(text, add_special_tokens=False)["input_ids"]
    return found


@torch.no_grad()
def test_a_history_and_an_item_are_read_alike_and_compared_by_cosine(backbone: Path) -> None:
    model = shaken(made(backbone))
    model.begin(0)
    matrix = torch.stack([slow(model, backbone, [n]) for n in range(30)])
    torch.testing.assert_close(model.item_vectors(), matrix, rtol=1e-4, atol=1e-4)
    for history in ([4], [3, 10, 2, 7]):
        wanted = matrix @ slow(model, backbone, history) / 0.05
        torch.testing.assert_close(model.scores(worlds.batch_of([history]))[0], wanted, rtol=1e-3, atol=1e-3)


@torch.no_grad()
def test_the_oldest_words_are_cut_off(backbone: Path) -> None:
    model = shaken(made(backbone, tokens=12))
    wanted = slow(model, backbone, [3, 10, 2], most=12) / 0.05
    torch.testing.assert_close(model.user_vectors(worlds.batch_of([[3, 10, 2]]))[0], wanted, rtol=1e-3, atol=1e-3)


@torch.no_grad()
def test_untrained_it_is_the_language_model(backbone: Path) -> None:
    network, model = AutoModel.from_pretrained(backbone), made(backbone)
    ids = model.texts.tokens.ids[4, : int(model.texts.tokens.lengths[4])]
    wanted = network(torch.cat([torch.tensor([2]), ids])[None]).last_hidden_state[0, 0]
    torch.testing.assert_close(model.item_vectors()[4], functional.normalize(wanted, dim=-1), rtol=1e-4, atol=1e-4)


def test_positions_are_drawn_among_those_that_count_and_none_twice() -> None:
    asked = torch.tensor([[True, True, False], [False, False, True], [False, False, False]])
    seen = set()
    for _ in range(40):
        rows, ends = drawn(asked)
        pairs = list(zip(rows.tolist(), ends.tolist(), strict=True))
        assert len(set(pairs)) == len(pairs) == 3
        seen |= set(pairs)
    assert seen == {(0, 0), (0, 1), (1, 2)}


@torch.no_grad()
def test_targets_and_negatives_both_come_from_the_matrix_even_where_it_is_stale(backbone: Path) -> None:
    model, batch = shaken(made(backbone)), worlds.training_batch_of(SEQUENCES)
    assert batch.target_mask is not None
    model.matrix.copy_(functional.normalize(torch.randn(30, 32), dim=-1))
    for seed in range(4):
        torch.manual_seed(seed)
        found = model.loss(batch)
        torch.manual_seed(seed)
        losses = []
        for row, end in zip(*(part.tolist() for part in drawn(batch.target_mask)), strict=True):
            logits = model.matrix @ slow(model, backbone, SEQUENCES[row][: end + 1]) / 0.05
            losses.append(logits.logsumexp(0) - logits[SEQUENCES[row][end + 1]])
        torch.testing.assert_close(found.total, torch.stack(losses).mean(), rtol=1e-3, atol=1e-3)
        assert found.weight == 9


def test_the_matrix_takes_no_gradient_and_no_step_changes_it(backbone: Path) -> None:
    model = made(backbone)
    assert not model.matrix.requires_grad
    before = model.matrix.clone()
    model.loss(worlds.training_batch_of(SEQUENCES)).total.backward()
    assert torch.equal(model.matrix, before)


def test_the_first_stage_reads_all_items_anew_and_the_second_keeps_them(backbone: Path) -> None:
    model = made(backbone, preparation=1, first_stage=2)
    anew = []
    for epoch in range(5):
        shaken(model)
        before = model.matrix.clone()
        model.begin(epoch)
        anew.append(not torch.equal(model.matrix, before))
        assert bool(model.preparing) is (epoch < 1)
    assert anew == [False, True, True, False, False]
    assert "matrix" in model.state()


def test_the_preparation_contrasts_live_readings_and_tells_hidden_words(backbone: Path) -> None:
    model = made(backbone, preparation=1, hidden=0.5)
    model.begin(0)
    model.matrix.fill_(torch.nan)
    loss = model.loss(worlds.training_batch_of([[3, 10], [7, 22], [4, 13]]))
    assert set(loss.parts) == {"items", "words"}
    assert loss.total.item() == pytest.approx(sum(loss.parts.values()), rel=1e-5)
    loss.total.backward()
    assert model.words is not None
    assert model.words.turn.weight.grad is not None
    assert model.kinds.weight.grad is not None
    assert loss.parts["words"] == pytest.approx(0.1 * 5.8, rel=0.3), "hidden words start at about the log of 320"


@torch.no_grad()
def test_without_hidden_words_the_contrast_is_its_formula(backbone: Path) -> None:
    model = shaken(made(backbone, preparation=1, hidden=1e-9))
    model.begin(0)
    pairs = [[3, 10], [7, 22], [4, 13], [9, 10]]
    found = model.loss(worlds.training_batch_of(pairs)).parts["items"]
    losses = []
    for own, target in pairs:
        user = slow(model, backbone, [own])
        others = [other for _, other in pairs if other != target]
        logits = torch.stack([user @ slow(model, backbone, [n]) / 0.05 for n in [target, *others]])
        losses.append(float(logits.logsumexp(0) - logits[0]))
    assert found == pytest.approx(sum(losses) / 4, rel=1e-3)


def test_it_learns_what_follows_what(backbone: Path) -> None:
    assert worlds.right_successors(made(backbone), steps=60) >= 20


@torch.no_grad()
def test_a_query_in_words_is_read_as_a_title(backbone: Path) -> None:
    model = shaken(made(backbone))
    vectors = model.text_vectors(("red lamp", "white clock"))
    assert vectors.shape == (2, 32)
    torch.testing.assert_close(model.text_vectors(("red lamp",))[0], vectors[0], rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(vectors.norm(dim=1), torch.full((2,), 20.0))
    assert not torch.allclose(vectors[0], vectors[1], atol=1e-1)


def test_rows_longer_than_the_backbone_reads_are_refused(backbone: Path) -> None:
    with pytest.raises(SettingError, match=r"model\.tokens: 300: .* has 256 positions\. Lower model\.tokens"):
        made(backbone, tokens=300)
