"""The log says what happened, as objects, as curves, and only of what counts."""

import math
import os
import re
import sqlite3
import time
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
    for name, extra in {"tensorboard": "track", "wandb": "wandb", "mlflow": "mlflow"}.items():
        with pytest.raises(MissingExtraError, match=rf'^{name}: not installed\. Run: pip install "l2rec\[{extra}\]"$'):
            trained(tmp_path, tiny(), trackers=(name,))
    assert list(tmp_path.iterdir()) == []


def test_trackers_stay_in_the_run_folder_and_offline_unless_the_user_says_otherwise(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("WANDB_MODE", "MLFLOW_TRACKING_URI", "MLFLOW_DISABLE_TELEMETRY"):
        monkeypatch.delenv(name, raising=False)
    before = dict(os.environ)
    options = runlog._options(tmp_path)
    assert options["wandb"]["mode"] == "offline"
    assert options["wandb"]["dir"] == str(tmp_path)
    assert options["mlflow"]["logging_dir"].startswith(tmp_path.as_uri())
    with runlog._environment(runlog._at_home(tmp_path)):
        assert os.environ["MLFLOW_TRACKING_URI"] == f"sqlite:///{tmp_path}/mlflow.db"
        assert os.environ["MLFLOW_DISABLE_TELEMETRY"] == "true"
    assert dict(os.environ) == before
    monkeypatch.setenv("WANDB_MODE", "online")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "https://tracking.example")
    options = runlog._options(tmp_path)
    assert "mode" not in options["wandb"]
    assert options["mlflow"] == {}
    with runlog._environment(runlog._at_home(tmp_path)):
        assert os.environ["MLFLOW_TRACKING_URI"] == "https://tracking.example"
    assert os.environ["MLFLOW_TRACKING_URI"] == "https://tracking.example"


def test_names_become_what_mlflow_takes() -> None:
    assert runlog._plain("metrics/ndcg@10") == "metrics/ndcg_at_10"
    assert runlog._plain("parts/BPC (mean)") == "parts/BPC _mean_"


def alone(folder: Path, monkeypatch: pytest.MonkeyPatch, tracker: str) -> Path:
    """Trains below `folder` with an empty home and working directory; returns the run's trackers."""
    for name in [name for name in os.environ if name.startswith(("WANDB_", "MLFLOW_"))]:
        monkeypatch.delenv(name)
    for name in ("home", "here"):
        (folder / name).mkdir()
    monkeypatch.setenv("HOME", str(folder / "home"))
    monkeypatch.chdir(folder / "here")
    trained(folder / "run", tiny(), given([0.1, 0.3, 0.2]), trackers=(tracker,))
    assert list((folder / "home").rglob("*")) == list((folder / "here").rglob("*")) == []
    return folder / "run/trackers"


@pytest.mark.slow
@pytest.mark.filterwarnings("default")
def test_wandb_gets_the_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trackers = alone(tmp_path, monkeypatch, "wandb")
    (path,) = trackers.glob("wandb/offline-run-*/run-*.wandb")
    logged = [line["loss"] for line in lines(tmp_path / "run") if "loss" in line]
    until = time.monotonic() + 30  # W&B's own process writes the file's end after the training has gone on
    while len(values(path, b"\x04loss")) < len(logged) and time.monotonic() < until:
        time.sleep(0.1)
    assert values(path, b"metrics/ndcg@10") == pytest.approx([0.1, 0.3, 0.2])
    assert values(path, b"\x04loss") == pytest.approx(logged)


def values(path: Path, name: bytes) -> list[float]:
    """The different values of a name in W&B's file: the name, a tag, a byte with the length, the number as text."""
    found = path.read_bytes()
    ends = [match.end() for match in re.finditer(re.escape(name) + rb"\x82\x01", found)]
    return list(dict.fromkeys(float(found[end + 1 : end + 1 + found[end]]) for end in ends))


@pytest.mark.slow
@pytest.mark.filterwarnings("default")
def test_mlflow_gets_the_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trackers = alone(tmp_path, monkeypatch, "mlflow")
    with sqlite3.connect(trackers / "mlflow.db") as store:
        query = "select value from metrics where key = ? order by step"
        ndcg, loss = ([value for (value,) in store.execute(query, (name,))] for name in ("metrics/ndcg_at_10", "loss"))
    store.close()
    assert ndcg == pytest.approx([0.1, 0.3, 0.2])
    assert loss == pytest.approx([line["loss"] for line in lines(tmp_path / "run") if "loss" in line])
