"""Keeps what `l2rec compare` reads of evaluated runs, small enough to lie beside the code.

    python bench/keep.py runs/scientific/* --out bench/results/runs/scientific

Of each run: settings, manifest, and for each part that was evaluated the results and the rank of every case. Left out
are the weights, and the items that users took: the data are not ours to hand on. A run kept before is written anew.
"""

import argparse
import sys
from pathlib import Path

import polars as pl

from l2rec.errors import L2RecError
from l2rec.run.record import FILES, Run, runs_in
from l2rec.serving.folder import RunFolder, write_text, writing
from l2rec.serving.manifest import Manifest, Source


def without_paths(manifest: Manifest) -> Manifest:
    """Returns the manifest with the names of folders where it has their places on a disk."""
    data = Path(manifest.data).name
    source = manifest.source
    if source is not None:
        place = Path(source.path)
        name = f"{place.parent.name}/{place.name}" if place.name.startswith("seed-") else place.name
        source = Source(path=name, weights=source.weights)
    settings = manifest.settings | {"data": f"prepared/{data}"}
    return manifest.model_copy(update={"data": f"prepared/{data}", "source": source, "settings": settings})


def keep(run: Run, out: Path) -> Path:
    """Writes what is kept of a run below `out`, by its label and seed, and returns the folder.

    Raises:
        RunError: the run was not evaluated, or the folder cannot be written.
    """
    parts = [part for part, (means, _) in FILES.items() if (run.path / means).is_file()] or ["test"]
    found = {part: run.measured(part) for part in parts}
    folder = out / run.label
    folder = folder / run.path.name if run.path.name.startswith("seed-") else folder
    told = without_paths(run.manifest)
    settings = run.settings.model_copy(update={"data": told.data})
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        for part, measured in found.items():
            means, values = FILES[part]
            frame = measured.frame.with_columns(pl.lit(0, dtype=pl.Int64).alias("target"))
            frame.write_parquet(folder / values, compression="zstd", compression_level=22)
            write_text(folder / means, measured.results.model_dump_json(indent=2) + "\n")
        RunFolder.write(folder, settings, told)
    return folder


def main(arguments: list[str]) -> int:
    """Keeps the runs that are named; returns the exit code."""
    parser = argparse.ArgumentParser(description="Keep what a comparison reads of evaluated runs.")
    parser.add_argument("runs", nargs="+", type=Path, help="Run folders, or folders with seed-0, seed-1, ...")
    parser.add_argument("--out", required=True, type=Path, help="Folder that gets one a label.")
    given = parser.parse_args(arguments)
    try:
        for run in (run for path in given.runs for run in runs_in(path)):
            print(keep(run, given.out))
    except L2RecError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
