"""From a source to a prepared folder: read, order, split, number, describe, write, sign."""

import tempfile
from pathlib import Path

import numpy as np
import polars as pl

from l2rec.data import catalog, interactions, order, people, splits
from l2rec.data import division as division_of
from l2rec.data import manifest as manifests
from l2rec.data.catalog import Catalogue
from l2rec.data.columns import Columns
from l2rec.data.division import Division
from l2rec.data.interactions import Log
from l2rec.data.manifest import Counts, Manifest
from l2rec.data.order import Ordered
from l2rec.data.people import People, Vectors
from l2rec.data.prepared import Prepared, load
from l2rec.data.sources import Source, find
from l2rec.data.splits import TRAIN, SplitSettings
from l2rec.data.tables import KEY
from l2rec.errors import DataError

PARTS = ("train", "validation", "test")
_ROW_GROUP = 1_000_000
_DEFAULT_COLUMNS = Columns()
_DEFAULT_SPLIT = SplitSettings()


def prepare(
    source: str | Path,
    out: str | Path,
    *,
    source_kind: str = "auto",
    columns: Columns = _DEFAULT_COLUMNS,
    split: SplitSettings = _DEFAULT_SPLIT,
    force: bool = False,
) -> Prepared:
    """Writes a prepared folder and returns it; the same source and settings give the same bytes.

    Args:
        source: A folder of a public format, or the file of a log.
        out: The folder to write; it appears only when it is complete.
        source_kind: The format's name; `auto` to tell it by the files.
        columns: Names of the source's columns; what is left open is guessed.
        split: How the log is divided.
        force: Whether a prepared folder that is there already is replaced.

    Raises:
        DataError: the source cannot be read or split as it is, or `out` is there already.
    """
    out = Path(out)
    _free(out, force)
    found = find(Path(source), source_kind, columns)
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{out.name}.", dir=out.parent) as work:
        fresh = Path(work) / out.name
        fresh.mkdir()
        _write(found, Path(source).resolve().name, split, fresh)
        _replace(fresh, out, Path(work) / "old")
    return load(out)


def _free(out: Path, force: bool) -> None:
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return
    if not (out / manifests.FILE).is_file():
        raise DataError(f"{out}: exists and is no prepared folder. Choose another folder.")
    if not manifests.described(out):
        what = f"exists, and its {manifests.FILE} is not that of a prepared folder"
        raise DataError(f"{out}: {what}. Choose another folder, or remove this one yourself.")
    if not force:
        raise DataError(f"{out}: already prepared. Pass --force to replace it, or choose another folder.")


def _replace(fresh: Path, out: Path, old: Path) -> None:
    if out.exists():
        out.rename(old)
    fresh.rename(out)


def _write(source: Source, name: str, split: SplitSettings, folder: Path) -> None:
    columns = source.columns
    splits.checked(split, source.timestamp_kind, columns.rating != "none")
    log = interactions.read(source, folder)
    catalogue = catalog.read(source.items, columns)
    users = people.read(source.users, columns)
    events = order.ordered(log, catalogue.frame["item_id"], split, columns.duplicate_rows == "keep")
    log.path.unlink()
    division = division_of.divided(events, catalogue.frame["item_id"], split, log.timestamp_kind)
    counts = _log_counts(log, events, division) | _item_counts(catalogue, division)
    tables = {f"{part}.parquet": _part(division.frame, number, split) for number, part in enumerate(PARTS)}
    tables["items.parquet"] = _items(division, catalogue)
    tables["users.parquet"], vectors = _users(division, users)
    counts |= _table_counts(tables) | _user_counts(users, division)
    for file, table in tables.items():
        table.write_parquet(folder / file, compression="zstd", row_group_size=_ROW_GROUP)
    moments = division.frame["timestamp"].to_numpy()
    Manifest(
        source=name,
        source_kind=source.kind,
        columns=columns,
        split=split,
        split_name=split.name,
        timestamp_kind=log.timestamp_kind,
        first_time=int(moments.min()),
        last_time=int(moments.max()),
        validation_from=division.cuts.validation_from,
        test_from=division.cuts.test_from,
        tie_share=division.tied / len(moments),
        user_columns=vectors.names,
        left_out_user_columns=vectors.left_out,
        counts=Counts(**counts),
        files={file: manifests.digest(folder / file) for file in manifests.TABLES},
    ).signed().write(folder)


