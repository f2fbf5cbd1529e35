"""Any log and catalogue: interactions, items and users as Parquet, CSV, TSV or JSON lines, plain or gzipped."""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import polars as pl

from l2rec.data.columns import Columns, resolved
from l2rec.data.sources._open import table
from l2rec.data.sources._source import Source
from l2rec.data.tables import Table
from l2rec.errors import DataError

LOGS = ("interactions", "events", "ratings", "reviews", "log")
ITEMS = ("items", "movies", "products", "articles", "catalogue", "catalog", "metadata", "meta")
USERS = ("users", "people", "customers")
KINDS = ("parquet", "csv", "csv.gz", "tsv", "tsv.gz", "jsonl", "jsonl.gz", "ndjson", "json", "json.gz")


def present(path: Path) -> bool:
    """Returns whether the path is a file, or a folder with a log under one of the usual names."""
    return path.is_file() or find(path, LOGS) is not None


def read(path: Path, columns: Columns) -> Source:
    """Returns the source at `path`: one file, or a folder with `interactions.*` and perhaps `items.*`, `users.*`.

    Raises:
        DataError: the log is missing, a table is found twice, or a column is missing.
    """
    log = path if path.is_file() else find(path, LOGS)
    if log is None:
        raise DataError(f"{path}: holds no {LOGS[0]} file (.parquet, .csv, .tsv, .jsonl). Pass the path of the log.")
    interactions = table(log, columns.encoding, columns.quotes)
    items = _beside(path, columns.items_file, ITEMS, columns)
    users = _beside(path, columns.users_file, USERS, columns)
    names = resolved(columns, interactions, items, users)
    return Source("generic", interactions, items, users, names, _timestamp_kind(log, columns))


def find(folder: Path, stems: Sequence[str]) -> Path | None:
    """Returns the folder's file of one of these stems, the earlier stems first.

    Raises:
        DataError: one stem has two files of different kinds.
    """
    for stem in stems:
        there = [folder / f"{stem}.{kind}" for kind in KINDS if (folder / f"{stem}.{kind}").is_file()]
        if len(there) > 1:
            raise DataError(
                f"{folder}: holds {there[0].name} and {there[1].name}. Remove one, or pass one file's path."
            )
        if there:
            return there[0]
    return None


def _beside(path: Path, named: str, stems: Sequence[str], columns: Columns) -> Table | None:
    file = Path(named) if named else (None if path.is_file() else find(path, stems))
    return None if file is None else table(file, columns.encoding, columns.quotes)


def _timestamp_kind(log: Path, columns: Columns) -> Literal["seconds", "position"]:
    if columns.time_format != "auto":
        return "position" if columns.time_format == "position" else "seconds"
    said = pl.read_parquet_metadata(log).get("timestamp_kind") if log.suffix == ".parquet" else None
    return "position" if said == "position" else "seconds"
