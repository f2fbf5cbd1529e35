"""A little world on disk with trained runs, made once for all tests of a process that ask for it."""

from dataclasses import dataclass
from functools import cache
from pathlib import Path

from l2rec.config import RunSettings, to_toml, validated
from l2rec.data.prepare import prepare
from l2rec.run import Options, Run, train, train_seeds
from l2rec.serving.folder import MANIFEST, RunFolder
from l2rec.serving.pins import file_hash
from tests import worlds

SASREC = {"name": "sasrec", "width": 16, "layers": 1, "heads": 1, "history": 8, "dropout": 0.1}
TRAINING = {"epochs": 4, "batch_size": 16, "learning_rate": 0.01, "precision": "fp32", "patience": 9}


@dataclass(frozen=True)
class World:
    """Where everything lies.

    Attributes:
        log: Interactions and items as CSV files.
        prepared: The same, prepared.
        popularity: A counted run, evaluated.
        sasrec: A trained run with two seeds, evaluated.
    """

    log: Path
    prepared: Path
    popularity: Path
    sasrec: Path


def settings(world: World | Path, model: dict[str, object], seed: int = 0) -> RunSettings:
    """Settings of a run on the little world."""
    data = world.prepared if isinstance(world, World) else world
    values = {"data": str(data), "seed": seed, "model": model, "training": TRAINING}
    return validated(RunSettings, values, "")


def write_config(path: Path, chosen: RunSettings) -> Path:
    """Writes settings as a TOML file and returns its path."""
    path.write_text(to_toml(chosen.model_dump(mode="json")), encoding="utf-8")
    return path


@cache
def little_world(root: Path) -> World:
    """Makes the world under `root`; a second call with the same root gives it again."""
    log = worlds.write_log(root / "log", users=40)
    prepared = prepare(log, root / "prepared").folder
    popularity = train(settings(prepared, {"name": "popularity"}), root / "popularity")
    popularity.evaluate()
    for run in train_seeds(settings(prepared, SASREC), root / "sasrec", [0, 1], Options(device="cpu")):
        run.evaluate()
    return World(log, prepared, popularity.path, root / "sasrec")


def first(path: Path) -> Run:
    """Returns the first seed's run of a folder."""
    return Run.open(path / "seed-0")


def pinned_again(path: Path) -> Path:
    """Pins a run's files as a test left them, and returns the folder."""
    manifest = RunFolder.open(path).manifest
    files = {name: file_hash(path / name) for name in manifest.files}
    (path / MANIFEST).write_text(manifest.model_copy(update={"files": files}).model_dump_json(), encoding="utf-8")
    return path
