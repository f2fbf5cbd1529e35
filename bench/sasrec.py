"""One epoch of SASRec on Amazon Beauty: ours beside RecTools' and RecBole's, turn by turn in one run.

All three train on the same sequences with the same width (64), length (50), item count and loss family (softmax over
all items); the rest is each library's own default. What is timed is the first epoch of a fresh process, batches
included, data loading and model building left out. Each library lives in an environment of its own under `.bench/`,
which this program makes once. Wall clock and the processor time of all threads are kept; the latter is what a busy
machine leaves comparable.

    python bench/sasrec.py --data prepared/amazon-beauty-2014 [--rounds 3] [--threads 2] [--only l2rec,rectools]

`--data` is a folder of `l2rec prepare`, or a Parquet log with user_id, item_id and timestamp, of which the last two
events of every user are left out.
"""

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rivals import Taken, environment, in_turns, taken_by

HERE = Path(__file__).resolve().parent
WIDTH, LENGTH = 64, 50
TORCH = "torch==2.13.0"
PINS = {
    "rectools": [TORCH, "rectools[torch]==0.19.0", "pytorch-lightning==2.5.2"],
    # RecBole 1.2.1 predates numpy 2, scipy 1.13 and pandas 3 and does not run on them.
    "recbole": [TORCH, "recbole==1.2.1", "numpy==1.26.4", "scipy==1.12.0", "pandas==2.1.4"],
}
BARS = {"rectools": 1.5, "recbole": 3.0}


RECBOLE: dict[str, Any] = {
    "load_col": {"inter": ["user_id", "item_id", "timestamp"]},
    "eval_args": {"split": {"LS": "valid_and_test"}, "order": "TO", "mode": "full", "group_by": "user"},
    "hidden_size": WIDTH,
    "MAX_ITEM_LIST_LENGTH": LENGTH,
    "loss_type": "CE",
    "train_neg_sample_args": None,
    "use_gpu": False,
    "show_progress": False,
    "state": "ERROR",
}


def main() -> None:
    """Runs the rounds, prints the table and writes the result."""
    options = arguments()
    if options.worker:
        print(json.dumps(WORKERS[options.worker](options.data, options.threads)))
        return
    names = [name for name in ("l2rec", *PINS) if name in options.only.split(",")]
    with tempfile.TemporaryDirectory() as folder:
        sequences = Path(folder) / "sequences.json"
        everybody = training_sequences(options.data)
        sequences.write_text(json.dumps(everybody[: options.users]), encoding="utf-8")
        found, failed = in_turns(names, options.rounds, lambda name: turn(name, sequences, options.threads))
    report(found, failed, options)


def arguments() -> argparse.Namespace:
    """Returns the command line's options."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--users", type=int, help="the first so many only, for a machine in a hurry")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--only", default="l2rec,rectools,recbole")
    parser.add_argument("--worker", choices=list(WORKERS), help=argparse.SUPPRESS)
    return parser.parse_args()


def training_sequences(data: Path) -> list[list[int]]:
    """Returns every user's training events as item numbers without gaps; users with one event are left out."""
    import polars as pl

    if data.is_dir() and (data / "train.parquet").exists():
        events = pl.read_parquet(data / "train.parquet").select("user", "item")
        cut = 0
    else:
        path = data / "interactions.parquet" if data.is_dir() else data
        events = pl.read_parquet(path).sort("user_id", "timestamp", maintain_order=True)
        events, cut = events.select(user="user_id", item="item_id"), 2
    grouped = events.group_by("user", maintain_order=True).agg("item")["item"].to_list()
    kept = [sequence[: len(sequence) - cut] for sequence in grouped]
    number: dict[Any, int] = {}
    return [[number.setdefault(item, len(number)) for item in sequence] for sequence in kept if len(sequence) > 1]


def turn(name: str, sequences: Path, threads: int) -> Taken | str:
    """Returns what one epoch took in a process of its own, or the last line of what went wrong."""
    python = sys.executable if name == "l2rec" else environment(f"sasrec-{name}", PINS[name])
    command = [python, __file__, "--worker", name, "--data", str(sequences), "--threads", str(threads)]
    return taken_by(command, sequences.parent)


def report(found: dict[str, list[Taken]], failed: dict[str, str], options: argparse.Namespace) -> None:
    """Prints the table with the ratios and writes `results/sasrec.json`."""
    columns = ("min", "median", "max", "noise", "cpu", "times", "in cpu", "bar")
    print(f"{'seconds an epoch':18}" + "".join(f"{column:>9}" for column in columns))
    for name, turns in found.items():
        print(f"{name:18}{_row(name, turns, found.get('l2rec', []))}" if turns else f"{name:18} {failed[name]}")
    result = {
        "date": datetime.now(UTC).date().isoformat(),
        "threads": options.threads,
        "users": options.users or "all",
        "setting": {"width": WIDTH, "length": LENGTH, "loss": "softmax over all items", "pins": PINS},
        "turns": found,
        "failed": failed,
        "times_ours": {name: _times(turns, found.get("l2rec", [])) for name, turns in found.items()},
        "bars": BARS,
    }
    (HERE / "results").mkdir(exist_ok=True)
    (HERE / "results" / "sasrec.json").write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


