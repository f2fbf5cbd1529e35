"""A run that was killed and resumed ends as the uninterrupted one: weights bit for bit, the log line for line."""

import json
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from l2rec.config import TrainingSettings
from l2rec.errors import RunError
from l2rec.training.checkpoint import Checkpoints
from l2rec.training.loop import Occasion, fit
from tests.training.learner import Validation, tiny
from tests.worlds import tiny_histories

TRAINING = {
    "epochs": 5,
    "batch_size": 8,
    "checkpoint_every": 3,
    "learning_rate": 0.03,
    "patience": 2,
    "precision": "fp32",
}
LOSSES = 36
"""Losses of an uninterrupted run with `TRAINING`, at least."""
CHANGES = 150
"""Changes of files in it, at least."""
KILLED = -9


def run_scenarios(scenarios: list[dict[str, Any]]) -> list[list[int]]:
    """Returns the exit codes of every process of every scenario."""
    command = [sys.executable, "-m", "tests.training.jobs"]
    done = subprocess.run(command, input=json.dumps(scenarios), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    codes: list[list[int]] = json.loads(done.stdout)
    assert all(code in (0, KILLED) for each in codes for code in each), done.stderr
    return codes


def lines_but_times(folder: Path) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    timed = {"seconds", "sequences_per_second", "tokens_per_second"}
    return [{name: value for name, value in line.items() if name not in timed} for line in lines]


def everything_but_times(folder: Path) -> dict[str, Any]:
    """What a run leaves behind: bytes of tensors, JSON without the clock."""
    found: dict[str, Any] = {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*.safetensors")}
    (course_file,) = folder.glob("last/*/course.json")
    course = json.loads(course_file.read_text())["course"]
    course = {k: v for k, v in course.items() if k not in ("seconds", "training_seconds", "log_bytes")}
    course["sums"].pop("seconds", None)
    # What the job itself was writing when it was killed after the training is none of the training's.
    names = sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if not p.name.startswith(".returned"))
    fitted = json.loads((folder / "fitted.json").read_text())
    return found | {"course": course, "log": lines_but_times(folder), "names": names, "fitted": fitted}


def trained(tmp_path: Path, kills: list[list[Any]], **training: Any) -> tuple[list[list[int]], list[dict[str, Any]]]:
    """Runs one scenario without a kill and one per list of kills; returns exit codes and what was left behind."""
    settings = TRAINING | training
    folders = [tmp_path / f"run{n}" for n in range(len(kills) + 1)]
    pairs = zip(folders, [[], *kills], strict=True)
    codes = run_scenarios([{"folder": str(folder), "training": settings, "kills": each} for folder, each in pairs])
    return codes, [everything_but_times(folder) for folder in folders]


def refuse_any_difference(whole: dict[str, Any], others: list[dict[str, Any]]) -> None:
    for other in others:
        assert other.keys() == whole.keys()
        for name, value in whole.items():
            assert other[name] == value, name


def test_a_run_killed_at_random_moments_ends_as_the_uninterrupted_one(tmp_path: Path) -> None:
    chance = random.Random(1)
    steps = [[["loss", chance.randrange(LOSSES)]] for _ in range(3)]
    files = [[["file", chance.randrange(CHANGES)]] for _ in range(4)]
    again = [[["loss", 4], ["file", 9], ["loss", 11], ["file", 30], ["loss", 2]]]
    codes, left = trained(tmp_path, steps + files + again)
    assert codes[1:] == [*[[KILLED, 0]] * 7, [*[KILLED] * 5, 0]]
    refuse_any_difference(left[0], left[1:])


def test_an_accumulating_run_in_bf16_that_was_killed_ends_as_the_uninterrupted_one(tmp_path: Path) -> None:
    kills = [[["loss", 7], ["loss", 5], ["loss", 9]]]
    codes, left = trained(tmp_path, kills, accumulate=3, precision="bf16", checkpoint_every=2, epochs=6)
    assert codes == [[0], [KILLED, KILLED, KILLED, 0]]
    refuse_any_difference(left[0], left[1:])


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize(("kind", "most"), [("loss", 40), ("file", 160)])
def test_a_run_killed_anywhere_at_all_ends_as_the_uninterrupted_one(tmp_path: Path, kind: str, most: int) -> None:
    everywhere = [[[kind, n]] for n in range(most)]
    codes, left = trained(tmp_path, everywhere, epochs=3, checkpoint_every=5)
    assert codes[1] == [KILLED, 0]
    assert codes[-1] == [0, 0]  # so many there are not: the ones before were all
    refuse_any_difference(left[0], left[1:])


def short(folder: Path, resume: bool, seed: int = 0, model: dict[str, Any] | None = None, **training: Any) -> None:
    settings = TrainingSettings.model_validate({"epochs": 1, "batch_size": 16, **training})
    fit(tiny(**(model or {})), tiny_histories(), settings, Occasion(folder, seed, Validation(), resume, device="cpu"))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"learning_rate": 0.5},
            r"training\.learning_rate: 0\.5, but the checkpoint .* was trained with 0\.001\. Resume",
        ),
        ({"epochs": 2}, r"training\.epochs: 2, but .* with 1\."),
        ({"seed": 3}, r"seed: 3, but .* with 0\."),
        ({"model": {"width": 16}}, r"model\.width: 16, but .* with 8\."),
    ],
)
def test_a_resume_with_another_setting_is_refused(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    short(tmp_path, resume=False)
    with pytest.raises(RunError, match=message):
        short(tmp_path, resume=True, **change)


def test_a_resume_in_another_arithmetic_is_refused_where_nobody_named_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("l2rec.nn.arithmetic.has_bf16", lambda _: True)
    short(tmp_path, resume=False)
    monkeypatch.setattr("l2rec.nn.arithmetic.has_bf16", lambda _: False)
    with pytest.raises(RunError, match=r"training\.precision: fp32, but .* was trained with bf16\."):
        short(tmp_path, resume=True)
    short(tmp_path, resume=True, precision="bf16")


def test_a_resume_on_other_data_is_refused(tmp_path: Path) -> None:
    short(tmp_path, resume=False)
    settings = TrainingSettings(epochs=1, batch_size=16)
    occasion = Occasion(tmp_path, 0, Validation(), resume=True, device="cpu")
    with pytest.raises(
        RunError, match=r"training part: 40 sequences, .* was trained with 40 sequences, .* Resume with"
    ):
        fit(tiny(), tiny_histories(seed=5), settings, occasion)


def test_a_resume_may_change_what_moves_no_weight(tmp_path: Path) -> None:
    short(tmp_path, resume=False)
    before = (tmp_path / "weights.safetensors").read_bytes()
    short(tmp_path, resume=True, checkpoint_every=7, max_seconds=100.0)
    assert (tmp_path / "weights.safetensors").read_bytes() == before


def test_a_resume_without_a_checkpoint_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"last: holds no checkpoint to resume\. Start the run without --resume\."):
        short(tmp_path, resume=True)


