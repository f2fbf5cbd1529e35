"""What LEARN alone promises; its loss is tested in `tests/nn/test_dense.py`."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.nn import functional
from transformers import AutoModel, AutoTokenizer

from l2rec.config import validated
from l2rec.errors import SettingError
from l2rec.models.llm.learn import Config, Model
from l2rec.nn.dense import dense_sampled, dense_softmax, shares
from l2rec.types import Items
from tests import worlds

SMALL: dict[str, Any] = {"history": 8, "width": 16, "heads": 2, "layers": 1, "inner": 16, "dtype": "float32"}


def made(backbone: Path, items: Items | None = None, **more: Any) -> Model:
    torch.manual_seed(0)
    settings = validated(Config, SMALL | {"backbone": str(backbone), "dropout": 0.0} | more, "model")
    return Model(settings, items or worlds.tiny_items(), 0).eval()


def content(backbone: Path, numbers: list[int]) -> torch.Tensor:
    """Content vectors as the language model alone gives them: item by item, pooled, centred over the catalogue."""
    tokenizer, network = AutoTokenizer.from_pretrained(backbone), AutoModel.from_pretrained(backbone)
    found = []
    for text in worlds.tiny_items().texts:
        found.append(network(**tokenizer(text, return_tensors="pt")).last_hidden_state[0].mean(0))
    vectors = torch.stack(found)
    return functional.normalize(vectors - vectors.mean(0), dim=-1)[numbers]


@torch.no_grad()
@pytest.mark.parametrize("tower", ["own", "shared"])
def test_the_score_is_the_cosine_of_the_user_tower_and_the_item_tower(backbone: Path, tower: str) -> None:
    model = made(backbone, item_tower=tower)
    if model.asking is not None:
        torch.nn.init.normal_(model.asking.fall.weight)
    numbers = [3, 10, 2]
    events = model.norm(model.reading(content(backbone, numbers))) + model.positions.weight[:3]
    state = model.network(events.unsqueeze(0))[0, -1]
    every = content(backbone, list(range(30)))
    if model.asking is not None:
        answers = model.asking(every)
    else:
        answers = torch.stack([model.network(model.norm(x).view(1, 1, -1))[0, 0] for x in model.reading(every)])
    wanted = functional.cosine_similarity(state, answers) / 0.07
    torch.testing.assert_close(model.scores(worlds.batch_of([numbers]))[0], wanted, rtol=1e-3, atol=1e-3)


@torch.no_grad()
@pytest.mark.parametrize("negatives", [0, 12])
def test_the_loss_asks_every_position_for_all_that_came_later(backbone: Path, negatives: int) -> None:
    model = made(backbone, horizon=3, decay=0.5, smoothing=0.2, negatives=negatives)
    batch = worlds.training_batch_of([[3, 10, 2, 7, 22], [7, 22, 8]])
    assert batch.targets is not None
    assert batch.target_mask is not None
    rows = [[model.user_vectors(worlds.batch_of([row[: n + 1]]))[0] for n in range(4)] for row in batch.items.tolist()]
    queries = torch.stack([torch.stack(row) for row in rows])
    parts, items = shares(batch.target_mask, 3, 0.5), model.item_vectors()
    torch.manual_seed(5)
    found = model.loss(batch).total
    torch.manual_seed(5)
    if negatives:
        weights = worlds.tiny_items().counts + 1
        place = torch.rand(negatives, dtype=torch.float64) * weights.sum()
        numbers = torch.searchsorted(weights.double().cumsum(0), place, right=True)
        drawn = numbers, (weights[numbers] * negatives / weights.sum()).log().float()
        wanted = dense_sampled(queries, items, batch.targets, parts, drawn)
    else:
        wanted = dense_softmax(queries, items, batch.targets, parts, smoothing=0.2)
    torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-4)


@torch.no_grad()
def test_two_items_of_one_text_are_one_to_it_as_it_knows_no_ids(backbone: Path) -> None:
    items = worlds.tiny_items()
    texts = ("black mirror", "black mirror", *items.texts[2:])
    model = made(backbone, replace(items, texts=texts))
    vectors = model.item_vectors()
    assert torch.equal(vectors[0], vectors[1])
    assert not torch.allclose(vectors[0], vectors[2], atol=1e-2)
    scores = model.scores(worlds.batch_of([[0], [1]]))
    torch.testing.assert_close(scores[0], scores[1])


@torch.no_grad()
def test_a_query_in_words_is_read_as_an_item_of_these_words(backbone: Path) -> None:
    model = made(backbone)
    text = worlds.tiny_items().texts[4]
    batch = worlds.batch_of([[4]])
    torch.testing.assert_close(model.text_vectors((text,)), model.user_vectors(batch), rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(model.described((text,))[0], model.item_vectors()[4], rtol=1e-4, atol=1e-4)


def test_it_learns_what_follows_what(backbone: Path) -> None:
    assert worlds.right_successors(made(backbone, width=32, horizon=1, smoothing=0.0), steps=60) >= 25


def test_heads_that_do_not_divide_the_width_are_refused() -> None:
    with pytest.raises(SettingError, match=r"heads 3 do not divide width 16\. Set heads to a divisor of it"):
        validated(Config, {"width": 16, "heads": 3}, "model")
