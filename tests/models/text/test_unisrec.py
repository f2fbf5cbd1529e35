"""What UniSRec alone promises: its contrasts against their formulas, its stages, and items that are text alone."""

import math
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from l2rec.config import validated
from l2rec.errors import SettingError
from l2rec.models.text.unisrec import Config, Model, without_words
from l2rec.types import Items
from tests import worlds

SEQUENCES = [[3, 10, 2, 7, 22], [7, 22, 8], [1, 4, 13, 11, 29], [6, 10, 8]]
SMALL = {"history": 8, "width": 16, "layers": 1, "inner": 8, "dtype": "float32", "item_tokens": 8, "dropped": 0.4}
TEMPERATURE = 0.07


def small(backbone: Path, **settings: object) -> Model:
    """Far from its first values, and without chance other than that of the altered copies."""
    torch.manual_seed(0)
    config = validated(Config, SMALL | {"backbone": str(backbone), "smoothing": 0.0} | settings, "model")
    model = Model(config, worlds.tiny_items()).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.add_(0.2 * torch.randn_like(parameter))
    return model


def read(model: Model, vectors: Tensor) -> Tensor:
    """The states of one sequence of item vectors, each of length one."""
    placed = vectors + model.positions.weight[: len(vectors)]
    states = model.network(functional.layer_norm(placed, (16,), model.norm.weight, model.norm.bias).unsqueeze(0))
    return functional.normalize(states[0], dim=-1)


def contrast(queries: list[Tensor], keys: list[Tensor], nexts: list[int]) -> float:
    """The mean of `-log exp(cosine / tau) / sum exp(cosine / tau)`; what has the same next item is no negative."""
    losses = []
    for row, query in enumerate(queries):
        rivals = [key for n, key in enumerate(keys) if n == row or nexts[n] != nexts[row]]
        marks = [math.exp(float(functional.cosine_similarity(query, key, 0)) / TEMPERATURE) for key in rivals]
        own = math.exp(float(functional.cosine_similarity(query, keys[row], 0)) / TEMPERATURE)
        losses.append(-math.log(own / sum(marks)))
    return sum(losses) / len(losses)


@pytest.mark.parametrize("share", [1.0, 0.0, 0.5])
@torch.no_grad()
def test_the_preparation_is_two_contrasts_of_texts_alone(backbone: Path, share: float) -> None:
    """Chance is drawn in this order: what is lost, then whether a row loses events or words."""
    model = small(backbone, item_drop_share=share, sequence_weight=0.5)
    model.begin(0)
    torch.manual_seed(4)
    loss = model.loss(worlds.training_batch_of(SEQUENCES))
    torch.manual_seed(4)
    lost, by_events = torch.rand(4, 4) < 0.4, torch.rand(4, 1) < share
    texts = worlds.tiny_items().texts
    text = model.whitening(model.text)
    worn = model.whitening(small(backbone)._pooled(without_words(texts, 0.4)))
    queries: list[Tensor] = []
    items: list[Tensor] = []
    nexts: list[int] = []
    copies = []
    for row, sequence in enumerate(SEQUENCES):
        seen = sequence[:-1]
        queries += read(model, text[seen])
        items += text[sequence[1:]]
        nexts += sequence[1:]
        gone = lost[row].tolist()
        if by_events[row]:
            vectors = [text[item] for n, item in enumerate(seen) if n == 0 or not gone[n]]
        else:
            vectors = [worn[item] if gone[n] else text[item] for n, item in enumerate(seen)]
        copies.append(read(model, torch.stack(vectors))[-1])
    last = [read(model, text[sequence[:-1]])[-1] for sequence in SEQUENCES]
    ends = [sequence[-1] for sequence in SEQUENCES]
    assert len(set(nexts)) < len(nexts)
    assert len(set(ends)) < len(ends)
    expected = {"items": contrast(queries, items, nexts), "sequences": 0.5 * contrast(last, copies, ends)}
    assert loss.parts == pytest.approx(expected, rel=1e-4)
    assert loss.total.item() == pytest.approx(sum(expected.values()), rel=1e-4)


