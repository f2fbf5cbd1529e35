"""A step's gradient is that of the mean over all its targets, however they are cut into batches."""

from pathlib import Path

import pytest
import torch

from l2rec.config import TrainingSettings
from l2rec.training.processes import Processes
from l2rec.training.step import Step
from l2rec.types import Batch, Loss
from tests.training.learner import Tiny, tiny
from tests.training.short import batches_of


def test_batches_that_are_accumulated_count_as_one(tmp_path: Path) -> None:
    whole, parts = tiny(dropout=0.0, drift=0.0), tiny(dropout=0.0, drift=0.0)
    batches = batches_of(whole, 0)
    rows = [batches[n] for n in range(2)]
    targets = sum(int(b.target_mask.sum()) for b in rows if b.target_mask is not None)
    losses = [whole.loss(b) for b in rows]
    mean = sum(loss.total * loss.weight for loss in losses) / targets
    torch.autograd.backward([mean])
    step = Step(Processes("cpu", tmp_path), parts, TrainingSettings(precision="fp32", clip_norm=1e9))
    taken = step(rows)
    assert taken.loss == pytest.approx(mean.item())
    assert taken.weight == targets
    for one, other in zip(whole.parameters(), parts.parameters(), strict=True):
        assert (one.grad is None) == (other.grad is None)
        if one.grad is not None:
            torch.testing.assert_close(one.grad, other.grad)


def test_a_loss_that_is_a_mean_over_other_positions_is_weighed_by_its_own_count(tmp_path: Path) -> None:
    class Sparse(Tiny):
        """Weighs its batches 1 and 3 whatever their targets."""

        weights = (1, 3)
        called = 0

        def loss(self, batch: Batch) -> Loss:
            self.called += 1
            loss = super().loss(batch)
            return Loss(loss.total, {}, self.weights[(self.called - 1) % 2])

    model = tiny(Sparse, dropout=0.0, drift=0.0)
    batches = [batches_of(model, 0)[n] for n in range(2)]
    taken = Step(Processes("cpu", tmp_path), model, TrainingSettings(precision="fp32", clip_norm=1e9))(batches)
    gradient = model.out.weight.grad
    assert gradient is not None
    found = gradient.clone()
    model.zero_grad()
    losses = [model.loss(batch).total for batch in batches]
    mean = 0.25 * losses[0] + 0.75 * losses[1]
    torch.autograd.backward([mean])
    assert taken.loss == pytest.approx(mean.item())
    torch.testing.assert_close(found, model.out.weight.grad)
