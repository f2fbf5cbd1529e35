"""Full ranking of Beauty and every metric, beside RecTools on the same vectors, turn by turn; the numbers must agree.

RecTools lives in an environment of its own under `.bench/`, which the program creates, and gets the vectors in files.
Its ranker is the faster of its two that run there. Ours also counts ties, Gini and lift, which RecTools does not have,
and similarity at three cut-offs where RecTools is asked for diversity at one; intervals and slices, which it does not
have either, are a row of their own and in no ratio.

    python bench/evaluate.py [--run RUN | --users N] [--rounds 5] [--threads 2]

Without a run the vectors are random, in the shape of Amazon Beauty 2014: 22,363 users, 12,101 items, width 64.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from interleaved import RESULTS
from l2rec.config import EvaluationSettings
from l2rec.data.batches import case_batches
from l2rec.evaluation import beyond, metrics, ranking, results
from l2rec.evaluation.protocol import protocol_name
from l2rec.types import Batch, Cases, Histories, Items

HERE = Path(__file__).parent
USERS, ITEMS, EVENTS, WIDTH = 22_363, 12_101, 198_502, 64
SETTINGS = EvaluationSettings()
RECTOOLS = "rectools==0.19.0"


Stages = dict[str, Float[np.ndarray, "2"]]
"""Seconds of every stage: on the clock, and of the processor, which other people's load touches little."""


@dataclass(frozen=True)
class World:
    """What is ranked: dot products of two tables of vectors."""

    cases: Cases
    items: Items
    users: Float[Tensor, "U D"]
    vectors: Float[Tensor, "N D"]
    name: str


def generated(users: int) -> World:
    """Returns random vectors in Beauty's shape; a target is a little likelier than another item."""
    chance = np.random.default_rng(0)
    lengths = 4 + chance.geometric(1 / (EVENTS / USERS - 4), users)
    popularity = chance.permutation(1 / np.arange(10, ITEMS + 10))
    drawn = chance.choice(ITEMS, int(lengths.sum()), p=popularity / popularity.sum())
    offsets = torch.from_numpy(np.concatenate(([0], np.cumsum(lengths))))
    events, targets = torch.from_numpy(drawn), torch.from_numpy(chance.integers(0, ITEMS, users))
    histories = Histories(events, torch.arange(len(events)), offsets, torch.zeros(users, 0))
    attributes = tuple(tuple(f"a={a}" for a in row) for row in chance.integers(0, 300, (ITEMS, 3)))
    names = tuple(str(n) for n in range(ITEMS))
    items = Items(names, names, attributes, torch.bincount(events, minlength=ITEMS))
    vectors = torch.from_numpy(chance.normal(size=(ITEMS, WIDTH))).float()
    tastes = 0.35 * vectors[targets] + torch.from_numpy(chance.normal(size=(users, WIDTH))).float()
    return World(Cases(torch.arange(users), histories, targets, targets * 0), items, tastes, vectors, "random vectors")


def of_run(path: str) -> World:
    """Returns the test cases of a run and the vectors of its model, which has to be a retriever."""
    from l2rec.models import Retriever
    from l2rec.run import Run

    run = Run.open(path)
    prepared = run.folder.data()
    model = run.folder.model(prepared.items, torch.device("cpu"))
    if not isinstance(model, Retriever):
        sys.exit(f"{path}: {run.manifest.model} has no vectors. Name a run of a retriever, e.g. sasrec.")
    cases = prepared.cases("test")
    users = torch.zeros(len(cases), model.item_vectors().shape[1])
    with torch.no_grad():
        for rows, batch in case_batches(
            cases.histories, length=model.settings.history, batch_size=256, token_counts=model.token_counts
        ):
            users[rows] = model.user_vectors(batch)
        return World(
            cases, prepared.items, users, model.item_vectors(), f"{run.manifest.model}, {prepared.manifest.source}"
        )


def now() -> Float[np.ndarray, "2"]:
    """Returns the clock and the processor time of all threads, in seconds."""
    return np.array([time.perf_counter(), time.process_time()])


class Ours:
    """One turn of ours."""

    def __init__(self, world: World) -> None:
        """Keeps the world, and the order in which the cases are asked for."""
        self.world = world
        self.ones = torch.ones(len(world.items), dtype=torch.long)
        batches = case_batches(world.cases.histories, length=1, batch_size=SETTINGS.batch_size, token_counts=self.ones)
        self.order: list[Int[Tensor, " B"]] = [rows for rows, _ in batches]

    def scorer(self) -> Callable[[Batch], Tensor]:
        """Returns dot products of the users in the order in which `rank` asks for them."""
        rows: Iterator[Int[Tensor, " B"]] = iter(self.order)
        return lambda _: self.world.users[next(rows)] @ self.world.vectors.T

    def turn(self) -> tuple[Stages, dict[str, float]]:
        """Returns the seconds of every stage, on the clock and of the processor, and what was found."""
        world, clock = self.world, [now()]
        rankings = ranking.rank(self.scorer(), world.cases, history=1, token_counts=self.ones, settings=SETTINGS)
        clock.append(now())
        found = metrics.means(rankings, SETTINGS.cutoffs)
        clock.append(now())
        vectors = beyond.attribute_vectors(world.items)
        for cutoff in SETTINGS.cutoffs:
            found |= beyond.beyond(rankings, world.items, world.cases.histories, cutoff, vectors)
        clock.append(now())
        whole = results.Origin(label="b", model="b", data="b", fingerprint="b", protocol=protocol_name("loo", SETTINGS))
        results.measure(rankings, world.cases, world.items, world.cases.histories.lengths(), SETTINGS, whole)
        clock.append(now())
        rank, accuracy, rest, everything = np.diff(clock, axis=0)
        # `measure` takes metrics and lists once more; what is left are intervals and slices.
        return {
            "rank": rank,
            "accuracy": accuracy,
            "beyond": rest,
            "intervals and slices": np.maximum(0, everything - accuracy - rest),
        }, found


