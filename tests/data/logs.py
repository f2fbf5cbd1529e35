"""Little sources on disk, and what a prepared folder says of them under outside ids."""

import gzip
import json
from collections.abc import Iterable
from pathlib import Path

import polars as pl

from l2rec.data.columns import Columns
from l2rec.data.prepare import prepare
from l2rec.data.prepared import Prepared
from l2rec.data.splits import SplitSettings

LOG = "user_id,item_id,timestamp\n"


def write(path: Path, text: str, encoding: str = "utf-8") -> Path:
    """Writes a text file, gzipped if its name ends so, and returns its path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    content = text.encode(encoding)
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
    return path


def json_lines(records: Iterable[object]) -> str:
    """Records as JSON lines."""
    return "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records)


def prepared(source: Path, columns: Columns | None = None, split: SplitSettings | None = None) -> Prepared:
    """Prepares a source beside itself."""
    out = source.parent / f"{source.name}.prepared"
    return prepare(source, out, columns=columns or Columns(), split=split or SplitSettings(), force=True)


def events(data: Prepared) -> list[tuple[str, str, int]]:
    """All events as (user_id, item_id, timestamp), by user id and in order."""
    found = []
    for part in ("train", "validation", "test"):
        frame = pl.read_parquet(data.folder / f"{part}.parquet").select("user", "item", "timestamp")
        found += [(data.user_ids.id(u), data.item_ids.id(i), t) for u, i, t in frame.rows()]
    return sorted(found, key=lambda event: event[0])


def ratings(data: Prepared) -> list[float]:
    """All ratings, sorted."""
    parts = [pl.read_parquet(data.folder / f"{part}.parquet") for part in ("train", "validation", "test")]
    return sorted(rating for frame in parts for rating in frame["rating"])


def texts(data: Prepared) -> dict[str, str]:
    """The text of every item by its id."""
    return dict(zip(data.item_ids.values, data.items.texts, strict=True))


def tokens(data: Prepared) -> dict[str, tuple[str, ...]]:
    """The attributes of every item by its id."""
    return dict(zip(data.item_ids.values, data.items.attributes, strict=True))


def people(data: Prepared) -> dict[str, list[float]]:
    """The attribute vector of every user by its id."""
    return dict(zip(data.user_ids.values, data.train.attributes.tolist(), strict=True))
