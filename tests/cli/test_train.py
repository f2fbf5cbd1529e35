"""`l2rec train`, `evaluate` and `compare`: from a TOML file to a table."""

import json
import re
import shutil
from pathlib import Path

import pytest

from tests.cli.conftest import Call
from tests.trained import SASREC, World, settings, write_config


@pytest.fixture
def config(world: World, tmp_path: Path) -> Path:
    """The settings of a little SASRec."""
    return write_config(tmp_path / "little.toml", settings(world, SASREC))


def test_the_run_folder_goes_to_stdout_and_words_to_stderr(
    config: Path, tmp_path: Path, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    said = call("train", config, "--set", "model.name=popularity", "--set", "training.epochs=1")
    assert said.code == 2, "settings of another model are refused"
    assert "model.width: no such setting" in said.err
    said = call("train", config, "--set", "training.epochs=1", "--device", "cpu")
    assert said.code == 0, said.err
    assert said.out == "runs/little\n"
    assert "Next: l2rec evaluate runs/little" in said.err
    assert json.loads((tmp_path / "runs/little/manifest.json").read_text())["settings"]["training"]["epochs"] == 1


def test_several_seeds_are_several_runs_of_one_model(config: Path, tmp_path: Path, call: Call, world: World) -> None:
    out = tmp_path / "runs"
    said = call("train", config, "--seeds", "0,1", "--set", "training.epochs=1", "--out", out, "--json")
    assert [run["seed"] for run in said.json()] == [0, 1]
    assert call("evaluate", out).code == 0
    said = call("compare", out, world.popularity, "--out", tmp_path / "report.html", "--json")
    rows = {row["origin"]["label"]: row for row in said.json()["rows"]}
    assert rows["runs"]["seeds"] == [0, 1]
    assert (tmp_path / "report.html").is_file()


@pytest.mark.parametrize("seeds", ["0,0", "a", "1,", "-1"])
def test_seeds_are_different_whole_numbers(seeds: str, config: Path, call: Call) -> None:
    said = call("train", config, f"--seeds={seeds}")
    assert said.code == 2
    assert f"--seeds {seeds}: expected different whole numbers with commas between" in said.err


def test_check_stops_before_the_first_step(config: Path, tmp_path: Path, call: Call) -> None:
    said = call("train", config, "--check", "--out", tmp_path / "run", "--device", "cpu")
    assert said.code == 0, said.err
    assert re.search(r"^steps an epoch +\d+$", said.out, re.MULTILINE)
    assert not (tmp_path / "run").exists()
    assert call("train", config, "--check", "--json", "--device", "cpu").json()["users"] == 40


def test_the_weights_of_a_run_are_taken_for_another_third_signal(
    world: World, config: Path, tmp_path: Path, call: Call
) -> None:
    words = ("train", config, "--set", "model.transition_weight=2.0", "--from", world.sasrec, "--seeds", "0,1")
    words = (*words, "--out", tmp_path / "run", "--device", "cpu")
    said = call(*words, "--check", "--json")
    assert said.json()["weights of"] == str(world.sasrec / "seed-0")
    assert not (tmp_path / "run").exists()
    said = call(*words)
    assert said.code == 0, said.err
    assert said.out.splitlines() == [str(tmp_path / "run" / f"seed-{seed}") for seed in (0, 1)]
    assert f"sasrec: seed 1, weights of {world.sasrec / 'seed-1'}. Next: l2rec evaluate" in said.err
    assert call(*words, "--resume").out == said.out
    assert call("evaluate", tmp_path / "run").code == 0
    assert call("recommend", tmp_path / "run" / "seed-0", "--user", "u1").code == 0


def test_weights_of_another_training_are_one_line(world: World, config: Path, tmp_path: Path, call: Call) -> None:
    source = world.sasrec / "seed-0"
    said = call("train", config, "--set", "model.width=32", "--from", source, "--out", tmp_path / "run")
    assert said.code == 2
    assert f"{source}: model.width was 16 and now is 32. --from takes a run that differs in the third" in said.err
    assert said.err.count("\n") == 1
    assert not (tmp_path / "run").exists()


def test_a_run_goes_on_from_its_own_config(world: World, call: Call) -> None:
    run = world.sasrec / "seed-0"
    said = call("train", run / "config.toml", "--out", run)
    assert said.code == 2
    assert "holds a run already. Pass --resume" in said.err
    assert call("train", run / "config.toml", "--out", run, "--resume").out == f"{run}\n"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--set", "model.widht=3"], 'model.widht: no such setting. Did you mean "width"?'),
        (["--set", "training.epochs=0"], "training.epochs: 0: input should be greater than or equal to 1"),
        (["--set", "seed"], "--set seed: expected name=value"),
        (["--device", "abacus"], "--device abacus: not usable here"),
        (["--set", "data=nowhere"], "nowhere: not a prepared folder"),
    ],
)
def test_a_wrong_setting_is_one_line(words: list[str], message: str, config: Path, tmp_path: Path, call: Call) -> None:
    said = call("train", config, "--out", tmp_path / "run", *words)
    assert said.code == 2
    assert message in said.err
    assert said.err.count("\n") == 1
    assert not (tmp_path / "run").exists()


def test_each_number_stands_beside_its_interval_and_protocol(world: World, call: Call) -> None:
    said = call("evaluate", world.popularity)
    lines = said.out.splitlines()
    assert lines[0].split() == ["metric", "mean", "95", "%", "interval", "protocol"]
    assert re.fullmatch(r"ndcg@10 +\.\d{4} +\[\.\d{4}, \.\d{4}\] +loo/full/unseen/expected-ties/@5,10,20", lines[5])
    assert "Report: " in said.err
    assert (world.popularity / "report.html").is_file()
    [told] = call("evaluate", world.popularity, "--json").json()
    assert told["metrics"]["ndcg@10"]["low"] <= told["metrics"]["ndcg@10"]["mean"]


