"""Training from settings to a run folder: what is written, refused, taken up again and left alone."""

import json
import os
import shutil
from pathlib import Path

import pytest
import torch

from l2rec.config import RunSettings, TuningSettings, read_toml, validated
from l2rec.data.prepare import prepare
from l2rec.errors import DataError, ModelError, RunError, SettingError
from l2rec.models import find
from l2rec.models._checkpoint import read_tensors
from l2rec.run import Options, Run, check, plan, settings_of, train
from l2rec.serving.folder import RunFolder
from tests.trained import SASREC, World, first, settings, write_config

POPULARITY: dict[str, object] = {"name": "popularity"}


def test_a_run_folder_says_what_decided_it(world: World) -> None:
    run = first(world.sasrec)
    told = json.loads((run.path / "manifest.json").read_text())
    assert told["model"] == "sasrec"
    assert told["seed"] == 0
    assert told["protocol"] == "loo/full/unseen/expected-ties/@5,10,20"
    default = find("sasrec").config.model_fields["smoothing"].default
    assert told["settings"]["model"]["smoothing"] == default, "a default that no file named"
    assert told["fingerprint"] == json.loads((world.prepared / "manifest.json").read_text())["fingerprint"]
    assert told["versions"]["torch"] == torch.__version__
    assert told["trainable"] > 0
    names = {path.name for path in run.path.iterdir()}
    assert {"config.toml", "manifest.json", "log.jsonl", "weights.safetensors", "ids", "results.json"} <= names


