"""Opens a file as the table that its name says it is."""

import itertools
from pathlib import Path

from l2rec.data.lines import CsvTable, JsonTable, header, opened
from l2rec.data.tables import ParquetTable, Table, parquet_columns
from l2rec.errors import DataError


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
        return ParquetTable(path, parquet_columns(path))
    if kind in ("csv", "tsv"):
        separator = "," if kind == "csv" else "\t"
        quoted = kind == "csv" if quotes is None else quotes
        return CsvTable(path, header(path, encoding, separator, quoted), encoding, separator=separator, quotes=quoted)
    if kind in ("jsonl", "json", "ndjson"):
        return JsonTable(path, _keys(path, encoding), encoding)
    raise DataError(f"{path}: a file of kind .{kind}: expected .parquet, .csv, .tsv or .jsonl. Convert or rename it.")


def _keys(path: Path, encoding: str) -> tuple[str, ...]:
    """The keys of the first 1,000 objects; a line that is no object is left for the reading to complain of."""
    with opened(path, encoding) as text:
        lines = JsonTable(path, (), encoding).lines(text)
        names = dict.fromkeys(key for line in itertools.islice(lines, 1000) for key in line.values)
    return tuple(names)
