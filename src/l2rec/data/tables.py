"""A file of a source as a lazy frame of its columns, with a way back from a row to the place where it stands."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import final

import polars as pl

from l2rec.errors import DataError

ROW = "l2rec_row"
KEY = "l2rec_id"
_POINTED = r"^-?(?:0|[1-9]\d*)\.0$"
_PEEK = 1000


@dataclass(frozen=True)
class Table(ABC):
    """One file of a source, not read yet.

    Attributes:
        path: The file.
        columns: Names of its columns, in their order.
    """

    path: Path
    columns: tuple[str, ...]

    @abstractmethod
    def scan(self, wanted: Sequence[str]) -> pl.LazyFrame:
        """Returns the wanted columns and `ROW`, the row's index; a text file's values are text, not yet checked.

        Raises:
            PolarsError: now or when collected, the file is not clean; then `patient` says why.
        """

    @abstractmethod
    def place(self, row: int) -> str:
        """Returns where a row stands, as a person finds it: `interactions.csv line 1042`."""

    @abstractmethod
    def value(self, row: int, name: str) -> str:
        """Returns one value as text, for a message; slow, since it is needed once."""

    @abstractmethod
    def patient(self, wanted: Sequence[str], drop: bool) -> tuple[pl.DataFrame, int]:
        """Returns the wanted columns line by line, slowly, so that the first bad line is named or left out.

        Args:
            wanted: Names of columns.
            drop: Whether a line that cannot be taken apart is left out instead of refused.

        Returns:
            The frame, with `ROW` counting the lines that were left out too, and the number of lines left out.

        Raises:
            DataError: the file cannot be read, or a line cannot be taken apart and `drop` is False.
        """


@final
@dataclass(frozen=True)
class ParquetTable(Table):
    """A Parquet file; its values keep their types."""

    def scan(self, wanted: Sequence[str]) -> pl.LazyFrame:
        """See the base class."""
        return pl.scan_parquet(self.path).select(wanted).with_row_index(ROW)

    def place(self, row: int) -> str:
        """See the base class."""
        return f"{self.path.name} row {row + 1}"

    def value(self, row: int, name: str) -> str:
        """See the base class."""
        value = self.scan([name]).filter(pl.col(ROW) == row).collect()[name][0]
        return "" if value is None else str(value)

    def patient(self, wanted: Sequence[str], drop: bool) -> tuple[pl.DataFrame, int]:
        """See the base class; a Parquet file is read whole or not at all."""
        del drop
        try:
            return self.scan(wanted).collect(), 0
        except (pl.exceptions.PolarsError, OSError) as error:
            raise _damaged(self.path, error) from None


def identifier(name: str, kind: pl.DataType) -> pl.Expr:
    """Returns a column as text without blanks around it, whole numbers without a point, null as the empty text."""
    column = pl.col(name)
    if kind.is_float():
        whole = column.cast(pl.Int64, strict=False)
        column = pl.when(whole == column).then(whole.cast(pl.String)).otherwise(column.cast(pl.String))
    return column.cast(pl.String, strict=False).str.strip_chars().fill_null("")


def unpointed(frame: pl.LazyFrame, names: Sequence[str]) -> pl.LazyFrame:
    """Returns a frame whose text columns of whole numbers that were written as floats have no `.0` any more.

    A column that has missing values makes pandas write `7` as `7.0`. Only where every value that is there is such a
    number is it changed: among `1.1` and `1.10`, `1.0` is a name.

    Args:
        frame: The table, with its text not yet checked.
        names: The columns to look at.
    """
    schema = frame.collect_schema()
    for name in dict.fromkeys(names):
        text = pl.col(name).str.strip_chars()
        values = frame.select(text).filter(text.is_not_null() & (text != ""))
        if schema[name] == pl.String() and _all_pointed(values.head(_PEEK), name) and _all_pointed(values, name):
            frame = frame.with_columns(text.str.strip_suffix(".0"))
    return frame


def _all_pointed(values: pl.LazyFrame, name: str) -> bool:
    told = values.select(pl.col(name).str.contains(_POINTED).all()).collect(engine="streaming")
    return bool(told.item())


def parquet_columns(path: Path) -> tuple[str, ...]:
    """Returns the names of a Parquet file's columns.

    Raises:
        DataError: the file is missing or damaged.
    """
    if not path.is_file():
        raise DataError(f"{path}: no such file. Pass the path of a file or folder that is there.")
    try:
        return tuple(pl.read_parquet_schema(path))
    except (pl.exceptions.PolarsError, OSError) as error:
        raise _damaged(path, error) from None


def _damaged(path: Path, error: Exception) -> DataError:
    return DataError(
        f"{path.name}: not a readable Parquet file: {str(error).splitlines()[0]}. Write or fetch it again."
    )
