"""What a service needs by users and items: bytes of a row in both stores, memory by item, and of a server by users.

    python bench/sizing.py RUN [--users 1000,10000,100000]

RUN is on the bundled sample. Rows are drawn: lists of 100, histories of 50, vectors of 384. Redis where installed.
"""

import argparse
import json
import os
import random
import shutil
import time
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import psutil
import torch

from drilling import published, redis
from interleaved import RESULTS
from l2rec.data.ids import Ids
from l2rec.serving.answering.shelf import Shelf, Tokens
from l2rec.serving.model.catalogue import Catalogue
from l2rec.serving.records import Event, Release, UserRow
from l2rec.serving.store.contract import Store
from l2rec.serving.store.opening import open_store
from l2rec.types import Items
from load import get, load
from serve import CONNECTIONS, checked, served

K, HISTORY, WIDTH, EVENTS, MIB = 100, 50, 384, 100_000, 2**20
Found = dict[str, object]


def main() -> None:
    """Measures all, prints it, and writes `results/sizing.json`."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("run", type=Path)
    parser.add_argument("--users", default="1000,10000,100000")
    options = parser.parse_args()
    found: Found = {"date": datetime.now(UTC).date().isoformat(), "cores": os.cpu_count(), "run": options.run.name}
    found |= {"k": K, "history": HISTORY, "width": WIDTH}
    found["items"] = [items(count) for count in (10_000, 100_000)]
    found["SQLite"] = [sqlite(options.run, int(users)) for users in options.users.split(",")]
    if shutil.which("redis-server"):
        found["Redis"] = memory()
    print(json.dumps(found, indent=1))
    (RESULTS / "sizing.json").write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


def fill(store: Store, release: Release, users: int) -> float:
    """Writes a release of drawn rows and returns the seconds."""
    store.begin(release)
    chance, began = np.random.default_rng(0), time.perf_counter()
    vectors = chance.standard_normal((1000, WIDTH))
    for start in range(0, users, 1000):
        numbers = chance.integers(0, release.items, (min(1000, users - start), K + HISTORY))
        scores = np.linspace(1, 0, K)
        rows = [
            (f"u{start + n}", UserRow(row[:K], scores, row[K:], np.zeros(0), vectors[n]).to_bytes())
            for n, row in enumerate(numbers)
        ]
        store.write_rows(release.version, rows, start + len(rows))
    store.switch(release)
    return time.perf_counter() - began


def report(store: Store) -> float:
    """Reports events of random users in reports of 1000 and returns the seconds."""
    began = time.perf_counter()
    for start in range(0, EVENTS, 1000):
        store.append([Event(f"event-{start + n}", f"v{(start + n) % 5000}", f"{n}", 1.7e9) for n in range(1000)])
    return time.perf_counter() - began


def sqlite(run: Path, users: int) -> Found:
    """Returns what a store of so many users takes, and how a server answers from it."""
    with TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        address = f"sqlite:///{folder}/store.db"
        published(run, address)
        store = open_store(address)
        before = size(Path(folder))
        release = store.current()
        assert release is not None
        seconds = fill(store, release.model_copy(update={"version": "many", "users": users, "k": K}), users)
        store.close()
        rows = size(Path(folder)) - before
        chance = random.Random(0)
        with served("l2rec", "serve", "--store", address, probe="/readyz?model=live") as (port, ready):
            [server] = psutil.Process().children()
            asked = load(
                port,
                lambda: [get(f"/v1/users/u{chance.randrange(users)}/recommendations")],
                seconds=5,
                connections=CONNECTIONS,
            )
            resident = server.memory_info().rss / MIB
        return {
            "users": users,
            "bytes a row on the disk": round(rows / users),
            "rows written a second": round(users / seconds),
            "seconds to ready": round(ready, 2),
            "MiB of the server after the load": round(resident),
            "lists a second": round(checked(asked).rate),
        }


def size(folder: Path) -> int:
    """Returns the bytes of all files of a folder."""
    return sum(path.stat().st_size for path in folder.iterdir())


def memory() -> Found:
    """Returns what rows and events take in a Redis server."""
    with TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        kept = redis(Path(folder))
        kept.start()
        server = psutil.Process(kept.process.pid) if kept.process else None
        assert server is not None
        empty = server.memory_info().rss
        store = open_store(f"redis://127.0.0.1:{kept.port}/0")
        made = Release(
            version="many",
            run="run",
            model="model",
            weights="",
            created=1.0,
            k=K,
            users=50_000,
            items=10_000,
            upto=0,
            popular=(),
            finished=2.0,
        )
        seconds = fill(store, made, made.users)
        full = server.memory_info().rss
        told = report(store)
        events = server.memory_info().rss - full
        store.close()
        kept.kill()
        return {
            "users": made.users,
            "bytes a row in memory": round((full - empty) / made.users),
            "rows written a second": round(made.users / seconds),
            "bytes an event in memory": round(events / EVENTS),
            "events a second, reports of 1000": round(EVENTS / told),
        }


def items(count: int) -> Found:
    """Returns what a catalogue takes in a server beside the model: texts, ids, vectors, tokens for filters."""
    before = psutil.Process().memory_info().rss
    texts = tuple(f"A title of item {n} with some words (1999) | Action | Drama | number {n}" for n in range(count))
    attributes = tuple((f"genres=g{n % 20}", f"genres=h{n % 17}", f"year={n % 90}") for n in range(count))
    made = Items(texts, tuple(text[:40] for text in texts), attributes, torch.zeros(count, dtype=torch.long))
    catalogue = Catalogue(made, Ids.of([f"item-{n}" for n in range(count)]))
    vectors = torch.rand(count, WIDTH)
    shelf = Shelf(
        catalogue, count, frozenset(), frozenset(), Tokens(attributes), np.zeros(0, np.int64), np.zeros((0, WIDTH))
    )
    for number in range(count):
        shelf.fragment(number)
    grown = psutil.Process().memory_info().rss - before
    return {"items": len(vectors), "bytes an item in memory": round(grown / count)}


if __name__ == "__main__":
    main()
