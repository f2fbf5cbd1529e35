"""`--from` refuses a run of another training, and leaves the folder as it was."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from l2rec.config import RunSettings
from l2rec.data.prepare import prepare
from l2rec.errors import RunError
from l2rec.models._checkpoint import read_tensors, write_tensors
from l2rec.run import Run, check, train
from l2rec.serving.folder import MANIFEST
from tests import worlds
from tests.run.taking import ON_CPU, THIRD, asked_for, taken
from tests.trained import SASREC, World, pinned_again


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("model.width=32", "model.width was 16 and now is 32"),
        ("model.words=true", "model.words was False and now is True"),
        ("training.epochs=5", "training.epochs was 4 and now is 5"),
        ("training.share=0.5", "training.share was 1.0 and now is 0.5"),
        ("training.held_back=1", "training.held_back was None and now is 1"),
        ("training.precision=bf16", "training.precision was fp32 and now is bf16"),
        ("seed=1", "seed was 0 and now is 1"),
    ],
)
def test_what_takes_part_in_the_training_must_be_equal(
    override: str, words: str, world: World, plain: Path, tmp_path: Path
) -> None:
    refused_for(words, asked_for(world, SASREC, override), plain, tmp_path / "run")


def test_another_model_is_called_so(world: World, plain: Path, tmp_path: Path) -> None:
    asked = asked_for(world, {"name": "gru4rec", "width": 16})
    refused_for("model.name was sasrec and now is gru4rec", asked, plain, tmp_path / "run")


def refused_for(words: str, asked: RunSettings, source: Path, folder: Path) -> None:
    for call in (train, check):
        with pytest.raises(RunError) as refused:
            call(asked, folder, replace(ON_CPU, source=source))
        assert str(refused.value) == (
            f"{source}: {words}. --from takes a run that differs in the third signal and the evaluation alone; "
            "leave --from out to train."
        )
    assert not folder.exists()


def no_run(world: World, copy: Path) -> str:
    shutil.rmtree(copy)
    return f"{copy}: no run in this folder"


def unfinished(world: World, copy: Path) -> str:
    told = json.loads((copy / MANIFEST).read_text())
    (copy / MANIFEST).write_text(json.dumps(told | {"finished": None}))
    return f"{copy}: not trained to the end. Go on: "


def a_floor(world: World, copy: Path) -> str:
    shutil.rmtree(copy)
    shutil.copytree(world.popularity, copy)
    return f"{copy}: popularity counts and learns no weights. Leave --from out to count."


def on_other_data(world: World, copy: Path) -> str:
    told = json.loads((copy / MANIFEST).read_text())
    (copy / MANIFEST).write_text(json.dumps(told | {"fingerprint": "0" * 64}))
    now = told["fingerprint"][:12]
    return (
        f"{copy}: was trained on data with fingerprint 000000000000, {world.prepared} has {now}. "
        "--from takes a run on the same data; leave --from out to train."
    )


def with_other_weights(world: World, copy: Path) -> str:
    state = read_tensors(copy / "weights.safetensors")
    write_tensors({name: tensor + 1 for name, tensor in state.items()}, copy / "weights.safetensors")
    return "lost, cut or changed since. Restore a copy, or train again."


def with_weights_that_do_not_fit(world: World, copy: Path) -> str:
    state = read_tensors(copy / "weights.safetensors")
    name = min(state)
    write_tensors({n: tensor for n, tensor in state.items() if n != name}, copy / "weights.safetensors")
    pinned_again(copy)
    return f"weights: {name}: does not fit the model's settings"


@pytest.mark.parametrize(
    "damage", [no_run, unfinished, a_floor, on_other_data, with_other_weights, with_weights_that_do_not_fit]
)
def test_a_source_that_cannot_be_used_is_refused_and_nothing_is_written(
    damage: Callable[[World, Path], str], world: World, plain: Path, tmp_path: Path
) -> None:
    copy = Path(shutil.copytree(plain, tmp_path / "copy"))
    words = damage(world, copy)
    for call in (train, check):
        with pytest.raises(RunError) as refused:
            call(asked_for(world, THIRD), tmp_path / "run", replace(ON_CPU, source=copy))
        assert words in str(refused.value)
    assert not (tmp_path / "run").exists()


def test_the_same_data_in_another_place_will_do(world: World, plain: Path, tmp_path: Path) -> None:
    moved = Path(shutil.copytree(world.prepared, tmp_path / "moved"))
    run = taken(asked_for(moved, THIRD), tmp_path / "run", plain)
    assert run.manifest.data == str(moved.resolve())
    other = prepare(worlds.write_log(tmp_path / "log", users=40, seed=9), tmp_path / "other").folder
    with pytest.raises(RunError, match="--from takes a run on the same data"):
        taken(asked_for(other, THIRD), tmp_path / "none", plain)


def test_a_folder_with_a_run_is_left_alone(world: World, plain: Path, third: Path, tmp_path: Path) -> None:
    run = taken(asked_for(world), tmp_path / "run", third)
    before = (run.path / MANIFEST).read_bytes()
    with pytest.raises(RunError, match=r"run: holds a run already\. Pass --resume"):
        taken(asked_for(world), run.path, third)
    assert taken(asked_for(world), run.path, third, resume=True).folder == run.folder
    assert train(asked_for(world), run.path, replace(ON_CPU, resume=True)).folder == run.folder
    assert (run.path / MANIFEST).read_bytes() == before
    begun = Path(shutil.copytree(plain, tmp_path / "begun"))
    unfinished(world, begun)
    with pytest.raises(RunError) as refused:
        taken(asked_for(world), begun, third, resume=True)
    assert str(refused.value) == (
        f"{begun}: a training began here. Leave --from out to go on with it, or pass another --out."
    )


def test_a_call_that_died_is_made_again(
    world: World, plain: Path, third: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def power_cut(*arguments: object) -> None:
        raise RuntimeError("power cut")

    for name in ("save", "pinned_files", "RunFolder.write"):
        with monkeypatch.context() as patched:
            patched.setattr(f"l2rec.run.reuse.{name}", power_cut)
            with pytest.raises(RuntimeError, match="power cut"):
                taken(asked_for(world), tmp_path / "run", third)
        with pytest.raises(RunError, match="no run in this folder"):
            Run.open(tmp_path / "run")
    run = taken(asked_for(world), tmp_path / "run", third)
    own = (plain / "weights.safetensors").read_bytes()
    assert (run.path / "weights.safetensors").read_bytes() == own
