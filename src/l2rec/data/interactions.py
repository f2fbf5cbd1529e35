"""Reads a log: every row checked, times in one unit, written once as plain columns that the rest of the way reads."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import polars as pl

from l2rec.data import times
from l2rec.data.columns import Columns
from l2rec.data.sources import Source
from l2rec.data.tables import ROW, Table, identifier, unpointed
from l2rec.errors import DataError


@dataclass(frozen=True)
class Log:
    """A log that was read and checked.

    Attributes:
        path: Parquet file with `user_id`, `item_id`, `time` (microseconds, or a position) and perhaps `rating`.
        rows: Rows of the source, blank ones excluded.
        bad_rows: Rows that were dropped since they could not be read.
        rated: Whether there are ratings.
        timestamp_kind: Whether times are times or positions.
    """

    path: Path
    rows: int
    bad_rows: int
    rated: bool
    timestamp_kind: Literal["seconds", "position"]


def read(source: Source, folder: Path) -> Log:
    """Reads the log of `source` in a stream and writes it, checked, into `folder`.

    Raises:
        DataError: a row cannot be read and bad rows are refused, or no row is left.
    """
    table, columns = source.interactions, source.columns
    if source.timestamp_kind == "position":
        columns = columns.model_copy(update={"time_format": "position"})
    checked, path = folder / "checked.parquet", folder / "log.parquet"
    form, lost = _checked(table, columns, checked)
    facts = _facts(checked)
    bad, name = facts["bad"] + lost, table.path.name
    if facts["bad"] and columns.bad_rows == "refuse":
        raise DataError(_complaint(table, columns, checked, form, facts["first_bad"]))
    if facts["rows"] == facts["bad"]:
        why = f"{bad} bad rows were dropped" if bad else "it has no rows"
        raise DataError(f"{name}: no events are left: {why}. Check the file and the columns' names.")
    _no_days(checked, form, facts, name)
    scale = times.scale(form, facts["low"], facts["high"], name)
    good = pl.scan_parquet(checked).filter(pl.col("problem") == 0)
    rating = ["rating"] if _rated(columns) else []
    time = (pl.col("time") * scale).round().cast(pl.Int64)
    good.select("user_id", "item_id", time, *rating).sink_parquet(path, compression="uncompressed")
    checked.unlink()
    return Log(path, facts["rows"] + lost, bad, _rated(columns), source.timestamp_kind)


def _rated(columns: Columns) -> bool:
    return columns.rating != "none"


def _wanted(columns: Columns) -> list[str]:
    rating = [columns.rating] if _rated(columns) else []
    return list(dict.fromkeys([columns.user, columns.item, columns.time, *rating]))


def _checked(table: Table, columns: Columns, path: Path) -> tuple[str, int]:
    """Writes the checked rows; returns the times' form and how many lines could not even be taken apart."""
    wanted = _wanted(columns)
    try:
        return _sunk(table.scan(wanted), columns, path), 0
    except (pl.exceptions.PolarsError, OSError):
        rows, lost = table.patient(wanted, columns.bad_rows == "drop")
        return _sunk(rows.lazy(), columns, path), lost


def _sunk(frame: pl.LazyFrame, columns: Columns, path: Path) -> str:
    """Writes one column a value, and `problem`: 1 to 4 for user, item, time or rating, the first that is bad."""
    frame = unpointed(frame, (columns.user, columns.item, columns.time))
    schema = frame.collect_schema()
    form = times.form(frame, columns.time, columns.time_format)
    blank = pl.all_horizontal(identifier(name, schema[name]) == "" for name in _wanted(columns))
    values = {
        "user_id": identifier(columns.user, schema[columns.user]),
        "item_id": identifier(columns.item, schema[columns.item]),
        "time": times.numbers(columns.time, schema[columns.time], form, columns.time_format),
    }
    timed = times.within(pl.col("time"), form).fill_null(value=False)
    problems = [pl.col("user_id") == "", pl.col("item_id") == "", ~timed]
    if _rated(columns):
        raw = identifier(columns.rating, schema[columns.rating])
        values["rating"] = raw.cast(pl.Float32, strict=False)
        values["unread"] = (raw != "") & ~raw.cast(pl.Float32, strict=False).is_finite().fill_null(value=False)
        problems.append(pl.col("unread"))
    problem = pl.lit(0, pl.UInt8)
    for number, bad in reversed(list(enumerate(problems, 1))):
        problem = pl.when(bad).then(pl.lit(number, pl.UInt8)).otherwise(problem)
    rows = frame.filter(~blank).select(pl.col(ROW), **values).with_columns(problem=problem)
    rows.drop("unread", strict=False).sink_parquet(path, compression="uncompressed")
    return form


def _facts(checked: Path) -> dict[str, Any]:
    bad = pl.col("problem") > 0
    time = pl.col("time").filter(~bad)
    facts = {
        "rows": pl.len(),
        "bad": bad.sum(),
        "first_bad": pl.col(ROW).filter(bad).min(),
        "low": time.min(),
        "high": time.max(),
    }
    return pl.scan_parquet(checked).select(**facts).collect(engine="streaming").row(0, named=True)


def _no_days(checked: Path, form: str, facts: dict[str, Any], name: str) -> None:
    """Refuses numbers of no told unit that are all days of the calendar, since as seconds they would be 1970."""
    if form != "auto" or not times.days(facts["low"], facts["high"]):
        return
    days = times.day(pl.col("time").filter(pl.col("problem") == 0)).all()
    if pl.scan_parquet(checked).select(days).collect(engine="streaming").item():
        span = f"{facts['low']:.0f} to {facts['high']:.0f}"
        remedy = "Pass --time-format %Y%m%d if they are, or --time-format seconds."
        raise DataError(f"{name}: times from {span}: all look like dates written yyyymmdd. {remedy}")


def _complaint(table: Table, columns: Columns, checked: Path, form: str, row: int) -> str:
    """Says what is wrong with a bad row."""
    told = pl.scan_parquet(checked).filter(pl.col(ROW) == row).select("problem", "time").collect()
    problem, time = told.row(0)
    name = (columns.user, columns.item, columns.time, columns.rating)[problem - 1]
    value = table.value(row, name)
    place = f"{table.place(row)}: {name}"
    if not value.strip():
        return f"{place}: empty. Fix the row, or pass --bad-rows drop."
    if name == columns.rating:
        return f'{place} "{value}": expected a number. Fix the row, or pass --rating none.'
    if time is not None and math.isfinite(time):
        return f'{place} "{value}": {times.limit(form)}. Fix the row, or pass another --time-format.'
    wanted = columns.time_format
    expected = "seconds since 1970 or an ISO date" if wanted == "auto" else f"what --time-format {wanted} says"
    return f'{place} "{value}": expected {expected}. Fix the row, or pass --time-format.'
