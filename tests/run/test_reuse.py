"""`--from`: a run with the learnt weights of another one is the run that its own training would have made."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from l2rec.data.prepared import load
from l2rec.errors import RunError
from l2rec.models import Retriever
from l2rec.models._checkpoint import read_tensors
from l2rec.models.floors import transition
from l2rec.run import Run, check, train, train_seeds
from l2rec.run.ablation import Order, ablate
from l2rec.run.controls import controls
from l2rec.serving.folder import MANIFEST, RunFolder
from l2rec.serving.pins import file_hash
from tests import worlds
from tests.models.conftest import backbone  # noqa: F401  (the fixture)
from tests.models.llm.little import SMALL
from tests.run.taking import COUNTED, ON_CPU, THIRD, asked_for, taken
from tests.trained import SASREC, World, settings


def model_of(world: World, run: Path) -> Retriever:
    model = RunFolder.open(run).model(load(world.prepared).items, torch.device("cpu"))
    assert isinstance(model, Retriever)
    return model


def floor(world: World, counted: dict[str, Any]) -> transition.Model:
    prepared = load(world.prepared)
    model = transition.Model(transition.Config.model_validate(counted), prepared.items)
    model.count(prepared.train)
    return model


def test_with_the_third_signal_it_is_the_run_that_was_trained_with_it(
    world: World, plain: Path, third: Path, tmp_path: Path
) -> None:
    run = taken(asked_for(world, THIRD), tmp_path / "run", plain)
    assert (run.path / "weights.safetensors").read_bytes() == (third / "weights.safetensors").read_bytes()
    assert (run.path / "config.toml").read_bytes() == (third / "config.toml").read_bytes()
    assert run.evaluate().metrics == Run.open(third).evaluate().metrics


@torch.no_grad()
def test_without_it_the_scores_are_those_of_the_source_less_the_third_signals(
    world: World, plain: Path, third: Path, tmp_path: Path
) -> None:
    run = taken(asked_for(world), tmp_path / "run", third)
    assert not [name for name in read_tensors(run.path / "weights.safetensors") if name.startswith("third")]
    source, batch = model_of(world, third), worlds.batch_of([[3, 10, 2], [], [20, 1]])
    found = model_of(world, run.path).scores(batch)
    assert torch.equal(found, source.user_vectors(batch) @ source.item_vectors().T)
    less = source.scores(batch) - 2.0 * floor(world, COUNTED).scores(batch)
    torch.testing.assert_close(found, less)
    assert not torch.allclose(found, source.scores(batch))
    own = (plain / "weights.safetensors").read_bytes()
    assert (run.path / "weights.safetensors").read_bytes() == own, "as trained without it"


@torch.no_grad()
def test_another_weight_and_other_counts_take_the_place_of_the_sources(
    world: World, third: Path, tmp_path: Path
) -> None:
    other = {"window": 4, "reverse": 0.0, "history": 2, "title_weight": 0.4}
    run = taken(asked_for(world, SASREC | {"transition_weight": 0.5, "transition": other}), tmp_path / "run", third)
    source, batch = model_of(world, third), worlds.batch_of([[3, 10, 2], [20, 1]])
    dots = source.user_vectors(batch) @ source.item_vectors().T
    assert torch.equal(model_of(world, run.path).scores(batch), dots + 0.5 * floor(world, other).scores(batch))


def test_the_folder_is_a_run_like_any_other_and_names_its_source(world: World, third: Path, tmp_path: Path) -> None:
    asked = asked_for(world, SASREC, "evaluation.mask_seen=false")
    run = taken(asked, tmp_path / "run", third)
    told, before = json.loads((run.path / MANIFEST).read_text()), Run.open(third).manifest
    digest = file_hash(third / "weights.safetensors")
    assert told["source"] == {"path": str(third.resolve()), "weights": digest}
    assert (told["seconds"], told["device"]) == (before.seconds, before.device)
    assert told["finished"] >= told["started"] >= (before.finished or "")
    assert told["settings"]["model"]["transition_weight"] == 0
    assert told["protocol"] == "loo/full/all/expected-ties/@5,10,20"
    assert told["files"].keys() == before.files.keys()
    assert (run.path / "log.jsonl").read_bytes() == (third / "log.jsonl").read_bytes()
    kept = {"config.toml", "manifest.json", "log.jsonl", "weights.safetensors", "ids"}
    assert {path.name for path in run.path.iterdir()} == kept
    assert Run.open(run.path).folder == run.folder
    assert run.evaluate("validation").metrics["ndcg@10"].mean > 0
    assert len(run.recommend(history=["i3", "i10"], k=4)) == 4


def test_a_manifest_of_before_opens(world: World, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(world.popularity, tmp_path / "old"))
    told = json.loads((copy / MANIFEST).read_text())
    assert told.pop("source") is None
    (copy / MANIFEST).write_text(json.dumps(told))
    assert Run.open(copy).manifest == Run.open(world.popularity).manifest


def test_what_moves_no_weight_may_differ(world: World, third: Path, tmp_path: Path) -> None:
    overrides = ("training.checkpoint_every=7", "training.max_seconds=1e6", "tuning.trials=3")
    run = taken(asked_for(world, SASREC, *overrides), tmp_path / "run", third)
    assert (run.settings.training.checkpoint_every, run.settings.tuning.trials) == (7, 3)


def test_an_arithmetic_that_is_left_open_is_the_sources(
    world: World,
    backbone: Path,  # noqa: F811
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    reader = {"name": "l2rec", "backbone": str(backbone), **SMALL, "dtype": "auto", "transition_weight": 1.0}
    asked = asked_for(world, reader, "training.precision=auto", "training.epochs=1")
    monkeypatch.setattr("l2rec.nn.arithmetic.has_bf16", lambda kind: False)
    source = train(asked, tmp_path / "source", ON_CPU)
    monkeypatch.setattr("l2rec.nn.arithmetic.has_bf16", lambda kind: True)
    without = asked.model_copy(update={"model": reader | {"transition_weight": 0.0}})
    run = taken(without, tmp_path / "run", source.path)
    assert (run.settings.training.precision, run.settings.model["dtype"]) == ("fp32", "float32")
    learnt = {n: t for n, t in read_tensors(source.path / "weights.safetensors").items() if n[:6] != "third."}
    found = read_tensors(run.path / "weights.safetensors")
    assert learnt.keys() == found.keys()
    assert all(torch.equal(learnt[name], found[name]) for name in learnt)
    named = without.model_copy(update={"model": without.model | {"dtype": "bfloat16"}})
    with pytest.raises(RunError, match=r"model\.dtype was float32 and now is bfloat16"):
        taken(named, tmp_path / "none", source.path)
    told = json.loads((source.path / MANIFEST).read_text())
    (source.path / MANIFEST).write_text(json.dumps(told | {"backbone": "0" * 64}))
    with pytest.raises(RunError, match=r"the run was trained on 000000000000\. Restore the backbone's files"):
        taken(without, tmp_path / "none", source.path)
    assert not (tmp_path / "none").exists()


def test_only_the_first_process_of_a_group_writes_it(
    world: World, third: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RANK", "1")
    taken(asked_for(world), tmp_path / "run", third)
    assert not (tmp_path / "run").exists()


def test_each_seed_takes_its_own(world: World, tmp_path: Path) -> None:
    options = replace(ON_CPU, source=world.sasrec)
    runs = train_seeds(settings(world, THIRD), tmp_path / "run", [0, 1], options)
    for seed, run in enumerate(runs):
        assert run.manifest.source is not None
        assert run.manifest.source.path == str((world.sasrec / f"seed-{seed}").resolve())
        assert run.manifest.seed == run.settings.seed == seed
    with pytest.raises(RunError, match="seed-2: no run in this folder"):
        train_seeds(settings(world, THIRD), tmp_path / "none", [0, 2], options)
    assert not (tmp_path / "none").exists(), "refused before the first is written"


def test_check_looks_whether_it_fits_and_writes_nothing(world: World, plain: Path, tmp_path: Path) -> None:
    told = check(asked_for(world, THIRD), tmp_path / "run", replace(ON_CPU, source=plain))
    assert told["weights of"] == str(plain)
    assert told["trainable"] == Run.open(plain).manifest.trainable
    assert "steps" not in told
    assert not (tmp_path / "run").exists()


def test_an_ablation_takes_such_a_row_as_it_is(world: World, third: Path, tmp_path: Path) -> None:
    full = asked_for(world, THIRD)
    shutil.copytree(third, tmp_path / "full")
    row = taken(asked_for(world, THIRD, "model.transition_weight=0.0"), tmp_path / "no-third-signal", third)
    said: list[str] = []
    rows = Order(tmp_path, "little.toml", only=("no-third-signal",), options=ON_CPU)
    ablate(controls(full, load(world.prepared)), rows, said.append)
    assert [line.endswith(", taken as it is") for line in said] == [True, True]
    assert Run.open(row.path).manifest == row.manifest
