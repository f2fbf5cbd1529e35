"""New, tail, middle and head items, as what each run was trained on has them, and one row tested against all others.

`l2rec compare` has the slices of the whole data, so that every row has the same. Trained on a share of the users, many
more items are new: that is a test of new items with thousands of cases where the whole data have a few dozen.

    python bench/bands.py FOLDER --data PREPARED --against ROW [--out JSON] [--page PAGE --mark MARK]

FOLDER has one folder a row, as `bench/results/runs/scientific-share-10`. A case counts in a band for the seeds whose
training users put its item there, with the mean over these seeds; two rows are compared over the seeds that both have.
Intervals are percentile bootstraps over cases, p is of the permutation test, corrected by Holm over all rows and bands.
Rows that were trained on another share than ROW are left out.
"""

import argparse
import json
import sys
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float
from numpy import ndarray

from l2rec.cli.readme import placed
from l2rec.data.prepared import Prepared, load
from l2rec.data.share import shared
from l2rec.errors import L2RecError, RunError
from l2rec.evaluation.leaderboard import number, probability, signed
from l2rec.evaluation.significance import holm, interval, paired_p, verdict
from l2rec.evaluation.slices import popularity_bands
from l2rec.run.record import Run, runs_in
from l2rec.serving.folder import write_text

METRIC, BANDS = "ndcg@10", ("new", "tail", "middle", "head")


@dataclass(frozen=True)
class Cell:
    """One row in one band.

    Attributes:
        row: Its label.
        band: One of `BANDS`.
        seeds: How many seeds it has.
        cases: Cases that are in the band for one of these seeds.
        mean: Of the metric.
        low: Lower bound of its interval.
        high: Upper bound.
        difference: The row that is tested minus this one, over the seeds of both; mean, lower and upper bound.
        p: After Holm.
        verdict: On the row that is tested.
    """

    row: str
    band: str
    seeds: int
    cases: int
    mean: float
    low: float
    high: float
    difference: tuple[float, float, float] | None = None
    p: float | None = None
    verdict: str = ""


Rows = dict[str, dict[int, Float[ndarray, " U"]]]


def rows_of(root: Path, against: str, data: Prepared) -> tuple[Rows, float, list[str]]:
    """Returns each row's values by seed, the share it was trained on, and the labels that learnt from something else.

    A run that events were held back from is no row, as it has other new items.

    Raises:
        RunError: there is no such folder, `against` is not among its runs, or a run is of other data.
    """
    if not root.is_dir():
        raise RunError(f"{root}: no such folder. Name one that has a folder for every row.")
    runs = [run for folder in sorted(root.iterdir()) if folder.is_dir() for run in runs_in(folder)]
    whole = [run for run in runs if run.settings.training.held_back is None]
    share = next((run.settings.training.share for run in whole if run.label == against), None)
    if share is None:
        raise RunError(f"{root}: no row is called {against}. It has {', '.join(sorted({r.label for r in whole}))}.")
    strange = [run for run in runs if run.manifest.fingerprint != data.manifest.fingerprint]
    if strange:
        raise RunError(f"{strange[0].path}: is of other data than {data.folder}. Pass its --data.")
    found: Rows = {}
    for run in (r for r in whole if r.settings.training.share == share):
        found.setdefault(run.label, {})[run.manifest.seed] = values(run)
    return found, share, sorted({run.label for run in runs} - found.keys())


def values(run: Run) -> Float[ndarray, " U"]:
    """Returns the metric of every test case, in their order."""
    return run.measured().frame.sort("case")[METRIC].to_numpy()


def per_case(
    row: dict[int, Float[ndarray, " U"]], masks: dict[int, Bool[ndarray, " U"]], seeds: set[int]
) -> Float[ndarray, " cases"]:
    """Returns the mean over the seeds of every case that is in the band for one of them."""
    inside = np.stack([masks[seed] for seed in sorted(seeds)])
    table = np.stack([row[seed] for seed in sorted(seeds)])
    found = inside.any(0)
    means: Float[ndarray, " cases"] = (table * inside).sum(0)[found] / inside.sum(0)[found]
    return means


