"""A search spends its budget on ordinary trainings, sees validation alone, and goes on after a kill as if unhurt."""

import json
import os
import signal
import subprocess
import sys
import time
import tomllib
from dataclasses import replace
from pathlib import Path
from typing import Any

import optuna
import pytest

from l2rec.config import RunSettings, to_toml, validated
from l2rec.data.prepared import Prepared
from l2rec.errors import DivergedError, InterruptedRunError, MissingExtraError, RunError, SettingError
from l2rec.run import Options, settings_of, study, train
from l2rec.run import search as searching
from l2rec.run.search import Order, search
from l2rec.run.searched import Budget
from l2rec.types import Cases
from tests.trained import SASREC, TRAINING, World

SPACE = {
    "model.dropout": {"low": 0.0, "high": 0.5},
    "model.width": {"choices": [8, 16]},
    "training.learning_rate": {"low": 1e-3, "high": 0.1, "log": True},
}


def order(world: World, place: Path, budget: Budget, model: dict[str, Any] = SASREC, **more: Any) -> Order:
    """A search on the little world, in `place/search`."""
    values = {
        "data": str(world.prepared),
        "model": model,
        "training": TRAINING | {"epochs": 3, "checkpoint_every": 2},
        "tuning": {"trials": 9, "method": "hand"},
        "search": {"declared": False, "space": SPACE},
    }
    place.mkdir(exist_ok=True)
    (place / "config.toml").write_text(to_toml(values | more), encoding="utf-8")
    return Order(place / "config.toml", place / "search", budget, options=Options(device="cpu"))


def resumed(before: Order) -> Order:
    return replace(before, options=replace(before.options, resume=True))


def told(asked: Order) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((asked.folder / "search.json").read_text())
    return found


def but_times(asked: Order) -> list[dict[str, Any]]:
    return [{name: value for name, value in trial.items() if name != "seconds"} for trial in told(asked)["trials"]]


@pytest.fixture(autouse=True)
def _the_test_part_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    opened = Prepared.cases

    def cases(self: Prepared, part: str) -> Cases:
        assert part == "validation", "a search looks at the validation part alone"
        return opened(self, part)

    monkeypatch.setattr(Prepared, "cases", cases)


def test_the_best_trial_becomes_a_file_that_trains_to_the_same_validation(world: World, tmp_path: Path) -> None:
    asked = order(world, tmp_path, Budget(trials=3))
    found = search(asked)
    assert [trial.number for trial in found.trials] == [1, 2, 3]
    assert found.best.value == max(trial.value or 0 for trial in found.trials)
    best = tomllib.loads((asked.folder / "best.toml").read_text())
    assert best["model"]["width"] == found.best.settings["model.width"]
    assert best["training"]["epochs"] == 3, "what is not searched stays"
    assert "search" not in best
    settings = settings_of(asked.folder / "best.toml")
    assert (settings.tuning.budget, settings.tuning.method) == ((3, None), "search")
    assert settings.tuning.spent == ("9 trials by hand", "3 trials"), "what the file brought along counts"
    assert settings.tuning.space["model.width"] == (8, 16)
    assert settings.tuning.space["training.learning_rate"] == (1e-3, 0.1)
    run = train(settings, tmp_path / "run", Options(device="cpu"))
    validations = [json.loads(line).get("metrics", {}) for line in (run.path / "log.jsonl").read_text().splitlines()]
    assert max(metrics.get("ndcg@10", 0) for metrics in validations) == found.best.value
    assert told(asked)["spent"]["trials"] == 3
    assert told(asked)["finished"]
    assert sum(trial["seconds"] for trial in told(asked)["trials"]) == pytest.approx(told(asked)["spent"]["seconds"])
    assert not list(asked.folder.rglob("results.json"))


def test_the_first_trial_takes_what_the_file_says_as_far_as_it_lies_in_the_space(world: World, tmp_path: Path) -> None:
    space = {
        "model.dropout": {"low": 0.05, "high": 0.25, "step": 0.1},  # the file's .1 is no step of it
        "model.smoothing": {"low": 0.2, "high": 0.3},  # its 0 is below
        "model.width": {"choices": [16, 32]},
        "training.learning_rate": {"low": 1e-4, "high": 0.1, "log": True},
    }
    asked = order(world, tmp_path, Budget(trials=2), search={"declared": False, "space": space})
    first, second = (trial.settings for trial in search(asked).trials)
    assert (first["model.width"], first["training.learning_rate"]) == (16, 0.01)
    assert first["model.dropout"] in (0.05, 0.15000000000000002, 0.15, 0.25)
    assert 0.2 <= float(first["model.smoothing"]) <= 0.3
    assert second != first


