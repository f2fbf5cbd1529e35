"""A file of a source as a lazy frame of its columns, with a way back from a row to the line it stands on."""

import csv
import gzip
import io
import itertools
import json
import re
import zlib
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Literal, NamedTuple, final

import polars as pl

from l2rec.errors import DataError

ROW = "l2rec_row"
_CHUNK = 100_000
_FIELD_CHARACTERS = 2**31 - 1


class Line(NamedTuple):
    """One row as it stands in a text file: its first line's number, its values, and what is wrong with it, if so."""

    number: int
    values: dict[str, str | None]
    complaint: str


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


@dataclass(frozen=True)
class TextTable(Table, ABC):
    """A file of lines, plain or gzipped.

    Attributes:
        encoding: Of the text.
    """

    encoding: str = "utf-8"

    @abstractmethod
    def lines(self, text: IO[str]) -> Iterator[Line]:
        """Yields the rows of the opened file, the header excluded, as `scan` counts them."""

    def place(self, row: int) -> str:
        """See the base class."""
        line = next((line.number for line in itertools.islice(self._opened_lines(), row, None)), row + 1)
        return f"{self.path.name} line {line}"

    def patient(self, wanted: Sequence[str], drop: bool) -> tuple[pl.DataFrame, int]:
        """See the base class."""
        schema = {ROW: pl.UInt32(), **dict.fromkeys(wanted, pl.String())}
        chunks, dropped = [pl.DataFrame(schema=schema)], 0
        rows = enumerate(self._opened_lines())
        while chunk := list(itertools.islice(rows, _CHUNK)):
            bad = [line for _, line in chunk if line.complaint]
            if bad and not drop:
                place = f"{self.path.name} line {bad[0].number}"
                raise DataError(f"{place}: {bad[0].complaint}. Fix the row, or pass --bad-rows drop.")
            dropped += len(bad)
            good = [(row, *map(line.values.get, wanted)) for row, line in chunk if not line.complaint]
            chunks.append(pl.DataFrame(good, schema=schema, orient="row"))
        return pl.concat(chunks), dropped

    def source(self) -> Path | io.BytesIO:
        """The file, or its text in UTF-8 where polars could not read its encoding."""
        if self.encoding == "utf-8":
            return self.path
        with opened(self.path, self.encoding) as text:
            return io.BytesIO(text.read().encode("utf-8"))

    def _opened_lines(self) -> Iterator[Line]:
        with opened(self.path, self.encoding) as text:
            yield from self.lines(text)


@final
@dataclass(frozen=True)
class CsvTable(TextTable):
    """Fields between separators.

    Attributes:
        separator: One character.
        header: Whether the first row holds the names.
        quotes: Whether double quotes enclose fields.
    """

    separator: str = ","
    header: bool = True
    quotes: bool = True

    def scan(self, wanted: Sequence[str]) -> pl.LazyFrame:
        """See the base class."""
        frame = pl.scan_csv(
            self.source(),
            separator=self.separator,
            has_header=self.header,
            new_columns=list(self.columns),
            quote_char='"' if self.quotes else None,
            infer_schema=False,
            row_index_name=ROW,
        )
        return frame.select(ROW, *wanted)

    def lines(self, text: IO[str]) -> Iterator[Line]:
        """See the base class."""
        csv.field_size_limit(_FIELD_CHARACTERS)
        quoting: Literal[0, 3] = csv.QUOTE_MINIMAL if self.quotes else csv.QUOTE_NONE
        reader = csv.reader(text, delimiter=self.separator, quoting=quoting, strict=True)
        first, skip = 1, self.header
        while True:
            complaint, fields = "", list[str]()
            try:
                fields = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                complaint = self._unclosed(first, error)
            if len(fields) > len(self.columns):
                complaint = f"{len(fields)} fields: expected {len(self.columns)} ({', '.join(self.columns)})"
            if not skip:
                yield Line(first, dict(zip(self.columns, fields, strict=False)), complaint)
            first, skip = reader.line_num + 1, False

    def _unclosed(self, line: int, error: csv.Error) -> str:
        """A stray quote is one bad row; one that swallows the rest of the file cannot be dropped with it."""
        if "unexpected end of data" in str(error):
            remedy = "Close it, or pass --no-quotes if quotes are plain characters."
            raise DataError(f"{self.path.name} line {line}: a double quote is never closed. {remedy}") from None
        return f"{error}"


@final
@dataclass(frozen=True)
class JsonTable(TextTable):
    """One JSON object a line; numbers become text, lists and objects the text of their JSON."""

    def scan(self, wanted: Sequence[str]) -> pl.LazyFrame:
        """See the base class."""
        schema = dict.fromkeys(wanted, pl.String())
        return pl.scan_ndjson(self.source(), schema=schema, row_index_name=ROW).select(ROW, *wanted)

    def lines(self, text: IO[str]) -> Iterator[Line]:
        """See the base class."""
        for number, line in enumerate(text, 1):
            if not line.strip():
                continue
            try:
                values, complaint = json.loads(line), ""
            except ValueError as error:
                values, complaint = {}, f"not JSON: {error}"
            if not isinstance(values, dict):
                values, complaint = {}, "expected a JSON object in braces"
            yield Line(number, {key: _text(value) for key, value in values.items()}, complaint)