def test_the_manifest_is_written_before_the_first_step(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def first_step(*arguments: object) -> None:
        assert json.loads((tmp_path / "run" / "manifest.json").read_text())["finished"] is None
        raise RuntimeError("power cut")

    monkeypatch.setattr("l2rec.run.pipeline.fit", first_step)
    with pytest.raises(RuntimeError, match="power cut"):
        train(settings(world, SASREC), tmp_path / "run")
    with pytest.raises(RunError, match=r"not trained to the end. Go on: l2rec train .*config.toml --out .* --resume"):
        Run.open(tmp_path / "run")


def test_a_runs_own_config_gives_the_same_weights(world: World, tmp_path: Path) -> None:
    again = train(first(world.sasrec).path / "config.toml", tmp_path / "again", Options(device="cpu"))
    before, after = (read_tensors(p / "weights.safetensors") for p in (first(world.sasrec).path, again.path))
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_another_seed_gives_other_weights(world: World) -> None:
    one, two = (read_tensors(world.sasrec / f"seed-{n}" / "weights.safetensors") for n in (0, 1))
    assert any(not torch.equal(one[name], two[name]) for name in one)


def test_a_run_is_not_overwritten(world: World) -> None:
    with pytest.raises(RunError, match=r"popularity: holds a run already\. Pass --resume to go on with it, or --out"):
        train(settings(world, POPULARITY), world.popularity)


def test_a_finished_run_is_taken_as_it_is(world: World) -> None:
    before = os.stat(world.popularity / "weights.safetensors").st_mtime_ns
    run = train(settings(world, POPULARITY), world.popularity, Options(resume=True))
    assert run.path == world.popularity
    assert os.stat(world.popularity / "weights.safetensors").st_mtime_ns == before


def test_a_run_does_not_go_on_with_other_settings(world: World) -> None:
    changed = settings(world, {**SASREC, "width": 32})
    with pytest.raises(RunError, match=r"seed-0: model\.width was 16 and now is 32\. Go on with the run's own"):
        train(changed, world.sasrec / "seed-0", Options(resume=True))


def unfinished(run: Path, copy: Path) -> Path:
    """A copy of a run as it was before it was finished."""
    shutil.copytree(run, copy)
    told = json.loads((copy / "manifest.json").read_text())
    (copy / "manifest.json").write_text(json.dumps({**told, "finished": None}))
    return copy


def test_a_run_does_not_go_on_with_other_data(world: World, tmp_path: Path) -> None:
    copy = unfinished(world.popularity, tmp_path / "copy")
    told = json.loads((copy / "manifest.json").read_text())
    (copy / "manifest.json").write_text(json.dumps({**told, "fingerprint": "0" * 64}))
    with pytest.raises(RunError, match="began on other data than"):
        train(settings(world, POPULARITY), copy, Options(resume=True))


def test_a_run_that_died_before_its_first_checkpoint_begins_again(world: World, tmp_path: Path) -> None:
    copy = unfinished(first(world.sasrec).path, tmp_path / "copy")
    shutil.rmtree(copy / "last", ignore_errors=True)
    (copy / "weights.safetensors").unlink()
    run = train(settings(world, SASREC), copy, Options(resume=True, device="cpu"))
    before, after = (read_tensors(p / "weights.safetensors") for p in (first(world.sasrec).path, run.path))
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_only_the_first_process_of_a_group_writes(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RANK", "1")
    train(settings(world, POPULARITY), tmp_path / "run")
    assert not (tmp_path / "run" / "manifest.json").exists()


def test_check_writes_nothing_and_says_what_the_training_would_be(world: World, tmp_path: Path) -> None:
    told = check(settings(world, SASREC), tmp_path / "run", Options(device="cpu"))
    assert not (tmp_path / "run").exists()
    assert told["users"] == 40
    assert told["steps"] == 4 * told["steps an epoch"]
    assert told["first loss"] > 0
    counted = check(settings(world, POPULARITY), tmp_path / "run")
    assert "steps" not in counted
    assert counted["validation cases"] == 40


@pytest.mark.parametrize(
    ("model", "error", "message"),
    [
        ({"name": "popularity", "histry": 3}, SettingError, r'model\.histry: no such setting\. Did you mean "history"'),
        ({"name": "populaity"}, ModelError, r'"populaity": no such model\. Did you mean "popularity"'),
        ({}, SettingError, r"model\.name: missing\. Set it in the TOML file"),
    ],
)
def test_a_wrong_model_is_refused_before_anything_is_written(
    model: dict[str, object], error: type[Exception], message: str, world: World, tmp_path: Path
) -> None:
    with pytest.raises(error, match=message):
        train(settings(world, model), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_missing_data_and_devices_are_refused(world: World, tmp_path: Path) -> None:
    nowhere = validated(RunSettings, {"data": str(tmp_path / "none"), "model": POPULARITY}, "")
    with pytest.raises(DataError, match="none: not a prepared folder"):
        train(nowhere, tmp_path / "run")
    with pytest.raises(SettingError, match="--device abacus: not usable here"):
        plan(settings(world, POPULARITY), "abacus")


def test_data_without_a_validation_case_are_refused_before_the_first_step(tmp_path: Path) -> None:
    log = tmp_path / "log.csv"
    log.write_text(
        "user_id,item_id,timestamp\n" + "".join(f"u{n},i{n % 3},{n}\nu{n},i{n % 2},{n + 9}\n" for n in range(9))
    )
    prepare(log, tmp_path / "prepared")
    asked = validated(RunSettings, {"data": str(tmp_path / "prepared"), "model": SASREC}, "")
    with pytest.raises(DataError, match=r"prepared: 0 validation cases, .* Prepare data in which users have three"):
        check(asked, tmp_path / "run")


def test_settings_come_from_a_file_and_from_overrides(world: World, tmp_path: Path) -> None:
    path = write_config(tmp_path / "a.toml", settings(world, SASREC))
    assert settings_of(path, ["training.epochs=2", "model.width=32"]).training.epochs == 2
    assert read_toml(path)["training"]["epochs"] == 4


def test_a_run_folder_reads_what_it_wrote(world: World) -> None:
    folder = RunFolder.open(world.popularity)
    again = RunFolder.write(world.popularity, folder.settings, folder.manifest)
    assert RunFolder.open(world.popularity) == again == folder


def timed(world: World, **more: object) -> RunSettings:
    chosen = settings(world, SASREC)
    return chosen.model_copy(update={"training": chosen.training.model_copy(update=more)})


def test_what_moves_no_weight_may_change_on_a_resume(world: World, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(world.sasrec / "seed-0", tmp_path / "copy"))
    run = train(timed(world, max_seconds=1e6, checkpoint_every=7), copy, Options(resume=True, device="cpu"))
    assert (run.path / "results.json").is_file(), "a finished run is taken as it is"
    begun = unfinished(world.sasrec / "seed-0", tmp_path / "begun")
    run = train(timed(world, max_seconds=1e6, checkpoint_every=7), begun, Options(resume=True, device="cpu"))
    assert run.settings.training.checkpoint_every == 7


def tuned(world: World, model: dict[str, object], **tuning: object) -> RunSettings:
    return settings(world, model).model_copy(update={"tuning": TuningSettings.model_validate(tuning)})


def test_how_settings_were_chosen_stops_no_resume_and_moves_no_weight(world: World, tmp_path: Path) -> None:
    begun = unfinished(world.sasrec / "seed-0", tmp_path / "begun")
    chosen = tuned(world, SASREC, trials=9, space={"model.width": (16, 32)})
    run = train(chosen, begun, Options(resume=True, device="cpu"))
    assert run.settings.tuning == RunFolder.open(begun).settings.tuning == chosen.tuning
    told = json.loads((begun / "manifest.json").read_text())["settings"]["tuning"]
    assert (told["trials"], told["space"]) == (9, {"model.width": [16, 32]})
    before, after = (read_tensors(p / "weights.safetensors") for p in (world.sasrec / "seed-0", begun))
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_a_finished_run_takes_up_what_is_now_said_of_its_tuning(world: World, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(world.popularity, tmp_path / "copy"))
    before, results = Run.open(copy).manifest, (copy / "results.json").read_bytes()
    train(tuned(world, POPULARITY, trials=3), copy, Options(resume=True))
    found = Run.open(copy)
    assert found.settings.tuning.trials == found.manifest.settings["tuning"]["trials"] == 3
    as_before = {
        "settings": before.settings,
        "files": {**found.manifest.files, "config.toml": before.files["config.toml"]},
    }
    assert found.manifest.model_copy(update=as_before) == before, "all else is as it was"
    assert found.measured().results.origin.tuning.trials == 3
    assert (copy / "results.json").read_bytes() == results
    train(settings(world, POPULARITY), copy, Options(resume=True))
    assert Run.open(copy).settings.tuning.trials == 3, "silence takes nothing back"


def test_a_run_of_before_there_were_budgets_opens_and_goes_on(world: World, tmp_path: Path) -> None:
    copy = unfinished(world.popularity, tmp_path / "old")
    told = json.loads((copy / "manifest.json").read_text())
    del told["settings"]["tuning"]
    (copy / "manifest.json").write_text(json.dumps(told))
    (copy / "config.toml").write_text((copy / "config.toml").read_text().replace("[tuning.space]\n", ""))
    assert RunFolder.open(copy).settings.tuning.budget == (None, None)
    assert train(tuned(world, POPULARITY, trials=3), copy, Options(resume=True)).settings.tuning.trials == 3


def test_a_space_that_names_no_setting_of_the_model_is_refused(world: World, tmp_path: Path) -> None:
    for name, hint in (("model.widht", 'Did you mean "model.width"\\?'), ("model.zzz", "See `l2rec models sasrec`")):
        with pytest.raises(SettingError, match=f'tuning.space: "{name}": the run has no such setting. {hint}'):
            train(tuned(world, SASREC, space={name: (1,)}), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_run_whose_seconds_were_up_goes_on_with_more(world: World, tmp_path: Path) -> None:
    short, options = timed(world, max_seconds=1e-3), Options(resume=True, device="cpu")
    run = train(short, tmp_path / "run", options)
    run.evaluate()
    log = (run.path / "log.jsonl").read_text()
    train(short, run.path, options)
    assert (run.path / "results.json").is_file(), "no more seconds, no more steps"
    longer = train(timed(world, max_seconds=None), run.path, options)
    assert not (run.path / "results.json").exists(), "results of other weights"
    assert (run.path / "log.jsonl").read_text().startswith(log)
    assert longer.settings.training.max_seconds is None
    before, after = (read_tensors(p / "weights.safetensors") for p in (world.sasrec / "seed-0", run.path))
    assert all(torch.equal(before[name], after[name]) for name in before), "as if it had never been stopped"
