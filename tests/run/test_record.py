"""A trained run: measured once, labelled by its folder, asked for lists."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest
import torch

from l2rec.errors import RunError
from l2rec.evaluation.ranking import Rankings
from l2rec.run import Run, runs_in
from l2rec.run import record as records
from l2rec.run.record import ranked, validation
from tests.trained import World, first, pinned_again


@pytest.fixture
def popularity(world: World, tmp_path: Path) -> Path:
    """A copy that a test may change."""
    return Path(shutil.copytree(world.popularity, tmp_path / "popularity"))


def test_the_test_part_is_ranked_once(popularity: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = Run.open(popularity)
    remembered = run.evaluate()

    def refuse(*arguments: object) -> Rankings:
        raise AssertionError("ranked")

    monkeypatch.setattr(records, "ranked", refuse)
    assert run.evaluate() == remembered
    with pytest.raises(AssertionError, match="ranked"):
        run.evaluate(again=True)
    with pytest.raises(AssertionError, match="ranked"):
        run.evaluate("validation", again=True)


def test_validating_leaves_the_test_results_alone(popularity: Path) -> None:
    before = (popularity / "results.json").read_text()
    results = Run.open(popularity).evaluate("validation")
    assert results.origin.part == "validation"
    assert (popularity / "results.json").read_text() == before


def test_the_kept_values_give_the_means(world: World) -> None:
    measured = first(world.sasrec).measured()
    frame = pl.read_parquet(world.sasrec / "seed-0" / "ranks.parquet")
    assert len(frame) == measured.results.cases == 40
    assert measured.results.metrics["ndcg@10"].mean == pytest.approx(frame["ndcg@10"].mean())
    below = measured.results.metrics["ndcg@10"]
    assert below.low <= below.mean <= below.high


def test_what_training_reached_is_what_evaluation_finds_on_the_validation_part(world: World) -> None:
    run = first(world.sasrec)
    lines = [json.loads(line) for line in (run.path / "log.jsonl").read_text().splitlines()]
    best = max(line["metrics"]["ndcg@10"] for line in lines if "metrics" in line)
    assert run.evaluate("validation").metrics["ndcg@10"].mean == pytest.approx(best)


def test_the_learner_beats_the_floor_on_a_world_with_an_order(world: World) -> None:
    learnt = first(world.sasrec).evaluate().metrics["ndcg@10"].mean
    counted = Run.open(world.popularity).evaluate().metrics["ndcg@10"].mean
    assert learnt > counted


def test_a_run_is_labelled_by_its_folder(world: World, tmp_path: Path) -> None:
    assert first(world.sasrec).label == "sasrec"
    moved = Path(shutil.copytree(world.popularity, tmp_path / "what everybody buys"))
    assert Run.open(moved).measured().results.origin.label == "what everybody buys"


def test_floors_and_published_rivals_are_baselines(world: World) -> None:
    for run in (Run.open(world.popularity), first(world.sasrec)):
        assert run.measured().results.origin.baseline


@pytest.mark.parametrize(("model", "is_one"), [("unisrec", True), ("ilora", True), ("l2rec", False)])
def test_every_model_but_l2rec_is_a_baseline_whatever_was_written(model: str, is_one: bool, world: World) -> None:
    run = first(world.sasrec)
    manifest = run.manifest.model_copy(update={"model": model})
    assert replace(run, folder=replace(run.folder, manifest=manifest)).measured().results.origin.baseline is is_one


def test_seeds_of_one_model_share_the_fingerprint_of_their_settings(world: World) -> None:
    one, two = (run.measured().results.origin for run in runs_in(world.sasrec))
    assert (one.seed, two.seed) == (0, 1)
    assert one.settings == two.settings != Run.open(world.popularity).measured().results.origin.settings


@pytest.mark.parametrize(
    ("group", "name", "value", "moves"),
    [
        ("training", "checkpoint_every", 7, False),
        ("training", "trackers", ["tensorboard"], False),
        ("evaluation", "batch_size", 3, False),
        ("training", "unknown_to_an_earlier_version", None, False),
        ("training", "learning_rate", 0.5, True),
        ("model", "width", 12, True),
        ("evaluation", "mask_seen", False, True),
    ],
)
def test_only_settings_that_move_a_number_make_seeds_unlike(
    group: str, name: str, value: object, moves: bool, world: World
) -> None:
    run = first(world.sasrec)
    settings = run.manifest.settings
    other = {**settings, "data": "elsewhere", group: {**settings[group], name: value}}
    folder = replace(run.folder, manifest=run.manifest.model_copy(update={"settings": other}))
    after = replace(run, folder=folder).measured().results.origin.settings
    assert (after != run.measured().results.origin.settings) is moves


def test_a_validation_asks_for_ndcg_at_ten_whatever_the_cutoffs(world: World) -> None:
    run = first(world.sasrec)
    data = run.folder.data()
    model = run.folder.model(data.items, torch.device("cpu"))
    settings = run.settings.evaluation.model_copy(update={"cutoffs": (3,)})
    assert {"ndcg@3", "ndcg@10"} <= validation(model, data.cases("validation"), settings).keys()  # type: ignore[arg-type]


def test_item_vectors_made_once_rank_like_scores(world: World) -> None:
    run = first(world.sasrec)
    data = run.folder.data()
    model = run.folder.model(data.items, torch.device("cpu"))
    rankings = ranked(model, data.cases("test"), run.settings.evaluation)
    case = data.cases("test")
    history = case.histories.sequence(3).tolist()
    scores = run.recommender.scores(history)
    scores[[n for n in history if n != int(case.targets[3])]] = -torch.inf
    assert int((scores > scores[case.targets[3]]).sum()) == int(rankings.above[3])


@pytest.mark.parametrize("name", ["results.json", "ranks.parquet"])
def test_damaged_results_are_refused_with_the_way_out(name: str, popularity: Path) -> None:
    (popularity / name).write_text("{")
    with pytest.raises(RunError, match=r"its results are damaged\. Run: l2rec evaluate .*popularity --again"):
        Run.open(popularity).measured()
    Run.open(popularity).evaluate(again=True)
    Run.open(popularity).measured()


def test_a_run_without_results_says_how_to_get_them(popularity: Path) -> None:
    (popularity / "results.json").unlink()
    with pytest.raises(RunError, match=r"popularity: not evaluated yet\. Run: l2rec evaluate"):
        Run.open(popularity).measured()


def test_a_folder_without_a_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"no run in this folder \(manifest\.json is missing\)\. Train one"):
        runs_in(tmp_path)


def test_seeds_come_in_the_order_of_their_numbers(world: World, tmp_path: Path) -> None:
    for seed in (2, 10):
        shutil.copytree(world.popularity, tmp_path / f"seed-{seed}")
    assert [run.path.name for run in runs_in(tmp_path)] == ["seed-2", "seed-10"]


def test_a_run_says_how_its_settings_were_chosen(popularity: Path) -> None:
    before = Run.open(popularity).measured().results.origin
    told = (popularity / "config.toml").read_text().replace("[tuning.space]", "[tuning]\ntrials = 7")
    (popularity / "config.toml").write_text(told)
    manifest = json.loads((popularity / "manifest.json").read_text())
    manifest["settings"]["tuning"]["trials"] = 7
    (popularity / "manifest.json").write_text(json.dumps(manifest))
    run = Run.open(pinned_again(popularity))
    assert run.measured().results.origin.tuning.trials == 7, "as the folder says it now"
    again = run.evaluate(again=True).origin
    assert (
        again.tuning.trials == json.loads((popularity / "results.json").read_text())["origin"]["tuning"]["trials"] == 7
    )
    assert again.settings == before.settings, "it decides nothing"