def cells(rows: Rows, bands: dict[int, ndarray], against: str) -> list[Cell]:
    """Returns every row in every band, tested; the row that is tested has no difference."""
    made: list[tuple[Cell, Float[ndarray, " cases"] | None]] = []
    for band in BANDS:
        masks = {seed: where == band for seed, where in bands.items()}
        for label, row in sorted(rows.items()):
            mine = per_case(row, masks, set(row))
            if not len(mine):
                continue
            low, high = interval(mine[:, None])
            cell = Cell(label, band, len(row), len(mine), float(mine.mean()), float(low[0]), float(high[0]))
            both = set(row) & set(rows[against]) if label != against else set()
            gain = per_case(rows[against], masks, both) - per_case(row, masks, both) if both else None
            made.append((cell, gain if gain is not None and len(gain) else None))
    return tested(made)


def tested(made: list[tuple[Cell, Float[ndarray, " cases"] | None]]) -> list[Cell]:
    """Returns the cells with difference, p after Holm over all of them, and verdict."""
    raw = [paired_p(gain) for _, gain in made if gain is not None]
    corrected = iter(holm(raw))
    done = []
    for cell, gain in made:
        if gain is None:
            done.append(cell)
            continue
        low, high = (float(bound[0]) for bound in interval(gain[:, None]))
        p = next(corrected)
        told = asdict(cell) | {"difference": (float(gain.mean()), low, high), "p": p, "verdict": verdict(low, high, p)}
        done.append(Cell(**told))
    return done


def table(found: list[Cell], against: str, band: str) -> str:
    """Returns a Markdown table of a band, best row first."""
    lines = [
        f"| {band} items | seeds | cases | {METRIC} | 95 % interval | {against} minus this row | p (Holm) | verdict |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for c in sorted((c for c in found if c.band == band), key=lambda c: -c.mean):
        bounds = f"[{number(c.low)}, {number(c.high)}]"
        gain, p = "-", "-"
        if c.difference is not None and c.p is not None:
            mean, low, high = (signed(part) for part in c.difference)
            gain, p = f"{mean} [{low}, {high}]", probability(c.p)
        lines.append(
            f"| {c.row} | {c.seeds} | {c.cases:,} | {number(c.mean)} | {bounds} | {gain} | {p} | {c.verdict or '-'} |"
        )
    return "\n".join(lines)


def measured(root: Path, data: Prepared, against: str) -> tuple[list[Cell], float, list[str]]:
    """Returns every row in every band, the share that they were trained on, and the rows that have another.

    Raises:
        RunError: see `rows_of`.
    """
    rows, share, left = rows_of(root, against, data)
    targets = data.cases("test").targets.numpy()
    seeds = sorted({seed for row in rows.values() for seed in row})
    bands = {seed: popularity_bands(shared(data, share, seed).items.counts)[targets] for seed in seeds}
    return cells(rows, bands, against), share, left


def main(arguments: list[str]) -> int:
    """Prints the tables and, where asked, keeps the numbers; returns the exit code."""
    parser = argparse.ArgumentParser(description="Test a row on new and tail items of what was trained on.")
    parser.add_argument("runs", type=Path, help="Folder with one folder a row, evaluated.")
    parser.add_argument("--data", required=True, type=Path, help="The prepared folder.")
    parser.add_argument("--against", required=True, help="The row that is tested.")
    parser.add_argument("--out", type=Path, help="JSON file for the numbers.")
    parser.add_argument("--page", type=Path, help="Markdown page that gets the tables of new and tail items.")
    parser.add_argument("--mark", default="bands", help="Between which of the page's marks.")
    given = parser.parse_args(arguments)
    try:
        found, share, left = measured(given.runs, load(given.data), given.against)
        if given.out:
            told = {"date": datetime.now(UTC).date().isoformat(), "against": given.against, "share": share}
            write_text(given.out, json.dumps(told | {"cells": [asdict(c) for c in found]}, indent=1) + "\n")
        if given.page:
            text = "\n\n".join(table(found, given.against, band) for band in ("new", "tail"))
            write_text(given.page, placed(given.page.read_text(encoding="utf-8"), given.mark, text))
    except L2RecError as error:
        print(error, file=sys.stderr)
        return 2
    print("\n\n".join(table(found, given.against, band) for band in BANDS))
    if left:
        print(f"\nTrained on another share or without the last events, so without a row here: {', '.join(left)}.")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