@final
@dataclass(frozen=True)
class PatternTable(TextTable):
    """One row a line, taken apart by a regular expression, for separators of several characters.

    Attributes:
        pattern: The expression for a whole line, with one group a column, in their order.
        layout: What a line should look like, for the message.
    """

    pattern: str = ""
    layout: str = ""

    def scan(self, wanted: Sequence[str]) -> pl.LazyFrame:
        """See the base class; polars knows no such separator, so that these files are always read line by line."""
        raise pl.exceptions.ComputeError(f"{self.path.name}: {', '.join(wanted)}: read it line by line")

    def lines(self, text: IO[str]) -> Iterator[Line]:
        """See the base class."""
        whole = re.compile(self.pattern)
        for number, line in enumerate(text, 1):
            match = whole.fullmatch(line.rstrip("\r\n"))
            if match:
                yield Line(number, dict(zip(self.columns, match.groups(), strict=True)), "")
            elif line.strip():
                yield Line(number, {}, f'"{line.strip()[:80]}": expected {self.layout}')


@final
@dataclass(frozen=True)
class ParquetTable(Table):
    """A Parquet file; its values keep their types."""

    def scan(self, wanted: Sequence[str]) -> pl.LazyFrame:
        """See the base class."""
        return pl.scan_parquet(self.path).select(wanted).with_row_index(ROW)

    def place(self, row: int) -> str:
        """See the base class."""
        return f"{self.path.name} row {row}"

    def patient(self, wanted: Sequence[str], drop: bool) -> tuple[pl.DataFrame, int]:
        """See the base class; a Parquet file is read whole or not at all."""
        del drop
        try:
            return self.scan(wanted).collect(), 0
        except (pl.exceptions.PolarsError, OSError) as error:
            raise _damaged(self.path, error) from None


def table(path: Path, encoding: str, quotes: bool | None) -> Table:
    """Returns the file as a table, its kind told by its name and its columns by its first lines.

    Args:
        path: A file named .parquet, .csv, .tsv or .jsonl (.json, .ndjson); text may be gzipped (.gz).
        encoding: Of a text file.
        quotes: Whether double quotes enclose fields; None for yes in CSV and no in TSV.

    Raises:
        DataError: the file is missing, empty, damaged, of another kind, or names a column twice.
    """
    kind = path.name.removesuffix(".gz").rpartition(".")[2].lower()
    if kind == "parquet":
        return ParquetTable(path, _parquet_columns(path))
    if kind in ("csv", "tsv"):
        separator = "," if kind == "csv" else "\t"
        quoted = kind == "csv" if quotes is None else quotes
        raw = CsvTable(path, (), encoding, separator, False, quoted)
        return CsvTable(path, _header(path, raw), encoding, separator, True, quoted)
    if kind in ("jsonl", "json", "ndjson"):
        return JsonTable(path, _keys(path, encoding), encoding)
    raise DataError(f"{path}: a file of kind .{kind}: expected .parquet, .csv, .tsv or .jsonl. Convert or rename it.")


@contextmanager
def opened(path: Path, encoding: str) -> Iterator[IO[str]]:
    """Opens the file as text, a byte-order mark and gzip taken off.

    Raises:
        DataError: there is no such file, or its bytes are not what its name or the encoding says.
    """
    if not path.is_file():
        raise DataError(f"{path}: no such file. Pass the path of a file or folder that is there.")
    mode = "utf-8-sig" if encoding == "utf-8" else encoding
    opener = gzip.open if path.name.endswith(".gz") else open
    try:
        with opener(path, "rt", encoding=mode, newline="") as text:
            yield text
    except UnicodeDecodeError as error:
        byte = f"byte {error.object[error.start]:#04x}"
        remedy = "Pass --encoding latin-1, or convert the file."
        raise DataError(f"{path.name}: {byte} is not {encoding}. {remedy}") from None
    except (EOFError, OSError, zlib.error) as error:
        raise DataError(f"{path.name}: cannot be read: {error}. Fetch it again.") from None


def identifier(name: str, kind: pl.DataType) -> pl.Expr:
    """Returns a column as text without blanks around it, whole numbers without a point, null as the empty text."""
    column = pl.col(name)
    if kind.is_float():
        whole = column.cast(pl.Int64, strict=False)
        column = pl.when(whole == column).then(whole.cast(pl.String)).otherwise(column.cast(pl.String))
    return column.cast(pl.String, strict=False).str.strip_chars().fill_null("")


def _header(path: Path, raw: CsvTable) -> tuple[str, ...]:
    with opened(path, raw.encoding) as text:
        first = next(csv.reader(text, delimiter=raw.separator, quoting=csv.QUOTE_MINIMAL if raw.quotes else 3), [])
    names = tuple(name.strip() for name in first)
    if not any(names):
        raise DataError(f"{path.name}: no header in line 1. Put the columns' names there.")
    return _distinct(path, names)


def _distinct(path: Path, names: tuple[str, ...]) -> tuple[str, ...]:
    twice = next((name for place, name in enumerate(names) if name in names[:place]), None)
    if twice is not None:
        raise DataError(f'{path.name}: the column "{twice}" occurs twice. Rename one of them.')
    return names


def _keys(path: Path, encoding: str) -> tuple[str, ...]:
    """The keys of the first 1,000 objects; a line that is no object is left for the reading to complain of."""
    with opened(path, encoding) as text:
        lines = JsonTable(path, (), encoding).lines(text)
        names = dict.fromkeys(key for line in itertools.islice(lines, 1000) for key in line.values)
    return tuple(names)


def _parquet_columns(path: Path) -> tuple[str, ...]:
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


def _text(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False)
