"""A model that learns in stages is told of every epoch, and is not judged before it can rank."""

from pathlib import Path

import pytest
import torch

from l2rec.errors import SettingError
from tests.training.learner import Tiny, Validation, tiny
from tests.training.short import given, lines, trained


class Staged(Tiny):
    """Begins every epoch with a jolt that hangs on its weights, on chance and on the epoch."""

    def begin(self, epoch: int) -> None:
        with torch.no_grad():
            self.drift.copy_(self.item.weight.mean(0) * epoch + 0.1 * torch.rand(self.drift.shape))
        self.begun = [*self.__dict__.get("begun", []), epoch]


class StoppedError(Exception):
    """What a test raises in the middle of a training."""


def test_every_epoch_is_begun_once_and_before_its_first_batch(tmp_path: Path) -> None:
    model = tiny(Staged)
    trained(tmp_path, model)
    assert model.begun == [0, 1, 2]


def test_a_resume_begins_no_epoch_twice_and_ends_with_the_same_bits(tmp_path: Path) -> None:
    whole, first, second = tiny(Staged), tiny(Staged), tiny(Staged)
    trained(tmp_path / "whole", whole)
    seen = []

    def fails_in_the_second_epoch(model: Tiny) -> dict[str, float]:
        seen.append(model)
        if len(seen) == 2:
            raise StoppedError
        return Validation()(model)

    with pytest.raises(StoppedError):
        trained(tmp_path / "parts", first, fails_in_the_second_epoch, checkpoint_every=2)
    trained(tmp_path / "parts", second, resume=True, checkpoint_every=2)
    assert (first.begun, second.begun) == ([0, 1], [2])
    for name, tensor in whole.state().items():
        assert torch.equal(second.state()[name], tensor), name


def test_epochs_of_preparation_are_not_validated(tmp_path: Path) -> None:
    model = tiny()
    model.preparation = 2
    fitted = trained(tmp_path, model, given([0.5, 0.4]), epochs=4)
    assert [line["epoch"] for line in lines(tmp_path) if "metrics" in line] == [3, 4]
    assert fitted.best_epoch == 3


def test_a_run_that_would_only_prepare_is_refused(tmp_path: Path) -> None:
    model = tiny()
    model.preparation = 3
    with pytest.raises(SettingError, match=r"training\.epochs: 3: the model prepares for 3 epochs.*above 3"):
        trained(tmp_path, model, epochs=3)


def test_the_learning_rate_runs_its_course_in_the_preparation_and_again_after_it(tmp_path: Path) -> None:
    apart, both = tiny(), tiny()
    both.preparation = 2
    trained(tmp_path / "apart", apart, epochs=2, warmup_share=0.2)
    trained(tmp_path / "both", both, epochs=4, warmup_share=0.2)
    ends = {line["epoch"]: line["lr"] for line in lines(tmp_path / "both") if "lr" in line}
    first = {line["epoch"]: line["lr"] for line in lines(tmp_path / "apart") if "lr" in line}
    assert ends[1] == first[1]
    assert ends[3] == pytest.approx(first[1], rel=0.1)
    assert max(ends[2], ends[4]) < 0.02 * first[1]