def killed_at(asked: Order, number: int) -> int:
    """Searches in a process of its own that kills itself in the given validation; returns its exit code."""
    code = f"""
import os, signal
from pathlib import Path
import torch
from l2rec.run import pipeline, search
from l2rec.run.searched import Budget
torch.set_num_threads(1)
left, ranked = [{number}], pipeline.validation
def validation(*given):
    left[0] -= 1
    if left[0] < 0:
        os.kill(os.getpid(), signal.SIGKILL)
    return ranked(*given)
pipeline.validation = validation
options = pipeline.Options(device="cpu", resume=True)
search.search(search.Order(Path({str(asked.config)!r}), Path({str(asked.folder)!r}), Budget(trials=3), options=options))
"""
    return subprocess.run([sys.executable, "-c", code], check=False, capture_output=True).returncode


def test_a_search_that_is_killed_twice_finds_what_an_uninterrupted_one_finds(world: World, tmp_path: Path) -> None:
    whole, hurt = (order(world, tmp_path / name, Budget(trials=3)) for name in ("whole", "hurt"))
    search(whole)
    assert killed_at(hurt, 4) == -signal.SIGKILL, "in the second validation of the second trial"
    assert [trial["state"] for trial in told(hurt)["trials"]] == ["complete"]
    with pytest.raises(RunError, match=r"holds a search already. Pass --resume to go on with it"):
        search(hurt)
    assert killed_at(hurt, 3) == -signal.SIGKILL, "in the third trial"
    found = search(resumed(hurt))
    assert but_times(hurt) == but_times(whole)
    assert len(found.trials) == 3
    assert len(list((hurt.folder / "trials").iterdir())) == 3
    assert not list(hurt.folder.rglob("last"))
    log = [json.loads(line) for line in (hurt.folder / "trials/002/log.jsonl").read_text().splitlines()]
    assert [line["epoch"] for line in log if "metrics" in line] == [1, 2, 3], "it went on from its checkpoint"