def test_a_new_run_in_the_folder_of_another_is_refused(tmp_path: Path) -> None:
    short(tmp_path, resume=False)
    with pytest.raises(RunError, match=r"holds a trained run already\. Pass --resume, or choose another folder\."):
        short(tmp_path, resume=False)


def test_a_checkpoint_of_another_format_or_without_its_course_is_refused(tmp_path: Path) -> None:
    short(tmp_path, resume=False)
    place = Checkpoints(tmp_path / "last").newest()
    assert place is not None
    text = (place / "course.json").read_text()
    (place / "course.json").write_text(text.replace('"format": 1', '"format": 9'))
    with pytest.raises(RunError, match=r"course\.json: format 9, this version reads 1\. Resume with the version"):
        short(tmp_path, resume=True)
    (place / "course.json").write_text(text[:40])
    with pytest.raises(RunError, match=r"course\.json: .* Restore a copy, or train again in a new folder\."):
        short(tmp_path, resume=True)


def test_a_changed_optimizer_file_is_refused(tmp_path: Path) -> None:
    short(tmp_path, resume=False)
    (path,) = tmp_path.glob("last/*/optimizer.safetensors")
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(bytes(content))
    with pytest.raises(RunError, match=r"optimizer\.safetensors: checksum"):
        short(tmp_path, resume=True)


def test_a_run_that_used_up_its_time_goes_on_when_it_is_given_more(tmp_path: Path) -> None:
    settings = TrainingSettings(epochs=3, batch_size=16, max_seconds=1e-6)
    occasion = Occasion(tmp_path, 0, Validation(), device="cpu")
    first = fit(tiny(), tiny_histories(), settings, occasion)
    assert (first.stopped, first.best_epoch) == ("seconds", 1)
    more = settings.model_copy(update={"max_seconds": 1000.0})
    second = fit(tiny(), tiny_histories(), more, Occasion(tmp_path, 0, Validation(), resume=True, device="cpu"))
    assert second.stopped == "epochs"
    assert second.steps == 3 * first.steps
