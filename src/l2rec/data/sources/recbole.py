"""RecBole's atomic files: `NAME.inter` and perhaps `NAME.item`, `NAME.user`, tabs between, a header of `name:type`."""

from pathlib import Path
from typing import Literal

from l2rec.data.columns import LONG_TEXT, TITLE, Columns, resolved
from l2rec.data.lines import CsvTable, Values, header
from l2rec.data.sources._source import Source
from l2rec.errors import DataError

TYPES = ("token", "token_seq", "float", "float_seq")
_WHOLE = {*TITLE, *LONG_TEXT}


def present(path: Path) -> bool:
    """Returns whether the path is an `.inter` file or a folder with one."""
    return bool(_logs(path))


def read(path: Path, columns: Columns) -> Source:
    """Returns the atomic files of one data set; the tokens of a `token_seq` become the parts of a list.

    Raises:
        DataError: a folder holds several `.inter` files, or a header is not of `name:type`.
    """
    logs = _logs(path)
    if len(logs) != 1:
        names = ", ".join(log.name for log in logs) or "none"
        raise DataError(f"{path}: expected one .inter file: found {names}. Pass the path of one.")
    items, users = (logs[0].with_suffix(suffix) for suffix in (".item", ".user"))
    events = _table(logs[0])
    catalogue = _table(items) if items.is_file() else None
    people = _table(users) if users.is_file() else None
    kind: Literal["seconds", "position"] = "position" if columns.time_format == "position" else "seconds"
    return Source("recbole", events, catalogue, people, resolved(columns, events, catalogue, people), kind)


def _logs(path: Path) -> list[Path]:
    if path.is_dir():
        return sorted(path.glob("*.inter"))
    return [path] if path.is_file() and path.suffix == ".inter" else []


def _table(path: Path) -> CsvTable:
    fields = [name.rpartition(":") for name in header(path, "utf-8", "\t", quotes=False)]
    for name, _, kind in fields:
        if not name or kind not in TYPES:
            written = f"{name}:{kind}" if name else kind
            raise DataError(
                f'{path.name} line 1: "{written}": expected name:type, type one of {", ".join(TYPES)}. Mend the header.'
            )
    names = tuple(name for name, _, _ in fields)
    lists = [name for name, _, kind in fields if kind.endswith("_seq") and name.lower() not in _WHOLE]

    def parted(row: Values) -> Values:
        return {**row, **{name: "|".join((row.get(name) or "").split()) for name in lists}}

    return CsvTable(path, names, separator="\t", quotes=False, convert=parted if lists else None)