@pytest.mark.parametrize("death", ["before", "after"])
def test_a_death_in_the_first_proposal_does_not_lose_what_the_file_says(
    death: str, world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = order(world, tmp_path, Budget(trials=1))
    ask = optuna.Study.ask

    def dying(self: optuna.Study, *given: Any) -> optuna.Trial:
        if death == "after":
            ask(self, *given)
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(optuna.Study, "ask", dying)
        with pytest.raises(InterruptedRunError):
            search(asked)
    [trial] = search(resumed(asked)).trials
    assert (trial.settings["model.width"], trial.settings["model.dropout"]) == (16, 0.1)
    assert trial.settings["training.learning_rate"] == 0.01


def test_a_resume_takes_more_but_nothing_else_and_what_is_finished_as_it_is(world: World, tmp_path: Path) -> None:
    asked = order(world, tmp_path, Budget(trials=1))
    search(asked)
    before = but_times(asked)
    search(resumed(asked))
    assert but_times(asked) == before
    search(replace(resumed(asked), budget=Budget(trials=2)))
    assert but_times(asked)[0] == before[0]
    assert told(asked)["spent"]["trials"] == 2
    for budget in (Budget(trials=1), Budget(seconds=100.0)):
        with pytest.raises(RunError, match=r"--trials was 2 and now is (1|None): a budget only grows"):
            search(replace(resumed(asked), budget=budget))
    for changed, said in (("model.layers=2", "model.layers was 1 and now is 2"), ("seed=1", "seed was 0 and now is 1")):
        with pytest.raises(RunError, match=said):
            search(replace(resumed(asked), budget=Budget(trials=2), overrides=(changed,)))
    with pytest.raises(RunError, match="pruning was True and now is False"):
        search(replace(resumed(asked), budget=Budget(trials=2), prune=False))


def test_seconds_end_the_search_and_are_what_is_told(world: World, tmp_path: Path) -> None:
    asked = order(world, tmp_path, Budget(seconds=0.5), training=TRAINING | {"epochs": 1000, "patience": 1000})
    began = time.perf_counter()
    found = search(asked)
    assert time.perf_counter() - began < 60
    assert len(found.trials) == 1, "it ended with an epoch, long before its last"
    assert found.best.seconds >= 0.5
    assert settings_of(asked.folder / "best.toml").tuning.budget == (None, 0.5), "the budget granted, not the overrun"
    assert settings_of(asked.folder / "best.toml").training.max_seconds is None


def test_counters_are_searched_too(world: World, tmp_path: Path) -> None:
    asked = order(world, tmp_path, Budget(trials=4, seconds=100.0), {"name": "itemknn"}, search={})
    found = search(asked)
    assert {name.split(".")[0] for name in found.best.settings} == {"model"}
    assert [trial.state for trial in found.trials] == ["complete"] * 4
    assert len({trial.value for trial in found.trials}) > 1
    assert settings_of(asked.folder / "best.toml").tuning.budget == (4, 100.0)


def test_a_trial_that_cannot_be_trained_counts_and_the_search_goes_on(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def diverging(settings: RunSettings, folder: Path, options: Options) -> Any:
        if folder.name == "001":
            raise DivergedError("step 1: loss nan. Lower training.learning_rate.")
        return train(settings, folder, options)

    monkeypatch.setattr(searching, "train", diverging)
    asked = order(world, tmp_path, Budget(trials=2))
    found = search(asked)
    assert [trial.state for trial in found.trials] == ["failed", "complete"]
    assert found.trials[0].why == "step 1: loss nan. Lower training.learning_rate."
    assert found.best.number == 2
    alone = order(world, tmp_path / "alone", Budget(trials=1))
    with pytest.raises(RunError, match=r"1 trials and none to choose: step 1: loss nan. Lower"):
        search(alone)


def test_what_is_hopeless_is_pruned_unless_asked_not_to(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trials = [0]

    def worse_each_time(model: Any, cases: Any, settings: Any) -> dict[str, float]:
        trials[0] += 1
        return {"ndcg@10": 1 / trials[0]}

    monkeypatch.setattr("l2rec.run.pipeline.validation", worse_each_time)
    more = {"training": TRAINING | {"epochs": 4, "batch_size": 64}}
    pruned = search(order(world, tmp_path / "pruned", Budget(trials=6), **more))
    assert [trial.state for trial in pruned.trials] == ["complete"] * 4 + ["pruned"] * 2
    assert [len(trial.validations) for trial in pruned.trials] == [4, 4, 4, 4, 2, 2], "never at the first validation"
    assert all(trial.seconds > 0 for trial in pruned.trials)
    whole = search(replace(order(world, tmp_path / "whole", Budget(trials=6), **more), prune=False))
    assert {trial.state for trial in whole.trials} == {"complete"}


def test_an_interruption_is_told_and_gone_on_from(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = order(world, tmp_path, Budget(trials=1))
    with monkeypatch.context() as patched:

        def interrupted(*_: object) -> dict[str, float]:
            os.kill(os.getpid(), signal.SIGINT)
            return {"ndcg@10": 0.5}

        patched.setattr("l2rec.run.pipeline.validation", interrupted)
        with pytest.raises(
            InterruptedRunError, match=r"interrupted; nothing that was found is lost. Go on with the same"
        ):
            search(asked)
    found = search(resumed(asked))
    assert found.trials[0].validations[0] == 0.5
    assert len(found.trials[0].validations) == 3


def test_two_processes_do_not_search_in_one_folder(world: World, tmp_path: Path) -> None:
    asked = order(world, tmp_path, Budget(trials=1))
    with searching._alone(asked.folder), pytest.raises(RunError, match="another process searches in it"):
        search(asked)
    search(asked)


def test_what_cannot_be_searched_is_refused_before_anything_is_written(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = order(world, tmp_path, Budget())
    with pytest.raises(SettingError, match=r"--trials, --seconds: neither given. Pass one or both"):
        search(asked)
    with pytest.raises(SettingError, match=r"model.widht: no such setting"):
        search(replace(asked, budget=Budget(trials=1), overrides=("model.widht=3",)))
    with pytest.raises(SettingError, match=r'search.spcae: no such setting. Did you mean "space"'):
        search(replace(asked, budget=Budget(trials=1), overrides=("search.spcae={}",)))
    monkeypatch.setattr(study, "find_spec", lambda _: None)
    with pytest.raises(MissingExtraError, match=r'optuna: not installed. Run: pip install "l2rec\[search\]"'):
        search(replace(asked, budget=Budget(trials=1)))
    assert not asked.folder.exists()


def test_a_file_with_a_space_trains_as_one_without(world: World, tmp_path: Path) -> None:
    asked = order(world, tmp_path, Budget(trials=1))
    settings = settings_of(asked.config)
    assert settings == validated(RunSettings, settings.model_dump(), "")
    (tmp_path / "wrong.toml").write_text(asked.config.read_text().replace("declared", "declread"))
    with pytest.raises(SettingError, match=r'search.declread: no such setting. Did you mean "declared"'):
        settings_of(tmp_path / "wrong.toml")
