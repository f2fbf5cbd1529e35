"""The check finds what a training would stumble over, and leaves no trace."""

import math
from pathlib import Path
from typing import Any

import pytest
import torch

from l2rec.config import TrainingSettings
from l2rec.errors import MissingExtraError, RunError
from l2rec.training import runlog
from l2rec.training.check import Checked, check
from l2rec.training.loop import Occasion
from l2rec.types import Batch, Loss
from tests.training.learner import Tiny, Validation, tiny
from tests.training.short import batches_of, trained
from tests.worlds import tiny_histories


def checked(folder: Path, model: Tiny, **settings: Any) -> Checked:
    chosen = TrainingSettings.model_validate({"batch_size": 8, "epochs": 4, "precision": "fp32", **settings})
    return check(model, tiny_histories(), chosen, Occasion(folder, 0, Validation(), device="cpu"))


def test_the_check_says_what_a_training_would_be(tmp_path: Path) -> None:
    model = tiny()
    found = checked(tmp_path, model, accumulate=2)
    batches = batches_of(model, 0)
    assert (found.device, found.processes) == ("cpu", 1)
    assert found.trainable == 30 * 8 + 8 * 8 + 8 + 3
    assert found.frozen == 8 * 8
    assert found.steps_per_epoch == math.ceil(len(batches) / 2)
    assert found.steps == 4 * found.steps_per_epoch
    assert found.padding == batches.padding_share()
    assert found.loss == pytest.approx(math.log(30), rel=0.5)
    assert found.forward_seconds > 0
    learnt = 4 * found.trainable
    weights = learnt + 4 * found.frozen + 4 * 8
    expected = {"weights": weights, "gradients": learnt, "optimizer": 2 * learnt}
    assert {name: size for name, size in found.memory.items() if name != "activations"} == expected


def test_the_activations_are_those_that_backward_needs() -> None:
    class Wide(Tiny):
        """Needs one tensor of a thousand numbers again, twice, and makes others that it does not need."""

        def loss(self, batch: Batch) -> Loss:
            needed = self.out.bias.sum() + torch.zeros(1000)
            not_needed = (needed + torch.zeros(1000)).sum()
            return Loss((needed * needed).sum() + not_needed, {}, int(batch.mask.sum()))

    found = checked(Path("unwritten"), tiny(Wide))
    assert found.memory["activations"] == 4 * 1000


def test_the_check_changes_neither_model_nor_folder(tmp_path: Path) -> None:
    model = tiny()
    before = {name: tensor.clone() for name, tensor in model.state().items()}
    checked(tmp_path, model)
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state().items())
    assert model.readings == {}
    assert list(tmp_path.iterdir()) == []


def test_the_check_refuses_what_the_training_would_refuse(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Broken(Tiny):
        def loss(self, batch: Batch) -> Loss:
            return Loss(super().loss(batch).total * math.inf, {}, 1)

    with pytest.raises(RunError, match=r"first loss: inf: expected a finite number\. Look at the model's settings"):
        checked(tmp_path, tiny(Broken))
    trained(tmp_path, tiny(), epochs=1)
    with pytest.raises(RunError, match=r"holds a trained run already"):
        checked(tmp_path, tiny())
    monkeypatch.setattr(runlog, "find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r'pip install "l2rec\[wandb\]"'):
        checked(tmp_path / "other", tiny(), trackers=("wandb",))
