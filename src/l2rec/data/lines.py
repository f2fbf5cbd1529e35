"""Text files of a source, plain or gzipped: fields between separators, JSON objects, lines of a pattern."""

import csv
import gzip
import io
import itertools
import json
import re
import zlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple, final

import polars as pl

from l2rec.data.tables import ROW, Table
from l2rec.errors import DataError

_CHUNK = 100_000
_FIELD_CHARACTERS = 2**31 - 1
Values = dict[str, str | None]


class Line(NamedTuple):
    """One row as it stands in a text file: its first line's number, its values, and what is wrong with it, if so."""

    number: int
    values: Values
    complaint: str


@dataclass(frozen=True)
class TextTable(Table, ABC):
    """A file of lines, plain or gzipped.

    Attributes:
        encoding: Of the text.
        convert: Turns the values of a row, by name, into the values that count; such a file is read line by line.
        added: Those of `columns`, the last ones, that `convert` adds.
    """

    encoding: str = "utf-8"
    convert: Callable[[Values], Values] | None = None
    added: tuple[str, ...] = ()

    @property
    def written(self) -> tuple[str, ...]:
        """The columns that stand in the file, without those that `convert` adds."""
        return self.columns[: len(self.columns) - len(self.added)]

    @abstractmethod
    def lines(self, text: io.TextIOWrapper) -> Iterator[Line]:
        """Yields the rows of the opened file, the header excluded, as `scan_clean` counts them."""

    @abstractmethod
    def scan_clean(self, wanted: Sequence[str]) -> pl.LazyFrame:
        """Does what `scan` does, for a file whose values need no converting."""

    def scan(self, wanted: Sequence[str]) -> pl.LazyFrame:
        """See the base class."""
        if self.convert is not None:
            raise pl.exceptions.ComputeError(f"{self.path.name}: to be read line by line")
        return self.scan_clean(wanted)

    def place(self, row: int) -> str:
        """See the base class."""
        return f"{self.path.name} line {self._line(row).number}"

    def value(self, row: int, name: str) -> str:
        """See the base class."""
        return self._line(row).values.get(name) or ""

    def _line(self, row: int) -> Line:
        return next(itertools.islice(self._opened_lines(), row, None))

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
            for line in self.lines(text):
                if self.convert is None or line.complaint or not line.values:
                    yield line
                else:
                    yield line._replace(values=self.convert(line.values))


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

    def scan_clean(self, wanted: Sequence[str]) -> pl.LazyFrame:
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

    def lines(self, text: io.TextIOWrapper) -> Iterator[Line]:
        """See the base class."""
        csv.field_size_limit(_FIELD_CHARACTERS)
        reader = csv.reader(text, delimiter=self.separator, quoting=_quoting(self.quotes), strict=True)
        first, skip = 1, self.header
        while True:
            complaint, fields = "", list[str]()
            try:
                fields = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                complaint = self._unclosed(first, error)
            if len(fields) > len(self.written):
                complaint = f"{len(fields)} fields: expected {len(self.written)} ({', '.join(self.written)})"
            if not skip:
                yield Line(first, dict(zip(self.written, fields, strict=False)), complaint)
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

    def scan_clean(self, wanted: Sequence[str]) -> pl.LazyFrame:
        """See the base class."""
        schema = dict.fromkeys(wanted, pl.String())
        return pl.scan_ndjson(self.source(), schema=schema, row_index_name=ROW).select(ROW, *wanted)

    def lines(self, text: io.TextIOWrapper) -> Iterator[Line]:
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

    def scan_clean(self, wanted: Sequence[str]) -> pl.LazyFrame:
        """See the base class; polars knows no such separator, so that these files are always read line by line."""
        raise pl.exceptions.ComputeError(f"{self.path.name}: {', '.join(wanted)}: read it line by line")

    def lines(self, text: io.TextIOWrapper) -> Iterator[Line]:
        """See the base class."""
        whole = re.compile(self.pattern)
        for number, line in enumerate(text, 1):
            match = whole.fullmatch(line.rstrip("\r\n"))
            if match:
                yield Line(number, dict(zip(self.written, match.groups(), strict=True)), "")
            elif line.strip():
                yield Line(number, {}, f'"{line.strip()[:80]}": expected {self.layout}')


@contextmanager
def opened(path: Path, encoding: str) -> Iterator[io.TextIOWrapper]:
    """Opens the file as text, a byte-order mark and gzip taken off.

    Raises:
        DataError: there is no such file, or its bytes are not what its name or the encoding says.
    """
    if not path.is_file():
        raise DataError(f"{path}: no such file. Pass the path of a file or folder that is there.")
    mode = "utf-8-sig" if encoding == "utf-8" else encoding
    try:
        with (
            gzip.open(path) if path.name.endswith(".gz") else path.open("rb") as raw,
            io.TextIOWrapper(raw, encoding=mode, newline="") as text,
        ):
            yield text
    except UnicodeDecodeError as error:
        byte = f"byte {error.object[error.start]:#04x}"
        remedy = "Pass --encoding latin-1, or convert the file."
        raise DataError(f"{path.name}: {byte} is not {encoding}. {remedy}") from None
    except (EOFError, OSError, zlib.error) as error:
        raise DataError(f"{path.name}: cannot be read: {error}. Fetch it again.") from None


def header(path: Path, encoding: str, separator: str, quotes: bool) -> tuple[str, ...]:
    """Returns the names in the first row of a file of separated fields.

    Raises:
        DataError: the file is missing or empty, or names a column twice.
    """
    with opened(path, encoding) as text:
        first = next(csv.reader(text, delimiter=separator, quoting=_quoting(quotes)), [])
    names = tuple(name.strip() for name in first)
    if not any(names):
        raise DataError(f"{path.name}: no header in line 1. Put the columns' names there.")
    return _distinct(path, names)


def _quoting(quotes: bool) -> Literal[0, 3]:
    return csv.QUOTE_MINIMAL if quotes else csv.QUOTE_NONE


def _distinct(path: Path, names: tuple[str, ...]) -> tuple[str, ...]:
    twice = next((name for place, name in enumerate(names) if name in names[:place]), None)
    if twice is not None:
        raise DataError(f'{path.name}: the column "{twice}" occurs twice. Rename one of them.')
    return names


def _text(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False)