def test_several_seeds_are_also_told_as_one_row(world: World, call: Call) -> None:
    assert " ± " in call("evaluate", world.sasrec).out


def test_the_validation_part_is_asked_by_name(world: World, call: Call) -> None:
    [told] = call("evaluate", world.popularity, "--part", "validation", "--json").json()
    assert told["origin"]["part"] == "validation"
    assert (
        "--part training: expected test or validation" in call("evaluate", world.popularity, "--part", "training").err
    )


def test_the_table_has_the_test_and_the_verdict(world: World, tmp_path: Path, call: Call) -> None:
    said = call("compare", world.popularity, world.sasrec, "--out", tmp_path / "report.html")
    assert said.code == 0, said.err
    assert "loo/full/unseen/expected-ties/@5,10,20. 40 users." in said.out
    row = next(line for line in said.out.splitlines() if line.startswith("popularity"))
    assert row.split()[-1] in {"worse", "shown"}
    said = call("compare", world.popularity, world.sasrec, "--metric", "ndcg@7", "--out", tmp_path / "b.html")
    assert said.code == 2
    assert 'metric: "ndcg@7": not measured' in said.err
    assert "no run in this folder" in call("compare", tmp_path).err


def test_unequal_budgets_need_the_word_labelled(world: World, tmp_path: Path, call: Call) -> None:
    tuned = Path(shutil.copytree(world.popularity, tmp_path / "tuned"))
    told = (tuned / "config.toml").read_text().replace("[tuning.space]", "[tuning]\ntrials = 3")
    (tuned / "config.toml").write_text(told)
    words = ("compare", tuned, world.sasrec, "--out", tmp_path / "report.html")
    said = call(*words)
    assert said.code == 2
    assert "tuning: 3 trials (tuned) and not said (sasrec): unequal budgets, " in said.err
    assert said.err.count("\n") == 1
    assert not (tmp_path / "report.html").exists()
    said = call(*words, "--labelled")
    assert said.code == 0, said.err
    sentence = "Tuning budgets are unequal: tuned 3 trials; not said: sasrec."
    assert sentence in said.out.splitlines()
    assert sentence in (tmp_path / "report.html").read_text(encoding="utf-8")
    rows = {row["origin"]["label"]: row for row in call(*words, "--labelled", "--json").json()["rows"]}
    assert rows["tuned"]["tunings"][0]["trials"] == rows["tuned"]["origin"]["tuning"]["trials"] == 3
    assert call("evaluate", tuned).code == 0


def test_rows_that_say_nothing_are_compared_and_it_is_said(world: World, tmp_path: Path, call: Call) -> None:
    said = call("compare", world.popularity, world.sasrec, "--out", tmp_path / "report.html")
    assert "Tuning budget of every row: not said." in said.out.splitlines()


def test_unlike_parts_stand_beside_each_other_where_labelled(world: World, tmp_path: Path, call: Call) -> None:
    other = Path(shutil.copytree(world.popularity, tmp_path / "other"))
    told = json.loads((other / "results.json").read_text())
    told["origin"]["protocol"] = "temporal-last/full/unseen/expected-ties/@5,10,20"
    (other / "results.json").write_text(json.dumps(told))
    words = ("compare", other, world.sasrec, "--out", tmp_path / "report.html")
    assert "not comparable. Evaluate both alike, or pass --labelled." in call(*words).err
    assert "temporal-last/full" in call(*words, "--labelled").out


def test_a_place_that_cannot_be_read_or_written_is_one_line(
    world: World, config: Path, tmp_path: Path, call: Call
) -> None:
    (tmp_path / "file").write_text("")
    below = tmp_path / "file" / "run"
    for words, message in (
        (["train", tmp_path], f"{tmp_path}: cannot be read: Is a directory."),
        (["train", config, "--out", below], f"{below}: cannot be written: Not a directory. Choose another place with"),
        (["compare", world.popularity, "--out", below], f"{below}: cannot be written: "),
    ):
        said = call(*words)
        assert said.code == 2
        assert message in said.err
        assert said.err.count("\n") == 1


def test_a_backbone_without_files_is_one_line(world: World, tmp_path: Path, call: Call) -> None:
    (tmp_path / "empty").mkdir()
    chosen = settings(world, {"name": "l2rec", "backbone": str(tmp_path / "empty")})
    said = call("train", write_config(tmp_path / "empty.toml", chosen), "--out", tmp_path / "run", "--device", "cpu")
    assert said.code == 2
    assert f'model.backbone: "{tmp_path / "empty"}": cannot be loaded' in said.err
    assert said.err.count("\n") == 1
    assert not (tmp_path / "run").exists()


def test_a_run_without_10_among_its_cutoffs_is_measured_at_10_too(config: Path, tmp_path: Path, call: Call) -> None:
    chosen = ["--set", "evaluation.cutoffs=[5,20]", "--set", "training.epochs=1", "--out", tmp_path / "run"]
    assert call("train", config, "--device", "cpu", *chosen).code == 0
    said = call("evaluate", tmp_path / "run", "--json")
    assert said.code == 0, said.err
    [told] = said.json()
    assert {name for name in told["metrics"] if name.startswith("ndcg")} == {"ndcg@5", "ndcg@10", "ndcg@20"}
    assert told["origin"]["protocol"].endswith("@5,20"), "a name of its own settings"
