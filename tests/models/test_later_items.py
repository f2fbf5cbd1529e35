"""What a model that grows owes: an item that comes later is what it would have been in the catalogue, untrained.

The catalogue's mean, which centres the texts, is the one thing that a later item does not move. Here the later items
are a second copy of the texts, so that a catalogue with them has the same mean.
"""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from l2rec.models import Growing, Learner, Retriever, find, names
from l2rec.types import Items
from tests import worlds
from tests.models.llm.little import FORMS
from tests.models.test_every_model import small_settings

VARIANTS: dict[str, dict[str, Any]] = {"usual": {}, **FORMS}
THIRD = {"transition_weight": 2.0, "transition": {"attribute_weight": 0.0, "title_weight": 0.0}}
HISTORIES = [[3, 10, 2], [34, 7], [7, 33], [59], []]
"""Items from 30 on came later."""

every_growing_model = pytest.mark.parametrize("name", [n for n in names() if issubclass(find(n).model, Growing)])
every_variant = pytest.mark.parametrize("variant", VARIANTS)


def catalogue(copies: int, trained: bool = True) -> Items:
    """The thirty items, once or twice; the second time without an event."""
    items = worlds.tiny_items()
    counts = torch.cat((items.counts * int(trained), torch.zeros(30 * (copies - 1), dtype=torch.long)))
    return Items(items.texts * copies, items.titles * copies, items.attributes * copies, counts)


class GrowingRetriever(Retriever, Growing):
    """What the tests ask of a model that grows, as a type."""


def made(name: str, backbone: Path, items: Items, **more: Any) -> GrowingRetriever:
    torch.manual_seed(0)
    model: Any = find(name).model(small_settings(name, backbone, **(THIRD | more)), items, 0).eval()
    assert isinstance(model, Retriever)
    assert isinstance(model, Growing)
    if model.third is not None:
        model.third.count(worlds.tiny_histories())
    return model  # type: ignore[return-value]


@torch.enable_grad()
def steps(model: Learner) -> None:
    optimizer = torch.optim.AdamW((p for p in model.parameters() if p.requires_grad), lr=1e-2)
    for _ in range(3):
        optimizer.zero_grad()
        model.train().loss(worlds.training_batch_of([[3, 10, 2, 7, 22], [7, 22, 8], [1, 4, 13, 11]])).total.backward()
        optimizer.step()
    model.eval()


def with_the_weights_of(model: Retriever, other: Retriever) -> None:
    """Gives `model` the learnt weights of one of a smaller catalogue; rows of further items are junk."""
    own = {name: tensor for name, tensor in other.named_parameters() if tensor.requires_grad}
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name in own:
                parameter.fill_(9.0)[tuple(slice(size) for size in own[name].shape)] = own[name]


def later(model: GrowingRetriever, items: Items, numbers: list[int]) -> None:
    few = [tuple(column[n] for n in numbers) for column in (items.texts, items.titles, items.attributes)]
    model.put_items(numbers, Items(few[0], few[1], few[2], torch.zeros(len(numbers), dtype=torch.long)))


@every_growing_model
@every_variant
@torch.no_grad()
def test_an_item_that_comes_later_scores_as_in_a_catalogue_that_knew_it_untrained(
    name: str, variant: str, backbone: Path
) -> None:
    whole, model = catalogue(2), made(name, backbone, catalogue(1), **VARIANTS[variant])
    steps(model)
    knowing = made(name, backbone, whole, **VARIANTS[variant])
    with_the_weights_of(knowing, model)
    for numbers in (list(range(30, 41)), [41], list(range(42, 60))):
        later(model, whole, numbers)
    batch = worlds.batch_of(HISTORIES)
    found = model.scores(batch)
    assert found.shape == (5, 60)
    assert found[:, 30:].std(1).min() > 1e-3
    torch.testing.assert_close(found, knowing.scores(batch), rtol=1e-5, atol=1e-5 * float(found.abs().max()))
    assert torch.equal(model.token_counts, knowing.token_counts)
    assert model.item_count == 60


@every_growing_model
@torch.no_grad()
def test_where_the_item_side_is_adapted_a_later_text_is_read_by_the_adapted_backbone(name: str, backbone: Path) -> None:
    """No item has an event here, so that no ID tells the copies apart, and the model is refreshed once, at its end."""
    whole, adapted = catalogue(2, trained=False), {"item_side": "adapted", "refresh_every": 1}
    model = made(name, backbone, catalogue(1, trained=False), **adapted)
    knowing = made(name, backbone, whole, **adapted)
    frozen = knowing.item_vectors()
    for parameter in model.parameters():
        if parameter.requires_grad:
            parameter.add_(0.1 * torch.randn_like(parameter))
    with_the_weights_of(knowing, model)
    for one in (model, knowing):
        one.loss(worlds.training_batch_of([[3, 10]]))
    later(model, whole, list(range(30, 60)))
    torch.testing.assert_close(model.item_vectors(), knowing.item_vectors(), rtol=1e-5, atol=1e-5)
    assert not torch.allclose(frozen, knowing.item_vectors(), atol=1e-2)


@every_growing_model
@torch.no_grad()
def test_a_known_item_with_another_text_is_read_anew_and_keeps_what_was_learnt_of_it(name: str, backbone: Path) -> None:
    model = made(name, backbone, catalogue(1))
    steps(model)
    batch = worlds.batch_of([[3, 10, 2], [4], [4, 7]])
    vectors, scores = model.item_vectors().clone(), model.scores(batch)
    other = replace(catalogue(1), texts=("black mirror",) * 30)
    later(model, other, [4, 11])
    assert (model.item_vectors() != vectors).any(1).nonzero().flatten().tolist() == [4, 11]
    alike = torch.allclose(model.item_vectors()[4], model.item_vectors()[11], atol=1e-4)
    assert alike is not any(n.endswith("ids.weight") for n, _ in model.named_parameters()), (
        "where there are IDs, they stay"
    )
    assert (model.scores(batch)[1:, 20] - scores[1:, 20]).abs().min() > 1e-5
    later(model, catalogue(1), [11, 4])
    torch.testing.assert_close(model.scores(batch), scores, rtol=1e-5, atol=1e-5)


@every_growing_model
@torch.no_grad()
def test_some_vectors_are_rows_of_all_and_the_third_signal_gives_later_items_nothing(name: str, backbone: Path) -> None:
    model = made(name, backbone, catalogue(1))
    later(model, catalogue(2), [30, 31])
    some = torch.tensor([31, 3, 30])
    torch.testing.assert_close(model.some_vectors(some), model.item_vectors()[some])
    batch = worlds.batch_of([[3, 10], [30]])
    dots = model.user_vectors(batch) @ model.item_vectors().T
    added = model.scores(batch) - dots
    assert added[:, 30:].abs().max() < 1e-5
    assert added[0, :30].max() > 1e-2


@every_growing_model
def test_what_was_learnt_is_saved_alike_after_items_came(name: str, backbone: Path) -> None:
    model = made(name, backbone, catalogue(1))
    before = {key: tensor.clone() for key, tensor in model.state().items()}
    later(model, catalogue(2), [30, 31, 5])
    after = model.state()
    assert before.keys() == after.keys()
    assert all(torch.equal(before[key], after[key]) for key in before)
    model.put_items([], Items((), (), (), torch.zeros(0, dtype=torch.long)))
    assert model.item_count == 32