class Theirs:
    """RecTools in a process of its own, which waits for its turn."""

    def __init__(self, world: World, folder: Path, python: Path, threads: int) -> None:
        """Writes the world down and starts the process."""
        histories = world.cases.histories
        arrays = {"users": world.users, "items": world.vectors, "targets": world.cases.targets}
        arrays |= {"offsets": histories.offsets, "events": histories.items}
        for name, array in arrays.items():
            np.save(folder / f"{name}.npy", array.numpy())
        rows = [(n, a) for n, names in enumerate(world.items.attributes) for a in names]
        (folder / "attributes.json").write_text(json.dumps(rows), encoding="utf-8")
        command = [str(python), str(HERE / "rectools_metrics.py"), str(folder), str(threads)]
        limits = {name: str(threads) for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS")} | {"OPENBLAS_NUM_THREADS": "1"}
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, env=os.environ | limits)

    def turn(self) -> tuple[Stages, dict[str, float]]:
        """See ours."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write("go\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            sys.exit("RecTools ended early; what it said stands above.")
        said = json.loads(line)
        return {stage: np.array(spent) for stage, spent in said["seconds"].items()}, said["found"]

    def end(self) -> None:
        """Ends the process."""
        self.process.communicate()


def environment() -> Path:
    """Returns the interpreter of RecTools' environment, which is created where it is missing."""
    python = HERE.parent / ".bench" / "rectools" / "bin" / "python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", str(python.parent.parent)], check=True)
    there = subprocess.run([str(python), "-c", "import rectools"], capture_output=True, check=False)
    if there.returncode:
        subprocess.run([str(python), "-m", "pip", "install", "--quiet", RECTOOLS], check=True)
    return python


def main() -> None:
    """Runs the rounds, prints the table and the agreement, and writes `results/evaluate.json`."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--run", help="run folder of a retriever")
    parser.add_argument("--users", type=int, default=USERS, help="fewer, for a machine in a hurry")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--python", type=Path, help="interpreter that has RecTools; .bench/rectools by default")
    asked = parser.parse_args()
    torch.set_num_threads(asked.threads)
    world = of_run(asked.run) if asked.run else generated(asked.users)
    with TemporaryDirectory() as folder:
        ours, theirs = Ours(world), Theirs(world, Path(folder), asked.python or environment(), asked.threads)
        turns = [(ours.turn(), theirs.turn()) for _ in range(asked.rounds + 1)][1:]
        theirs.end()
    seconds = [(a[0], b[0]) for a, b in turns]
    told = summary(seconds, turns[-1][0][1], turns[-1][1][1])
    told["setting"] = {
        "vectors": world.name,
        "users": len(world.cases),
        "items": len(world.items),
        "width": world.users.shape[1],
        "threads": asked.threads,
        "rounds": asked.rounds,
        "protocol": protocol_name("loo", SETTINGS),
        "torch": torch.__version__,
        "rectools": RECTOOLS,
    }
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "evaluate.json").write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")


def summary(seconds: list[tuple[Stages, Stages]], mine: dict[str, float], other: dict[str, float]) -> dict[str, object]:
    """Prints and returns medians, ratios with their quartiles, and the largest difference of the shared metrics."""
    told: dict[str, object] = {}
    print(f"{'seconds':20}{'l2rec':>9}{'RecTools':>10}{'ratio':>8}  {'quartiles':16}{'ratio in cpu time':>18}")
    for stage in (*seconds[0][1], "together"):
        parts = seconds[0][1] if stage == "together" else (stage,)
        ours, theirs = (np.array([sum(turn[side][part] for part in parts) for turn in seconds]) for side in (0, 1))
        low, ratio, high = np.quantile((theirs / ours)[:, 0], (0.25, 0.5, 0.75)).tolist()
        work = float(np.median((theirs / ours)[:, 1]))
        medians = {"l2rec": float(np.median(ours[:, 0])), "rectools": float(np.median(theirs[:, 0]))}
        told[stage] = medians | {"ratio": ratio, "low": low, "high": high, "ratio in cpu time": work}
        between = f"{low:.2f} to {high:.2f}"
        cells = f"{medians['l2rec']:9.3f}{medians['rectools']:10.3f}{ratio:8.2f}"
        print(f"{stage:20}{cells}  {between:16}{work:18.2f}")
    for stage in seconds[0][0].keys() - seconds[0][1].keys():
        alone = float(np.median([ours[stage][0] for ours, _ in seconds]))
        told[stage] = {"l2rec": alone}
        print(f"{stage:20}{alone:9.3f}{'-':>10}")
    both = sorted(mine.keys() & other.keys())
    apart = max(abs(mine[name] - other[name]) for name in both)
    print(f"largest difference in {len(both)} shared metrics: {apart:.1e}")
    found = {"l2rec": {n: mine[n] for n in both}, "rectools": {n: other[n] for n in both}, "largest difference": apart}
    return {"seconds": told, "found": found}


if __name__ == "__main__":
    main()
