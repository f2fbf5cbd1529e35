"""Vectors kept for the next model: it ranks as with its own, and what tells two batches apart."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from l2rec.config import EvaluationSettings
from l2rec.models import Retriever
from l2rec.run import plan
from l2rec.run.record import ranked
from l2rec.run.vectors import Vectors, _name
from l2rec.types import Batch
from tests.models.conftest import backbone  # noqa: F401  (the fixture)
from tests.models.llm.little import SMALL
from tests.run.taking import COUNTED, asked_for
from tests.trained import SASREC, World


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


@pytest.mark.parametrize("name", ["sasrec", "l2rec"])
def test_every_weight_ranks_as_a_model_that_reads_for_itself(
    world: World,
    backbone: Path,  # noqa: F811
    name: str,
) -> None:
    small = {"name": "l2rec", "backbone": str(backbone), **SMALL}
    model: dict[str, Any] = SASREC | {"words": True} if name == "sasrec" else small
    vectors, settings = Vectors(), EvaluationSettings(batch_size=7)
    for weight in (2.0, 0.0, 40.0):
        asked = asked_for(world, model | {"transition_weight": weight, "transition": COUNTED})
        run = plan(asked, "cpu")
        assert isinstance(run.model, Retriever)
        if run.model.third is not None:
            run.model.third.count(run.prepared.train)
        run.model.eval()
        cases = run.prepared.cases("validation")
        own, kept = ranked(run.model, cases, settings), ranked(run.model, cases, settings, vectors)
        assert torch.equal(kept.above, own.above)
        assert torch.equal(kept.list_scores, own.list_scores)
