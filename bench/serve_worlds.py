"""What the service is measured on: runs, a small log, and a store with a great many users."""

import gzip
import subprocess
import sys
from importlib import resources
from pathlib import Path

import numpy as np

from l2rec.serving.records import Release, UserRow
from l2rec.serving.store.opening import open_store

HERE = Path(__file__).resolve().parent
READERS = 40
"""Users of the small log."""


def command(*words: str) -> None:
    """Runs an l2rec command."""
    subprocess.run([sys.executable, "-m", "l2rec", *words], check=True, stdout=subprocess.DEVNULL)


def trained(folder: Path, data: str, *settings: str) -> Path:
    """Returns a run of the demonstration's settings, changed by `settings`."""
    config = HERE.parent / "configs" / "demo" / "l2rec.toml"
    changes = [word for setting in (f"data={data}", *settings) for word in ("--set", setting)]
    command("train", str(config), "--out", str(folder), *changes)
    return folder


def few(folder: Path) -> Path:
    """Returns prepared data of the sample's whole catalogue and its first users."""
    source = resources.files("l2rec.data.sample") / "ml-latest-small"
    folder.mkdir()
    for name in ("movies.csv", "tags.csv", "links.csv"):
        (folder / name).write_bytes(gzip.decompress((source / f"{name}.gz").read_bytes()))
    head, *rows = gzip.decompress((source / "ratings.csv.gz").read_bytes()).decode("utf-8").splitlines()
    kept = [row for row in rows if int(row.split(",")[0]) <= READERS]
    (folder / "ratings.csv").write_text("\n".join([head, *kept]) + "\n", encoding="utf-8")
    command("prepare", str(folder), "--out", str(folder / "prepared"))
    return folder / "prepared"


def million(here: Path, store: str, users: int) -> str:
    """Returns a store with a release of many users, whose rows are drawn; the run is the same."""
    small = open_store(store)
    release = small.current()
    assert release is not None
    small.close()
    address = f"sqlite:///{here / 'many.db'}"
    many = open_store(address)
    made = Release(**{**release.model_dump(), "version": "many", "users": users, "k": 20})
    many.begin(made)
    chance = np.random.default_rng(2)
    vector = chance.standard_normal(384).astype(np.float16)
    for start in range(0, users, 10_000):
        rows = []
        for number in range(start, min(start + 10_000, users)):
            items = chance.integers(0, release.items, 30)
            row = UserRow(items[:20], np.linspace(1, 0, 20), items[20:], np.zeros(0), vector)
            rows.append((f"u{number}", row.to_bytes()))
        many.write_rows(made.version, rows, min(start + 10_000, users))
    many.switch(made)
    many.close()
    return address
