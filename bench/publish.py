"""Everybody's list from synthetic vectors: our search and whole rows in SQLite, beside a bare product and its topk.

Bare is the least that anybody does: a block of users times all item vectors, `topk`, nothing masked, nothing kept.
`search` leaves out what every user has seen and breaks ties by the one rule; `publish` also encodes the rows and writes
them to a SQLite store, durably, batch by batch. What is claimed is about 1,000,000 users; the seconds a user do not
depend on how many there are, so that fewer are timed and the time of a million is a multiplication, which is said.

    python bench/publish.py [--users 4096] [--items 100000] [--widths 64,384] [--rounds 7] [--threads 2]

With `--recall`: what the index that `auto` takes for that many items finds of the exact lists of those users, and how
much less it takes to find it: users and items near the same 200 centres, and scattered so far that hardly any is left.

    python bench/publish.py --recall [--users 1000] [--items 200000] [--widths 64] [--rounds 5] [--threads 2]
"""

import argparse
import itertools
import resource
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from interleaved import Rounds, report
from l2rec.config import ModelSettings
from l2rec.models import Retriever
from l2rec.serving.index import EXACT_BELOW, GOAL, Found, recall
from l2rec.serving.publishing.audience import Audience
from l2rec.serving.publishing.lists import Lister
from l2rec.serving.records import Release
from l2rec.serving.store.sqlite import SqliteStore
from l2rec.types import Batch, Histories, Items, Loss

K, BLOCK, SEEN, MILLION = 100, 256, 20, 1_000_000
SPREADS = {"near centres": 0.7, "scattered": 2.0}
"""How far vectors lie from their centres in every dimension, where 1 is how far centres lie from zero."""


class Given(Retriever):
    """A retriever whose vectors are given: a user's stands in a table, at the number of the last item."""

    def __init__(self, width: int, items: int, spread: float = 0.7) -> None:
        """Draws the vectors of items around centres, and of users near them, `spread` away in every dimension."""
        blank = ("",) * items
        super().__init__(ModelSettings(history=1), Items(blank, blank, ((),) * items, torch.ones(items).long()))
        centres = torch.randn(200, width)
        self.vectors = centres[torch.randint(200, (items,))] + spread * torch.randn(items, width)
        self.tastes = centres[torch.randint(200, (items,))] + spread * torch.randn(items, width)

    def item_vectors(self) -> Float[Tensor, "N D"]:
        """See the base class."""
        return self.vectors

    def user_vectors(self, batch: Batch) -> Float[Tensor, "B D"]:
        """See the base class."""
        return self.tastes[batch.items[:, 0]]

    def loss(self, batch: Batch) -> Loss:
        """Nothing is learnt here."""
        raise NotImplementedError


def main() -> None:
    """Runs the rounds, prints the table and the ratios."""
    options = arguments()
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    (measure_recall if options.recall else measure_speed)(options)


def measure_speed(options: argparse.Namespace) -> None:
    """Times bare, search and publish, and writes what came out."""
    widths = [int(width) for width in options.widths.split(",")]
    everybody = audience(options.users, options.items)
    with TemporaryDirectory() as folder:
        ways: dict[str, Callable[[], None]] = {}
        for width in widths:
            ways |= ways_of(Given(width, options.items).eval(), everybody, Path(folder))
        rounds = Rounds(ways, options.rounds, warmup=1)
    ratios = {
        f"{way} / bare, D = {width}": rounds.ratio(f"{way} {width}", f"bare {width}")
        for width, way in itertools.product(widths, ("search", "publish"))
    }
    hours = {
        way: rounds.timing(way).wall * MILLION / options.users / 3600 for way in ways if not way.startswith("search")
    }
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    setting = {
        "users timed": options.users,
        "items": options.items,
        "k": K,
        "seen items of a user": SEEN,
        "bar": "1.5 times bare",
        "hours of a million users, multiplied": {way: round(value, 3) for way, value in hours.items()},
        "peak memory of the process in MiB": round(peak),
        "note": options.note,
    }
    report("publish", rounds, ratios, setting)
    for way, value in hours.items():
        print(f"a million users, multiplied from {options.users}: {way}: {value:.2f} hours")


