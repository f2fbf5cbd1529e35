"""Runs on a share of the training users: the same users for all, known to nobody else, and kept on a resume."""

import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import torch

from l2rec.config import RunSettings, TrainingSettings
from l2rec.data.prepared import load
from l2rec.data.share import held_back, learnt_part
from l2rec.errors import RunError, SettingError
from l2rec.evaluation.leaderboard import caption
from l2rec.models import Learner
from l2rec.models._checkpoint import read_tensors
from l2rec.models.floors.popularity import Model as Popularity
from l2rec.run import Options, Run, plan, settings_of, train
from l2rec.run.tables import compared
from l2rec.serving.folder import RunFolder
from l2rec.types import Items
from tests.run.test_pipeline import unfinished
from tests.trained import SASREC, World, first, settings, write_config

THIRD = {**SASREC, "transition_weight": 1.0}


LESS = [TrainingSettings(share=0.3), TrainingSettings(held_back=1)]
less = pytest.mark.parametrize("cut", LESS, ids=["share", "held_back"])


def with_share(chosen: RunSettings, share: float) -> RunSettings:
    return with_less(chosen, TrainingSettings(share=share))


def with_less(chosen: RunSettings, cut: TrainingSettings) -> RunSettings:
    told = {"share": cut.share, "held_back": cut.held_back}
    return chosen.model_copy(update={"training": chosen.training.model_copy(update=told)})


def seen(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What reaches a counter, a learner and its third signal."""
    found: dict[str, Any] = {}
    monkeypatch.setattr(Popularity, "count", lambda self, train: found.update(counted=train))

    def fit(model: Learner, train: object, *rest: object) -> None:
        found.update(learnt=train, items=model)
        raise KeyboardInterrupt

    monkeypatch.setattr("l2rec.run.pipeline.fit", fit)
    return found


@less
def test_a_counter_and_a_learner_see_the_same_part(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cut: TrainingSettings
) -> None:
    found = seen(monkeypatch)
    train(with_less(settings(world, {"name": "popularity"}), cut), tmp_path / "counter")
    with pytest.raises(KeyboardInterrupt):
        train(with_less(settings(world, THIRD), cut), tmp_path / "learner")
    expected = learnt_part(load(world.prepared), cut, 0).train
    assert 0 < len(expected.items) < len(load(world.prepared).train.items)
    for part in (found["counted"], found["learnt"]):
        assert torch.equal(part.items, expected.items)
        assert torch.equal(part.offsets, expected.offsets)


@less
def test_what_is_counted_beside_a_learner_comes_from_that_part_alone(
    world: World, tmp_path: Path, cut: TrainingSettings
) -> None:
    chosen = with_less(settings(world, THIRD), cut)
    run = train(chosen, tmp_path / "run", Options(device="cpu"))
    part = learnt_part(load(world.prepared), cut, 0)
    alone = plan(chosen).model
    assert isinstance(alone, Learner)
    assert alone.third is not None
    alone.third.count(part.train)
    kept = run.folder.model(part.items, torch.device("cpu"))
    assert isinstance(kept, Learner)
    assert kept.third is not None
    for name, tensor in alone.third.state().items():
        assert torch.equal(tensor, kept.third.state()[name])
    counts = pl.read_parquet(run.path / "ids" / "items.parquet")["count"].to_list()
    assert counts == part.items.counts.tolist() == run.folder.catalogue()[0].counts.tolist()


def test_all_users_are_asked_and_a_table_says_the_share(world: World, tmp_path: Path) -> None:
    run = train(with_share(settings(world, {"name": "popularity"}), 0.1), tmp_path / "tenth")
    results, whole = run.evaluate(), Run.open(world.popularity).evaluate()
    assert (results.cases, results.origin.share) == (whole.cases, 0.1)
    assert {n: s.cases for n, s in results.slices.items()} == {n: s.cases for n, s in whole.slices.items()}
    assert json.loads((run.path / "manifest.json").read_text())["settings"]["training"]["share"] == 0.1
    assert caption(compared([run.path, world.popularity])).endswith("Trained on a share of the users: tenth 0.1.")


def test_a_table_names_a_row_that_events_were_held_back_from(world: World, tmp_path: Path) -> None:
    cut = with_less(settings(world, {"name": "popularity"}), TrainingSettings(held_back=1))
    run = train(cut, tmp_path / "cut")
    run.evaluate()
    counts = pl.read_parquet(run.path / "ids" / "items.parquet")["count"].to_list()
    assert counts == held_back(load(world.prepared), 1).items.counts.tolist()
    Run.open(world.popularity).evaluate()
    assert caption(compared([run.path, world.popularity])).endswith(
        "Trained without the last events of each user: cut 1."
    )


@less
def test_a_model_that_is_measured_knows_the_counts_of_its_part_alone(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cut: TrainingSettings
) -> None:
    run = train(with_less(settings(world, {"name": "popularity"}), cut), tmp_path / "part")
    given: list[Items] = []
    whole = RunFolder.model
    monkeypatch.setattr(RunFolder, "model", lambda self, items, *rest: given.append(items) or whole(self, items, *rest))
    run.evaluate("validation")
    assert torch.equal(given[0].counts, learnt_part(load(world.prepared), cut, 0).items.counts)
    assert not torch.equal(given[0].counts, load(world.prepared).items.counts)


def test_the_whole_share_changes_no_bit(world: World, tmp_path: Path) -> None:
    """The other run's file does not know the setting, as one of an earlier l2rec."""
    path = write_config(tmp_path / "little.toml", settings(world, SASREC))
    path.write_text(path.read_text().replace("share = 1.0\n", ""))
    one = train(path, tmp_path / "one", Options(device="cpu"))
    two = train(settings_of(path, ["training.share=1.0"]), tmp_path / "two", Options(device="cpu"))
    for name in ("weights.safetensors",):
        before, after, world_s = (read_tensors(p / name) for p in (one.path, two.path, first(world.sasrec).path))
        assert all(torch.equal(before[n], after[n]) and torch.equal(before[n], world_s[n]) for n in before)
    for name in ("ids/items.parquet", "ids/users.parquet"):
        assert (one.path / name).read_bytes() == (world.prepared / Path(name).name).read_bytes()


def test_a_run_goes_on_with_its_own_share_alone(world: World, tmp_path: Path) -> None:
    copy = unfinished(first(world.sasrec).path, tmp_path / "copy")
    told = json.loads((copy / "manifest.json").read_text())
    del told["settings"]["training"]["share"]
    (copy / "manifest.json").write_text(json.dumps(told))
    with pytest.raises(RunError, match=r"training\.share was 1\.0 and now is 0\.3\. Go on with the run's own"):
        train(with_share(settings(world, SASREC), 0.3), copy, Options(resume=True))
    assert train(settings(world, SASREC), copy, Options(resume=True, device="cpu")).manifest.finished


@pytest.mark.parametrize("share", ["0", "-0.1", "1.01"])
def test_a_share_is_above_nothing_and_not_above_all(share: str, world: World, tmp_path: Path) -> None:
    path = write_config(tmp_path / "little.toml", settings(world, SASREC))
    with pytest.raises(
        SettingError, match=rf"training\.share: {float(share):.4g}.*Change it with --set training\.share"
    ):
        settings_of(path, [f"training.share={float(share)}"])