@pytest.mark.parametrize("items", ["transductive", "inductive"])
def test_afterwards_the_loss_is_the_cross_entropy_of_its_own_scores(backbone: Path, items: str) -> None:
    model = small(backbone, items=items, smoothing=0.2)
    prefixes = [s[:end] for s in SEQUENCES for end in range(1, len(s))]
    targets = torch.tensor([s[end] for s in SEQUENCES for end in range(1, len(s))])
    expected = functional.cross_entropy(model.scores(worlds.batch_of(prefixes)), targets, label_smoothing=0.2)
    torch.testing.assert_close(model.loss(worlds.training_batch_of(SEQUENCES)).total, expected)


@torch.no_grad()
def test_the_scores_are_cosines_of_states_and_items_over_the_temperature(backbone: Path) -> None:
    model = small(backbone)
    assert model.ids is not None
    vectors = model.whitening(model.text)
    vectors[:29] += model.ids.weight[:29]
    expected = read(model, vectors[[3, 29, 2]])[-1] @ functional.normalize(vectors, dim=-1).T / TEMPERATURE
    torch.testing.assert_close(model.scores(worlds.batch_of([[3, 29, 2]]))[0], expected, rtol=1e-4, atol=1e-5)


def test_the_first_epochs_prepare_on_texts_and_the_others_learn_ids_too(backbone: Path) -> None:
    model, batch = small(backbone, preparation=2), worlds.training_batch_of(SEQUENCES)
    stages = []
    for epoch in range(3):
        model.begin(epoch)
        model.zero_grad()
        loss = model.train().loss(batch)
        loss.total.backward()
        assert model.ids is not None
        stages.append((sorted(loss.parts), model.ids.weight.grad is not None))
    assert stages == [(["items", "sequences"], False)] * 2 + [(["retrieval"], True)]
    assert model.preparation == 2
    model.begin(1)
    heir = small(backbone, preparation=2)
    heir.load_state(model.state())
    assert "items" in heir.loss(batch).parts


@torch.no_grad()
def test_an_untrained_item_is_its_text_alone(backbone: Path) -> None:
    """Item 29 has no event, and what its row of the table holds is looked at by nobody."""
    model, texts = small(backbone), worlds.tiny_items().texts
    described = model.described(texts)
    same = (model.item_vectors() - described).abs().amax(1) < 1e-5
    assert same.nonzero().flatten().tolist() == [29]
    inductive = small(backbone, items="inductive")
    torch.testing.assert_close(inductive.item_vectors(), inductive.described(texts))
    assert not any("ids" in name for name in inductive.state())


@torch.no_grad()
def test_an_item_that_comes_later_is_found_and_read_as_its_text(backbone: Path) -> None:
    model, text = small(backbone), ("black mirror 7",)
    model.put_items([30], Items(text, text, ((),), torch.tensor([5])))
    torch.testing.assert_close(model.item_vectors()[30:], model.described(text))
    torch.testing.assert_close(model.user_vectors(worlds.batch_of([[30]])), model.text_vectors(text))
    assert not torch.allclose(model.text_vectors(text), model.described(text) / TEMPERATURE, atol=0.1)


def test_the_frozen_backbone_is_no_part_of_what_was_learnt(backbone: Path) -> None:
    model = small(backbone)
    assert not any(name.startswith(("backbone", "text")) for name in model.state())


def test_words_are_left_out_alike_every_time_and_one_stays() -> None:
    text = " ".join(f"w{n}" for n in range(2000))
    found = without_words((text, "alone", ""), 0.3)
    assert found == without_words((text, "alone", ""), 0.3)
    words = found[0].split(" ")
    assert words == sorted(words, key=lambda word: int(word[1:])), "their order stays"
    assert len(words) == pytest.approx(1400, abs=60)
    assert without_words(("alone", "", "a b"), 0.999) == ("alone", "", "a")


def test_heads_that_do_not_divide_the_width_are_refused() -> None:
    with pytest.raises(SettingError, match=r"heads 3 do not divide width 16\. Set heads to a divisor of it"):
        validated(Config, {"width": 16, "heads": 3}, "model")
