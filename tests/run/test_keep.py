"""`bench/keep.py`: what is kept of runs compares as the runs do, and holds neither weights nor what users took."""

import contextlib
import io
import json
import runpy
import shutil
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest

from l2rec.errors import RunError
from l2rec.run import Run, train
from l2rec.run.record import FILES, forget
from l2rec.run.tables import compared
from tests.trained import World, first, settings

PROGRAM = Path(__file__).parents[2] / "bench" / "keep.py"


MAIN = runpy.run_path(str(PROGRAM))["main"]


def kept(*arguments: Path | str) -> subprocess.CompletedProcess[str]:
    """What the program says to these arguments, in this process."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = MAIN([str(argument) for argument in arguments])
    return subprocess.CompletedProcess(arguments, code, out.getvalue(), err.getvalue())


def test_what_is_kept_compares_as_the_runs_do(world: World, tmp_path: Path) -> None:
    for _ in range(2):
        done = kept(world.popularity, world.sasrec, "--out", tmp_path)
        assert done.returncode == 0, done.stderr
    assert done.stdout.split() == [str(tmp_path / name) for name in ("popularity", "sasrec/seed-0", "sasrec/seed-1")]
    mine, theirs = compared([tmp_path / "popularity", tmp_path / "sasrec"]), compared([world.popularity, world.sasrec])
    assert mine == theirs
    files = {path.name for path in tmp_path.rglob("*") if path.is_file()}
    measured = {name for pair in FILES.values() for name in pair}
    there = {path.name for run in (world.popularity, world.sasrec) for path in run.rglob("*") if path.name in measured}
    assert files == {"config.toml", "manifest.json", *there}
    assert there >= {"ranks.parquet", "results.json"}
    assert set(pl.read_parquet(tmp_path / "popularity" / "ranks.parquet")["target"]) == {None}


def test_what_is_kept_compares_with_a_run_of_today(world: World, tmp_path: Path) -> None:
    assert kept(world.popularity, "--out", tmp_path).returncode == 0
    mixed = compared([tmp_path / "popularity", world.sasrec])
    assert mixed == compared([world.popularity, world.sasrec])
    shorter = pl.read_parquet(tmp_path / "popularity" / "ranks.parquet")[:-1]
    shorter.write_parquet(tmp_path / "popularity" / "ranks.parquet")
    with pytest.raises(RunError, match="different cases"):
        compared([tmp_path / "popularity", world.sasrec])


def test_every_part_that_was_evaluated_is_kept(world: World, tmp_path: Path) -> None:
    run = train(settings(world, {"name": "popularity"}), tmp_path / "popularity")
    run.evaluate("validation")
    assert kept(run.path, "--out", tmp_path / "kept").returncode == 0
    again = Run.open(tmp_path / "kept" / "popularity")
    assert again.evaluate("validation") == run.evaluate("validation"), "it is remembered"
    assert sorted(path.name for path in again.path.iterdir()) == [
        "config.toml", "manifest.json", "validation.json", "validation.parquet"]  # fmt: skip


def test_no_place_on_a_disk_is_kept(world: World, tmp_path: Path) -> None:
    source = tmp_path / "somewhere" / "sasrec" / "seed-0"  # with a backbone in a folder, as a text model may have
    shutil.copytree(world.sasrec / "seed-0", source)
    told = json.loads((source / "manifest.json").read_text())
    told["settings"]["model"]["backbone"] = str(tmp_path / "MiniLM")
    told["source"] = {"path": str(world.sasrec / "seed-1"), "weights": "0" * 64}
    (source / "manifest.json").write_text(json.dumps(told))
    assert kept(source, "--out", tmp_path / "kept").returncode == 0
    folder = tmp_path / "kept" / "sasrec" / "seed-0"
    for path in folder.glob("*.*"):
        assert str(tmp_path.parent).encode() not in path.read_bytes(), path
        assert str(world.sasrec.parent).encode() not in path.read_bytes(), path
    manifest = Run.open(folder).manifest
    assert manifest.source is not None
    assert manifest.settings["model"]["backbone"] == "MiniLM"
    assert (manifest.source.path, manifest.data) == ("sasrec/seed-1", f"prepared/{world.prepared.name}")
    assert manifest.files == first(world.sasrec).manifest.files | {"config.toml": manifest.files["config.toml"]}


def test_nothing_is_kept_over_the_run_itself_or_over_another_one(world: World, tmp_path: Path) -> None:
    before = pl.read_parquet(world.popularity / "ranks.parquet")
    done = kept(world.popularity, "--out", world.popularity.parent)
    assert (done.returncode, "is the run itself" in done.stderr) == (2, True)
    assert pl.read_parquet(world.popularity / "ranks.parquet").equals(before)
    shutil.copytree(world.popularity, tmp_path / "other" / "popularity")
    done = kept(world.popularity, tmp_path / "other" / "popularity", "--out", tmp_path / "kept")
    assert (done.returncode, "Keep them one below each --out" in done.stderr) == (2, True)


def test_a_part_that_was_forgotten_is_not_kept_from_before(world: World, tmp_path: Path) -> None:
    run = train(settings(world, {"name": "popularity"}), tmp_path / "popularity")
    run.evaluate("validation")
    kept(run.path, "--out", tmp_path / "kept")
    forget(run.path)
    run.evaluate()
    assert kept(run.path, "--out", tmp_path / "kept").returncode == 0
    assert not list((tmp_path / "kept").rglob("validation*"))


def test_a_folder_without_results_is_refused_in_one_line(world: World, tmp_path: Path) -> None:
    command = [sys.executable, str(PROGRAM), str(world.log), "--out", str(tmp_path)]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "no run in this folder" in done.stderr