def arguments() -> argparse.Namespace:
    """Returns the command line's options."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recall", action="store_true", help="measure the index instead")
    index = "--recall" in sys.argv
    parser.add_argument("--users", type=int, default=1000 if index else 4096)
    parser.add_argument("--items", type=int, default=200_000 if index else 100_000)
    parser.add_argument("--widths", default="64" if index else "64,384")
    parser.add_argument("--rounds", type=int, default=5 if index else 7)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--note", default="", help="what a reader must know of the machine at that hour")
    return parser.parse_args()


def measure_recall(options: argparse.Namespace) -> None:
    """Times exact lists and the index's, compares them, and writes what came out."""
    everybody, width = audience(options.users, options.items), int(options.widths)
    ways: dict[str, Callable[[], None]] = {}
    found = {}
    for name, spread in SPREADS.items():
        model = Given(width, options.items, spread).eval()
        near, exact = Lister(model, K), Lister(model, K, "exact")
        parts = [everybody.part(some) for some in exact.plan(everybody, BLOCK)]
        told = near.measure(everybody)
        if told is None:
            raise SystemExit(f"--items {options.items}: searched exactly. Pass {EXACT_BELOW} or more.")
        shares = [len(part) * recall(listed(near, part), listed(exact, part)) for part in parts]
        found[name] = {
            "index": near.search,
            f"recall@{K} of all users, against exact": round(sum(shares) / len(everybody), 4),
            "the same as publish measures it": round(told, 4),
        }
        ways |= {f"exact, {name}": partial(each, exact, parts), f"index, {name}": partial(each, near, parts)}
    rounds = Rounds(ways, options.rounds, warmup=1)
    setting = {
        "users": options.users,
        "items": options.items,
        "width": width,
        "seen items of a user": SEEN,
        "goal of publish": GOAL,
        "found": found,
        "note": options.note,
    }
    ratios = {f"exact / index, {name}": rounds.ratio(f"exact, {name}", f"index, {name}") for name in SPREADS}
    report("publish_recall", rounds, ratios, setting)
    for name, values in found.items():
        print(name, *(f"{what}: {value}" for what, value in values.items()), sep="; ")


def listed(lister: Lister, histories: Histories) -> Found:
    """Returns the lists of some users as tensors."""
    numbers, scores, _ = lister.lists(histories)
    return torch.from_numpy(numbers), torch.from_numpy(scores)


def each(lister: Lister, parts: list[Histories]) -> None:
    """Makes the lists of every part."""
    for histories in parts:
        lister.lists(histories)


def audience(users: int, items: int) -> Audience:
    """Returns users with `SEEN` random items each."""
    chance = np.random.default_rng(0)
    events = torch.from_numpy(chance.integers(0, items, users * SEEN))
    histories = Histories(events, torch.zeros_like(events), torch.arange(users + 1) * SEEN, torch.zeros(users, 0))
    return Audience(tuple(f"user-{n}" for n in range(users)), histories, np.zeros(users, dtype=np.int64))


def ways_of(model: Given, everybody: Audience, folder: Path) -> dict[str, Callable[[], None]]:
    """Returns the three ways for vectors of one width."""
    width, lister = model.vectors.shape[1], Lister(model, K, "exact")
    plan = lister.plan(everybody, BLOCK)
    users = [model.tastes[everybody.histories.items[SEEN - 1 :: SEEN][some]] for some in plan]
    parts = [everybody.part(some) for some in plan]
    store, versions = SqliteStore(folder / f"{width}.db"), itertools.count()

    def bare() -> None:
        for vectors in users:
            (vectors @ model.vectors.T).topk(K, dim=1)

    def search() -> None:
        for histories in parts:
            lister.lists(histories)

    def publish() -> None:
        version = f"v{next(versions)}"
        told = {"version": version, "run": "", "model": "", "weights": "", "created": 0.0, "k": K, "upto": 0}
        count = {"users": len(everybody), "items": len(model.vectors), "popular": ()}
        store.begin(Release.model_validate(told | count))
        done = 0
        for some in plan:
            done += len(some)
            store.write_rows(version, lister.rows(everybody, some), done)

    return {f"bare {width}": bare, f"search {width}": search, f"publish {width}": publish}


if __name__ == "__main__":
    main()
