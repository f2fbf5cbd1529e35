"""Keeps what `l2rec compare` reads of evaluated runs, small enough to lie beside the code.

    python bench/keep.py runs/scientific/* --out bench/results/runs/scientific

Of each run: settings, manifest, and for each part that was evaluated the results and the rank of every case. Left out
are the weights, and the items that users took: the data are not ours to hand on. A run kept before is written anew.
"""

import argparse
import sys
from pathlib import Path
from typing import Any

import polars as pl

from l2rec.errors import L2RecError, RunError
from l2rec.run.record import FILES, Run, forget, runs_in
from l2rec.serving.folder import RunFolder, write_text, writing
from l2rec.serving.manifest import Manifest, Source


def without_paths(manifest: Manifest) -> Manifest:
    """Returns the manifest with the names of folders where it has their places on a disk."""
    data = named(manifest.settings["data"])
    source = manifest.source
    if source is not None:
        place = Path(source.path)
        name = f"{place.parent.name}/{place.name}" if place.name.startswith("seed-") else place.name
        source = Source(path=name, weights=source.weights)
    settings = manifest.settings | {"data": data, "model": model_named(manifest.settings["model"])}
    return manifest.model_copy(update={"data": data, "source": source, "settings": settings})


def named(data: str) -> str:
    """Returns what the data are called: their folder without its place, or the bundled sample."""
    return data if data == "sample" else f"prepared/{Path(data).name}"


def model_named(model: dict[str, Any]) -> dict[str, Any]:
    """Returns a model's settings with a backbone in a folder by the folder's name; its hash is in the manifest."""
    place = model.get("backbone")
    return model | ({"backbone": Path(place).name} if place and Path(place).is_absolute() else {})


def place_of(run: Run, out: Path) -> Path:
    """Returns where a run is kept below `out`: by its label and, where that is of several seeds, its own folder."""
    name = run.path.resolve().name
    return out / run.label if run.label == name else out / run.label / name


def keep(run: Run, folder: Path) -> None:
    """Writes what is kept of a run into a folder.

    Raises:
        RunError: the run was not evaluated, it lies in the very folder, or that cannot be written.
    """
    parts = [part for part, (means, _) in FILES.items() if (run.path / means).is_file()] or ["test"]
    found = {part: run.measured(part) for part in parts}
    told = without_paths(run.manifest)
    settings = run.settings.model_copy(update={"data": told.data, "model": model_named(run.settings.model)})
    if folder.resolve() == run.path.resolve():
        raise RunError(f"{folder}: is the run itself, and would lose its targets. Pass another --out.")
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        forget(folder)
        for part, measured in found.items():
            means, values = FILES[part]
            frame = measured.frame.with_columns(pl.lit(None, dtype=pl.Int64).alias("target"))
            frame.write_parquet(folder / values, compression="zstd", compression_level=22)
            write_text(folder / means, measured.results.model_dump_json(indent=2) + "\n")
        RunFolder.write(folder, settings, told)


def main(arguments: list[str]) -> int:
    """Keeps the runs that are named; returns the exit code."""
    parser = argparse.ArgumentParser(description="Keep what a comparison reads of evaluated runs.")
    parser.add_argument("runs", nargs="+", type=Path, help="Run folders, or folders with seed-0, seed-1, ...")
    parser.add_argument("--out", required=True, type=Path, help="Folder that gets one a label.")
    given = parser.parse_args(arguments)
    try:
        done: dict[Path, Path] = {}
        for run in (run for path in given.runs for run in runs_in(path)):
            folder = place_of(run, given.out)
            if folder in done:
                raise RunError(f"{folder}: is of {done[folder]} and of {run.path}. Keep them one below each --out.")
            keep(run, folder)
            print(folder)
            done[folder] = run.path
    except L2RecError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
