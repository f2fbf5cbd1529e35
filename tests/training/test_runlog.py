"""The log says what happened, as objects, as curves, and only of what counts."""

import math
from pathlib import Path

import pytest
import torch

from l2rec.data.batches import TrainingBatches
from l2rec.errors import MissingExtraError, SettingError
from l2rec.training import runlog
from l2rec.types import Batch, Loss
from tests.training.learner import Tiny, tiny
from tests.training.short import batches_of, given, lines, trained
from tests.worlds import tiny_histories


def test_every_line_of_the_log_says_what_happened(tmp_path: Path) -> None:
    model = tiny()
    fitted = trained(tmp_path, model, learning_rate=0.01)
    found = lines(tmp_path)
    steps = [line for line in found if "loss" in line]
    ends = {sum(len(batches_of(model, e)) for e in range(epoch + 1)) for epoch in range(3)}
    expected = sorted(ends | {n for n in range(1, fitted.steps + 1) if n % runlog.EVERY == 0})
    assert [line["step"] for line in steps] == expected
    for line in steps:
        assert 0 < line["lr"] <= 0.01
        assert line["parts"]["retrieval"] == pytest.approx(line["loss"])
        assert line["grad_norm"] > 0
        assert 0 <= line["padding"] < 1
        assert line["readings"]["drift"] > 0
        assert line["sequences_per_second"] > 0
        assert line["tokens_per_second"] > line["sequences_per_second"]
    validations = [line for line in found if "metrics" in line]
    assert [line["epoch"] for line in validations] == [1, 2, 3]
    assert [line["seconds"] for line in found] == sorted(line["seconds"] for line in found)
    assert fitted.seconds == pytest.approx(found[-1]["seconds"])
    assert 0 < fitted.seconds_per_epoch * 3 < fitted.seconds


def test_the_logged_loss_and_padding_are_means_over_targets_and_positions(tmp_path: Path) -> None:
    model = tiny(dropout=0.0)
    model.token_counts = torch.arange(30) % 4 + 1
    trained(tmp_path, model, given([1.0]), epochs=1, learning_rate=1e-12, batch_size=16)
    first = lines(tmp_path)[0]
    fresh = tiny(dropout=0.0)
    batches = list(
        TrainingBatches(
            histories=tiny_histories(), length=8, batch_size=16, token_counts=model.token_counts, seed=0, epoch=0
        )
    )
    losses = [fresh.loss(batch) for batch in batches]
    mean = sum(loss.total.item() * loss.weight for loss in losses) / sum(loss.weight for loss in losses)
    tokens, room = 0, 0
    for batch in batches:
        pairs = zip(batch.items, batch.mask, strict=True)
        rows = [sum(int(model.token_counts[item]) for item in items[mask]) for items, mask in pairs]
        tokens, room = tokens + sum(rows), room + len(rows) * max(rows)
    assert first["step"] == len(batches)
    assert first["loss"] == pytest.approx(mean, rel=1e-6)
    assert first["padding"] == pytest.approx(1 - tokens / room)


def test_readings_begin_anew_after_each_line(tmp_path: Path) -> None:
    class Odd(Tiny):
        def loss(self, batch: Batch) -> Loss:
            self.readings["odd"] = math.nan
            return super().loss(batch)

    model = tiny(Odd)
    fitted = trained(tmp_path, model)
    steps = [line for line in lines(tmp_path) if "loss" in line]
    assert sum(line["readings"]["losses"] for line in steps) == fitted.steps
    assert max(line["readings"]["losses"] for line in steps) <= runlog.EVERY
    assert {line["readings"]["odd"] for line in steps} == {None}


def test_trackers_get_the_log(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    trained(tmp_path, tiny(), given([0.1, 0.3, 0.2]), trackers=("tensorboard",))
    (folder,) = {path.parent for path in (tmp_path / "trackers/l2rec").glob("events*")}
    events = EventAccumulator(str(folder)).Reload()
    ndcg = [event.value for event in events.Scalars("metrics/ndcg@10")]
    assert ndcg == pytest.approx([0.1, 0.3, 0.2])
    logged = [line["loss"] for line in lines(tmp_path) if "loss" in line]
    assert [event.value for event in events.Scalars("loss")] == pytest.approx(logged)
    assert [event.step for event in events.Scalars("parts/retrieval")][-1] == lines(tmp_path)[-1]["step"]


def test_a_tracker_that_is_unknown_or_not_installed_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(
        SettingError, match=r'training\.trackers: "abacus": no such tracker\. Known: tensorboard, wandb, mlflow\.'
    ):
        trained(tmp_path, tiny(), trackers=("abacus",))
    monkeypatch.setattr(runlog, "find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r'tensorboard: not installed\. Run: pip install "l2rec\[track\]"'):
        trained(tmp_path, tiny(), trackers=("tensorboard",))
    assert list(tmp_path.iterdir()) == []
