"""The model reads on: the same vectors as `user_vectors`, whoever comes together, and no other's beginning."""

from pathlib import Path

import pytest
import torch
from torch import Tensor

from l2rec.models import PrefixReader
from l2rec.models.llm._resume import Resuming
from l2rec.models.llm.l2rec import Model
from tests import worlds
from tests.models.llm.little import SEQUENCES, made, steps


@pytest.fixture(scope="module")
def model(backbone: Path) -> Model:
    trained = made(backbone, attributes=2)
    steps(trained, 3, batch=worlds.training_batch_of(SEQUENCES, attributes=2))
    trained.eval()
    return trained


def attributes_of(count: int) -> Tensor:
    return torch.randn(count, 2, generator=torch.Generator().manual_seed(2))


@torch.no_grad()
def expected(model: Model, histories: list[list[int]], attributes: Tensor) -> Tensor:
    batch = worlds.batch_of(histories, attributes=2)
    batch.attributes.copy_(attributes)
    return model.user_vectors(batch)


def test_l2rec_is_a_model_that_reads_on() -> None:
    assert issubclass(Model, Resuming)
    assert issubclass(Model, PrefixReader)


def test_users_of_every_state_are_answered_together_as_by_the_full_pass(model: Model) -> None:
    """One grew by two, one by one, one did not grow, one is new, one has no history at all."""
    before = [[3, 10], [7, 22, 8, 1], [5, 6], [], []]
    after = [[3, 10, 2, 7], [7, 22, 8, 1, 3], [5, 6], [9, 9, 9], []]
    own = attributes_of(5)
    vectors, prefixes = model.read_on([None] * 5, before, own)
    torch.testing.assert_close(vectors, expected(model, before, own), rtol=1e-4, atol=1e-4)
    assert [None if p is None else list(p.items) for p in prefixes] == [*before[:3], None, None]
    again, longer = model.read_on(prefixes, after, own)
    torch.testing.assert_close(again, expected(model, after, own), rtol=1e-4, atol=1e-4)
    assert [None if p is None else list(p.items) for p in longer] == [*after[:4], None]
    assert longer[2] is prefixes[2]
    assert torch.equal(again[2], vectors[2])
    assert not again.requires_grad


def test_a_prefix_of_another_history_or_user_is_refused(model: Model) -> None:
    own = attributes_of(2)
    _, prefixes = model.read_on([None], [[3, 10]], own[:1])
    for history, attributes in (([10, 3, 2], own[:1]), ([3], own[:1]), ([3, 10, 2], own[1:])):
        with pytest.raises(ValueError, match=r"prefix 0: not how its history or its attributes begin\. Pass None"):
            model.read_on(prefixes, [history], attributes)


def test_a_history_longer_than_the_window_is_refused(model: Model) -> None:
    _, prefixes = model.read_on([None], [list(range(8))], attributes_of(1))
    with pytest.raises(ValueError, match=r"history 0: 9 items: over 8\. Pass the newest 8\."):
        model.read_on(prefixes, [list(range(9))], attributes_of(1))


@pytest.mark.parametrize("more", [{"integration": "input"}, {"integration": "output"}, {"dtype": "bfloat16"}], ids=str)
def test_every_integration_and_rough_numbers_read_on(backbone: Path, more: dict[str, str]) -> None:
    other = made(backbone, attributes=2, **more)
    steps(other, 3, batch=worlds.training_batch_of(SEQUENCES, attributes=2))
    other.eval()
    own, tolerance = attributes_of(1), 0.05 if "dtype" in more else 1e-4
    _, prefixes = other.read_on([None], [[3, 10, 2]], own)
    vectors, _ = other.read_on(prefixes, [[3, 10, 2, 7]], own)
    torch.testing.assert_close(vectors, expected(other, [[3, 10, 2, 7]], own), rtol=tolerance, atol=tolerance)
