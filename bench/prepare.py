"""Prepares a generated log of ten million events on two cores: ours from CSV and Parquet, beside RecTools' loader.

Ours is the whole of `prepare`: every row checked, ids, order with seeded ties, leave-last-out split, numbers, five
Parquet tables, their hashes, and the folder loaded again. RecTools' is what its own guide does to get as far: pandas
reads the file, `Dataset.construct` numbers it, `LastNSplitter` leaves the last two events of every user out,
`filter_interactions` keeps the training part; nothing is checked or written. Every turn is a process of its own, held
to two cores; peak memory is what the system says it was. RecTools lives in an environment of its own,
`.bench/prepare-rectools`, which this program makes once. On a busy machine the processor time is what can be compared.

    python bench/prepare.py [--events 10000000] [--rounds 1] [--only csv,parquet,rectools-csv,rectools-parquet]
"""

import argparse
import json
import os
import resource
import statistics
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

from rivals import Taken, environment, in_turns, taken_by

HERE = Path(__file__).resolve().parent
PINS = ["rectools==0.19.0", "pyarrow==20.0.0"]
CORES = 2
BARS = {"csv": {"wall": 60.0, "peak_gib": 4.0}}
EVENTS_A_USER, EVENTS_AN_ITEM = 20, 100


def main() -> None:
    """Generates the log, runs the turns, prints the table and writes the result."""
    options = arguments()
    if options.worker:
        print(json.dumps(measured(options.worker, options.folder)))
        return
    names = options.only.split(",")
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        generate(Path(folder), options.events)
        found, failed = in_turns(names, options.rounds, lambda name: turn(name, Path(folder)))
    report(found, failed, options)


def arguments() -> argparse.Namespace:
    """Returns the command line's options."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=10_000_000)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--only", default="csv,parquet,rectools-csv,rectools-parquet")
    parser.add_argument(
        "--folder", type=Path, help="where the log is generated and prepared; a temporary folder if not given"
    )
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    return parser.parse_args()


def generate(folder: Path, events: int) -> None:
    """Writes the same log as CSV and as Parquet: ids as text, skewed popularity, seconds over five years."""
    import numpy as np
    import polars as pl

    chance = np.random.default_rng(0)
    users, items = max(1, events // EVENTS_A_USER), max(1, events // EVENTS_AN_ITEM)
    user = (users * chance.random(events) ** 1.5).astype(np.int64)
    item = (items * chance.random(events) ** 3).astype(np.int64)
    frame = pl.DataFrame(
        {"user": user, "item": item, "timestamp": chance.integers(1_400_000_000, 1_557_680_000, events)}
    )
    frame = frame.select(
        pl.format("user-{}", "user").alias("user_id"),
        pl.format("item-{}", "item").alias("item_id"),
        "timestamp",
        pl.Series("rating", chance.integers(1, 6, events)),
    )
    frame.write_csv(folder / "log.csv")
    frame.write_parquet(folder / "log.parquet")


def turn(name: str, folder: Path) -> Taken | str:
    """Returns what one preparation took in a process of its own, or the last line of what went wrong."""
    python = environment("prepare-rectools", PINS) if name.startswith("rectools") else sys.executable
    limits = {f"{library}_NUM_THREADS": str(CORES) for library in ("OMP", "OPENBLAS", "MKL", "NUMEXPR")}
    limits["POLARS_MAX_THREADS"] = str(CORES)
    return taken_by([python, __file__, "--worker", name, "--folder", str(folder)], more=limits)


def measured(name: str, folder: Path) -> Taken:
    """Returns wall clock, processor time and peak memory of one preparation in this process; imports are left out."""
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:CORES])
    work = rectools_work if name.startswith("rectools") else own_work
    wall, cpu, events = work(folder / f"log.{name.rpartition('-')[2]}")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    return {"wall": wall, "cpu": cpu, "peak_gib": peak, "train_events": events}


def own_work(log: Path) -> tuple[float, float, int]:
    """The whole of `prepare`."""
    from l2rec.data.prepare import prepare

    wall, cpu = time.perf_counter(), time.process_time()
    found = prepare(log, log.with_suffix(".prepared"), force=True)
    taken = time.perf_counter() - wall, time.process_time() - cpu
    return *taken, found.manifest.counts.train_events


def rectools_work(log: Path) -> tuple[float, float, int]:
    """Reading, leaving the last two out, numbering the training part."""
    import pandas as pd
    from rectools import Columns
    from rectools.dataset import Dataset
    from rectools.model_selection import LastNSplitter

    wall, cpu = time.perf_counter(), time.process_time()
    frame = pd.read_csv(log) if log.suffix == ".csv" else pd.read_parquet(log)
    frame = frame.rename(columns={"timestamp": Columns.Datetime, "rating": Columns.Weight})
    frame[Columns.Datetime] = pd.to_datetime(frame[Columns.Datetime], unit="s")
    everything = Dataset.construct(frame)
    kept = {f"filter_{name}": False for name in ("cold_users", "cold_items", "already_seen")}
    folds = list(LastNSplitter(n=1, n_splits=2, **kept).split(everything.interactions))
    train = everything.filter_interactions(folds[0][0])
    return time.perf_counter() - wall, time.process_time() - cpu, len(train.interactions.df)


def report(found: dict[str, list[Taken]], failed: dict[str, str], options: argparse.Namespace) -> None:
    """Prints the table with the ratios and writes `results/prepare.json`."""
    middle = {name: _middle(turns) for name, turns in found.items() if turns}
    print(f"{options.events} events, {CORES} cores")
    print(f"{'':18}{'seconds':>9}{'cpu':>9}{'GiB':>9}{'times':>9}{'in cpu':>9}")
    ratios = {}
    for name in found:
        if name in failed:
            print(f"{name:18} {failed[name]}")
            continue
        ours = middle.get(name.rpartition("-")[2], middle[name])
        ratios[name] = {kind: middle[name][kind] / ours[kind] for kind in ("wall", "cpu", "peak_gib")}
        cells = [middle[name]["wall"], middle[name]["cpu"], middle[name]["peak_gib"]]
        cells += [ratios[name]["wall"], ratios[name]["cpu"]]
        print(f"{name:18}" + "".join(f"{cell:9.2f}" for cell in cells))
    result = {
        "date": datetime.now(UTC).date().isoformat(),
        "events": options.events,
        "cores": CORES,
        "pins": PINS,
        "turns": found,
        "failed": failed,
        "times_ours": ratios,
        "bars": BARS,
    }
    (HERE / "results").mkdir(exist_ok=True)
    (HERE / "results" / "prepare.json").write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


def _middle(turns: list[Taken]) -> Taken:
    return {kind: statistics.median(turn[kind] for turn in turns) for kind in turns[0]}


if __name__ == "__main__":
    main()