def _row(name: str, turns: list[Taken], ours: list[Taken]) -> str:
    wall = [turn["wall"] for turn in turns]
    middle = statistics.median(wall)
    times = _times(turns, ours)
    cells = [f"{value:9.1f}" for value in (min(wall), middle, max(wall))]
    cells += [f"{(max(wall) - min(wall)) / middle:9.0%}", f"{statistics.median(t['cpu'] for t in turns):9.1f}"]
    cells += [f"{times[kind]:9.2f}" for kind in times]
    return "".join([*cells, f"{BARS[name]:9.1f}" if name in BARS else ""])


def _times(turns: list[Taken], ours: list[Taken]) -> dict[str, float]:
    """The median over rounds of how many times as long as ours a turn took."""
    pairs = list(zip(turns, ours, strict=False))
    return {kind: statistics.median(a[kind] / b[kind] for a, b in pairs) for kind in ("wall", "cpu")} if pairs else {}


class Clock:
    """Wall clock and processor time between two moments of one process."""

    def start(self, *_: object) -> None:
        """Marks the first moment."""
        self.wall, self.cpu = time.perf_counter(), time.process_time()

    def taken(self) -> Taken:
        """Returns what passed since."""
        return {"wall": time.perf_counter() - self.wall, "cpu": time.process_time() - self.cpu}


def l2rec_epoch(path: Path, threads: int) -> Taken:
    """Our own training loop for one epoch, at the defaults of model and training."""
    import torch

    from l2rec.config import TrainingSettings
    from l2rec.models import find
    from l2rec.training.loop import Occasion, fit
    from l2rec.types import Histories, Items

    torch.set_num_threads(threads)
    sequences = json.loads(path.read_text())
    flat = torch.tensor([item for sequence in sequences for item in sequence])
    offsets = torch.tensor([0, *map(len, sequences)]).cumsum(0)
    train = Histories(flat, torch.arange(len(flat)), offsets, torch.zeros(len(sequences), 0))
    count = int(flat.max()) + 1
    items = Items(("",) * count, ("",) * count, ((),) * count, torch.bincount(flat, minlength=count))
    found = find("sasrec")
    config = found.config.model_validate({"width": WIDTH, "history": LENGTH, "loss": "full"})
    model, clock = found.model(config, items), Clock()
    end: list[Taken] = []

    def validate(_: object) -> dict[str, float]:
        end.append(clock.taken())
        return {"ndcg@10": 0.0}

    with tempfile.TemporaryDirectory() as folder:
        occasion = Occasion(Path(folder), 0, validate, progress=False, device="cpu")
        clock.start()
        fit(model, train, TrainingSettings(epochs=1), occasion)  # type: ignore[arg-type]
    return end[0]


def rectools_epoch(path: Path, threads: int) -> Taken:
    """RecTools' own fit for one epoch."""
    import pandas as pd
    import torch
    from pytorch_lightning import Callback
    from rectools.dataset import Dataset
    from rectools.models import SASRecModel

    torch.set_num_threads(threads)
    sequences = json.loads(path.read_text())
    rows = [(u, i, 1.0, p) for u, sequence in enumerate(sequences) for p, i in enumerate(sequence)]
    frame = pd.DataFrame(rows, columns=["user_id", "item_id", "weight", "datetime"])
    frame["datetime"] = pd.to_datetime(frame["datetime"], unit="D")
    clock, end = Clock(), []

    class Bell(Callback):  # type: ignore[misc]
        on_train_epoch_start = clock.start

        def on_train_epoch_end(self, *_: object) -> None:
            end.append(clock.taken())

    model = SASRecModel(n_factors=WIDTH, session_max_len=LENGTH, loss="softmax", epochs=1)
    model._trainer.callbacks.append(Bell())
    model.fit(Dataset.construct(frame))
    return end[0]


def recbole_epoch(path: Path, threads: int) -> Taken:
    """RecBole's own trainer for one epoch; its default turns every prefix of a sequence into a row of its own."""
    import torch

    torch.set_num_threads(threads)
    from recbole.config import Config
    from recbole.data import create_dataset, data_preparation
    from recbole.model.sequential_recommender import SASRec
    from recbole.trainer import Trainer

    atomic_files(path)
    settings = {**RECBOLE, "data_path": str(path.parent), "checkpoint_dir": str(path.parent / "saved")}
    sys.argv = sys.argv[:1]
    config = Config(model="SASRec", dataset="beauty", config_dict=settings)
    dataset = create_dataset(config)
    train, _, _ = data_preparation(config, dataset)
    model, clock = SASRec(config, train.dataset), Clock()
    trainer = Trainer(config, model)
    clock.start()
    trainer._train_epoch(train, 0)
    return clock.taken()


def atomic_files(path: Path) -> None:
    """Writes RecBole's own format; leave-last-out takes two events from every user, so two are put there for it."""
    folder = path.parent / "beauty"
    folder.mkdir(exist_ok=True)
    with (folder / "beauty.inter").open("w", encoding="utf-8") as file:
        file.write("user_id:token\titem_id:token\ttimestamp:float\n")
        for user, sequence in enumerate(json.loads(path.read_text())):
            for place, item in enumerate([*sequence, sequence[-1], sequence[-1]]):
                file.write(f"{user}\t{item}\t{place}\n")


WORKERS: dict[str, Callable[[Path, int], Taken]] = {
    "l2rec": l2rec_epoch,
    "rectools": rectools_epoch,
    "recbole": recbole_epoch,
}

if __name__ == "__main__":
    main()