def _part(frame: pl.DataFrame, number: int, split: SplitSettings) -> pl.DataFrame:
    events = frame.filter(pl.col("part") == number).drop("part")
    columns = ["user", "item", "timestamp", *(["rating"] if "rating" in events.columns else [])]
    if number == TRAIN:
        return events.select(columns)
    case = splits.cases(events["user"].to_numpy(), split)
    return events.select(*columns, pl.Series("case", case, pl.Int32))


def _items(division: Division, catalogue: Catalogue) -> pl.DataFrame:
    numbered = pl.DataFrame({"item_id": division.item_ids, "count": division.counts})
    described = numbered.join(catalogue.frame, on="item_id", how="left", maintain_order="left")
    return described.select(
        "item_id",
        pl.col("title", "text").fill_null(""),
        pl.col("attributes").fill_null([]),
        pl.col("count").cast(pl.Int64),
    )


def _users(division: Division, users: People | None) -> tuple[pl.DataFrame, Vectors]:
    table = pl.DataFrame({KEY: division.user_ids})
    if users is not None:
        table = table.join(users.frame, on=KEY, how="left", maintain_order="left")
    trained = np.zeros(len(table), bool)
    trained[division.frame.filter(pl.col("part") == TRAIN)["user"].unique().to_numpy()] = True
    vectors = people.vectors(table.drop(KEY), trained)
    taken: dict[str, str] = {name: f"attribute {name}" for name in ("user_id", "vector") if name in table.columns}
    table = table.rename({**taken, KEY: "user_id"})
    if vectors.names:
        return table.with_columns(pl.Series("vector", vectors.values).arr.to_list()), vectors
    return table.with_columns(pl.lit([], pl.List(pl.Float32)).alias("vector")), vectors


def _log_counts(log: Log, events: Ordered, division: Division) -> dict[str, int]:
    return {
        "rows": log.rows,
        "bad_rows": log.bad_rows,
        "low_rating": events.low_rating,
        "duplicate_rows": events.duplicates,
        "outside_core": division.outside_core,
        "outside_core_users": division.outside_core_users,
    }


def _item_counts(catalogue: Catalogue, division: Division) -> dict[str, int]:
    return {
        "items": len(division.item_ids),
        "new_items": int((division.counts == 0).sum()),
        "items_without_row": int((~division.item_ids.is_in(catalogue.frame["item_id"].implode())).sum()),
        "duplicate_items": catalogue.duplicates,
        "bad_items": catalogue.bad_rows,
    }


def _user_counts(users: People | None, division: Division) -> dict[str, int]:
    known = pl.Series([], dtype=pl.String) if users is None else users.frame[KEY]
    trained = division.frame.filter(pl.col("part") == TRAIN)["user"].n_unique()
    return {
        "users": len(division.user_ids),
        "new_users": len(division.user_ids) - trained,
        "users_without_events": int((~known.is_in(division.user_ids.implode())).sum()),
        "duplicate_users": 0 if users is None else users.duplicates,
    }


def _table_counts(tables: dict[str, pl.DataFrame]) -> dict[str, int]:
    held = {part: tables[f"{part}.parquet"] for part in PARTS[1:]}
    return {
        "train_events": len(tables["train.parquet"]),
        **{f"{part}_events": len(frame) for part, frame in held.items()},
        **{f"{part}_cases": int((frame["case"] >= 0).sum()) for part, frame in held.items()},
        "items_without_text": int((tables["items.parquet"]["text"] == "").sum()),
    }
