"""Reads the users table and turns its columns into one vector a user, scaled by what the training users are like."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl

from l2rec.data.catalog import cleaned, rows
from l2rec.data.columns import Columns
from l2rec.data.tables import KEY, Table

MOST_VALUES = 64
_POSTAL = ("zip", "zip_code", "zipcode", "postal_code", "postcode", "zip-code")
_LEADING_ZERO = r"^[+-]?0\d"


@dataclass(frozen=True)
class People:
    """The users table.

    Attributes:
        frame: `KEY`, the user's id, and the attribute columns, as text or numbers.
        duplicates: Rows that were left out since an earlier row has their id.
    """

    frame: pl.DataFrame
    duplicates: int


@dataclass(frozen=True)
class Vectors:
    """Attribute vectors.

    Attributes:
        values: One row a user.
        names: What each column means: `age`, `gender=F`.
        left_out: Columns that make no number, each with the reason.
    """

    values: npt.NDArray[np.float32]
    names: tuple[str, ...]
    left_out: tuple[str, ...]


def read(table: Table | None, columns: Columns) -> People | None:
    """Returns the users table; None where there is none. Of rows with one id the first counts.

    Raises:
        DataError: a row cannot be read or has no id, and bad rows are refused.
    """
    if table is None:
        return None
    wanted = list(dict.fromkeys([columns.user_key, *columns.user_attributes]))
    frame, _ = rows(table, wanted, columns.user_key, columns.bad_rows)
    distinct = frame.unique(KEY, keep="first", maintain_order=True)
    attributes = [_typed(distinct[name]) for name in columns.user_attributes]
    people = pl.DataFrame([distinct[KEY], *attributes])
    return People(people, len(frame) - len(distinct))


def _typed(column: pl.Series) -> pl.Series:
    """Numbers where every value is one, but for postal codes and what has leading zeros; else cleaned text."""
    if column.dtype.is_numeric() and column.name.lower() not in _POSTAL:
        return column.cast(pl.Float64)
    text = pl.Series(column.name, [cleaned(cell) or None for cell in column.to_list()], dtype=pl.String)
    numbers = text.cast(pl.Float64, strict=False)
    plain = numbers.null_count() == text.null_count() < len(text) and numbers.is_finite().all()
    code = column.name.lower() in _POSTAL or bool(text.str.contains(_LEADING_ZERO).any())
    return numbers if plain and not code else text


def vectors(people: pl.DataFrame, trained: npt.NDArray[np.bool_]) -> Vectors:
    """Returns one vector a user: numbers standardised, texts one column a value, both as the training users have them.

    A missing number is the mean; a text that no training user has is no column.

    Args:
        people: One row a user; a row of nulls where the users table lacks the user.
        trained: Which users have training events.
    """
    blocks, names, left_out = [np.zeros((len(people), 0))], list[str](), list[str]()
    for name in people.columns:
        column = people[name]
        known = column.filter(pl.Series(trained)).drop_nulls()
        if column.dtype == pl.Float64:
            mean, deviation = known.mean(), known.std(ddof=0)
            if not known.len() or not deviation:
                left_out.append(f"{name}: the same for all training users")
                continue
            blocks.append(((column - mean) / deviation).fill_null(0).to_numpy()[:, None])
            names.append(name)
            continue
        values = known.unique().sort().to_list()
        if not 2 <= len(values) <= MOST_VALUES:
            left_out.append(f"{name}: {len(values)} values among training users, expected 2 to {MOST_VALUES}")
            continue
        blocks.append(np.stack([(column == value).fill_null(value=False).to_numpy() for value in values], 1))
        names += [f"{name}={value}" for value in values]
    return Vectors(np.concatenate(blocks, 1).astype(np.float32), tuple(names), tuple(left_out))
