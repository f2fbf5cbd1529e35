"""Vectors kept for the next model: what tells two batches apart, and that only padding does not."""

from dataclasses import replace

import pytest
import torch

from l2rec.run.vectors import _name
from l2rec.types import Batch


@pytest.fixture
def batch() -> Batch:
    items = torch.tensor([[3, 1, 0], [2, 0, 0]])
    mask = torch.tensor([[True, True, False], [True, False, False]])
    return Batch(items, mask, items * 10, torch.tensor([[0.5], [1.0]]))


def test_what_stands_in_the_padding_makes_no_other_batch(batch: Batch) -> None:
    other = replace(batch, items=batch.items + ~batch.mask * 7, times=batch.times - ~batch.mask * 5)
    assert _name(other) == _name(batch)


@pytest.mark.parametrize(
    "change",
    [
        {"items": torch.tensor([[3, 2, 0], [2, 0, 0]])},
        {"mask": torch.tensor([[True, True, True], [True, False, False]])},
        {"times": torch.tensor([[30, 11, 0], [20, 0, 0]])},
        {"attributes": torch.tensor([[0.5], [1.5]])},
    ],
    ids=["items", "mask", "times", "attributes"],
)
def test_what_a_model_may_read_does(batch: Batch, change: dict[str, torch.Tensor]) -> None:
    assert _name(replace(batch, **change)) != _name(batch)
