"""A run says what it computes in before its first step, keeps to it, and is not silently gone on with in another."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from l2rec.config import RunSettings, to_toml, validated
from l2rec.data.prepared import load
from l2rec.errors import RunError
from l2rec.nn.backbone import Backbone
from l2rec.run import Options, plan, train
from l2rec.run.ablation import Order as Ablating
from l2rec.run.ablation import ablate
from l2rec.run.controls import controls
from l2rec.run.pipeline import resolved
from l2rec.run.search import Order, search
from l2rec.run.searched import Budget
from l2rec.serving.folder import RunFolder
from tests.models.conftest import backbone  # noqa: F401  (the fixture)
from tests.models.llm.little import SMALL
from tests.trained import SASREC, TRAINING, World

AUTOMATIC = {"epochs": 1, "batch_size": 64} | {k: v for k, v in TRAINING.items() if k == "learning_rate"}
ON_CPU = Options(device="cpu", resume=True)
NAMES = {True: ("bf16", "bfloat16"), False: ("fp32", "float32")}


def machine(patch: pytest.MonkeyPatch, *kinds: str) -> None:
    """A machine in which devices of these kinds have units for bfloat16."""
    patch.setattr("l2rec.nn.arithmetic.has_bf16", lambda kind: kind in kinds)


def automatic(world: World, model: dict[str, Any], **training: Any) -> RunSettings:
    values = {"data": str(world.prepared), "model": model, "training": AUTOMATIC | training}
    return validated(RunSettings, values, "")


@pytest.fixture
def reader(backbone: Path) -> dict[str, Any]:  # noqa: F811
    """A little L2Rec that is told no dtype."""
    told = {name: value for name, value in SMALL.items() if name != "dtype"}
    return {"name": "l2rec", "backbone": str(backbone), **told}


def test_the_device_decides_and_what_is_named_stays(
    world: World, reader: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    machine(monkeypatch, "cuda")
    for device, has in (("cuda:1", True), ("cuda", True), ("cpu", False)):
        found = resolved(automatic(world, reader), device)
        assert (found.training.precision, found.model["dtype"]) == NAMES[has]
    named = resolved(automatic(world, reader | {"dtype": "bfloat16"}, precision="bf16"), "cpu")
    assert (named.training.precision, named.model["dtype"]) == NAMES[True]
    assert plan(automatic(world, reader), "cpu").settings.model["dtype"] == "float32"


@pytest.mark.parametrize("has", [True, False])
def test_the_folder_says_what_is_used_before_the_first_step_and_serves_in_it(
    has: bool, world: World, reader: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def first_step(*arguments: Any) -> None:
        told = json.loads((tmp_path / "run" / "manifest.json").read_text())["settings"]
        own = RunFolder.open(tmp_path / "run").settings
        for said in (told, own.model_dump()):
            assert (said["training"]["precision"], said["model"]["dtype"]) == NAMES[has]
        assert arguments[2].precision == NAMES[has][0]
        raise RuntimeError("power cut")

    machine(monkeypatch, *(["cpu"] if has else []))
    with monkeypatch.context() as patched:
        patched.setattr("l2rec.run.pipeline.fit", first_step)
        with pytest.raises(RuntimeError, match="power cut"):
            train(automatic(world, reader), tmp_path / "run", Options(device="cpu"))
    run = train(automatic(world, reader), tmp_path / "run", ON_CPU)
    machine(monkeypatch, *([] if has else ["cpu"]))
    model = run.folder.model(load(world.prepared).items, torch.device("cpu"))
    dtypes = {part.dtype for part in model.modules() if isinstance(part, Backbone)}
    assert dtypes == {torch.bfloat16 if has else torch.float32}


def test_a_run_goes_on_on_another_kind_of_machine_only_where_its_arithmetic_is_named(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine(monkeypatch, "cpu")
    monkeypatch.setattr("l2rec.nn.arithmetic.best_device", lambda: torch.device("cuda"))  # and yet the CPU is asked for
    run = train(automatic(world, SASREC), tmp_path / "run", Options(device="cpu"))
    told = json.loads((run.path / "manifest.json").read_text())
    (run.path / "manifest.json").write_text(json.dumps(told | {"finished": None}))
    assert train(automatic(world, SASREC), run.path, ON_CPU).manifest.finished, "the same kind goes on"
    (run.path / "manifest.json").write_text(json.dumps(told | {"finished": None}))
    machine(monkeypatch)
    message = (
        r"run: training\.precision was bf16 and now is fp32\. Go on with the run's own config\.toml, or pass --out"
    )
    with pytest.raises(RunError, match=message):
        train(automatic(world, SASREC), run.path, ON_CPU)
    assert train(automatic(world, SASREC, precision="bf16"), run.path, ON_CPU).manifest.finished
    (run.path / "manifest.json").write_text(json.dumps(told | {"finished": None}))
    assert train(run.path / "config.toml", run.path, ON_CPU).settings.training.precision == "bf16"


def test_a_search_goes_on_in_its_arithmetic_alone(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    space = {"model.dropout": {"low": 0.0, "high": 0.5}}
    values = automatic(world, SASREC).model_dump(mode="json", exclude={"tuning"}, exclude_none=True)
    config = tmp_path / "config.toml"
    config.write_text(to_toml(values | {"search": {"declared": False, "space": space}}), encoding="utf-8")
    assert values["training"]["precision"] == "auto"
    machine(monkeypatch, "cpu")
    search(Order(config, tmp_path / "search", Budget(trials=1), options=Options(device="cpu")))
    more = Order(config, tmp_path / "search", Budget(trials=2), options=ON_CPU)
    assert len(search(more).trials) == 2
    for trial in (tmp_path / "search" / "trials").iterdir():
        assert RunFolder.open(trial).settings.training.precision == "bf16"
    machine(monkeypatch)
    with pytest.raises(RunError, match=r"training\.precision was bf16 and now is fp32\. Go on with the search as it"):
        search(more)
    named = Order(config, more.folder, Budget(trials=3), ("training.precision=bf16",), options=ON_CPU)
    assert len(search(named).trials) == 3


def test_an_ablation_computes_as_its_device_does_and_takes_finished_rows_as_they_are(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine(monkeypatch, "cuda", "mps", "xpu")
    monkeypatch.setattr("l2rec.nn.arithmetic.best_device", lambda: torch.device("cuda"))
    settings, prepared = automatic(world, SASREC), load(world.prepared)
    assert {row.settings.training.precision for row in controls(settings, prepared).rows} == {"bf16"}
    found = controls(settings, prepared, "cpu")
    assert {row.settings.training.precision for row in found.rows} == {"fp32"}
    order, said = Ablating(tmp_path, "little.toml", only=("share-10",), options=Options(device="cpu")), []
    ablate(found, order, lambda _: None)
    ablate(controls(settings, prepared, "cpu"), order, said.append)
    assert sum("taken as it is" in line for line in said) == 2
