"""Reads the items table: the text that a language model reads of an item, its title, and its attribute tokens."""

import html
import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import polars as pl

from l2rec.data.columns import LONG_TEXT, Columns
from l2rec.data.lines import JsonTable
from l2rec.data.tables import KEY, ROW, Table, identifier, unpointed
from l2rec.errors import DataError

STEP = " > "
_PATHS = ("category", "categories")
_BLANKS = re.compile(r"\s+")
_TAGS = re.compile(r"</?(?:a|b|br|div|em|font|h[1-6]|hr|i|img|li|ol|p|span|strong|table|td|tr|u|ul)\b[^<>]*>", re.I)
# Some titles of Amazon's 2018 metadata are a piece of the page's script.
_SCRIPT = "aPageStart"
_SCHEMA = {"item_id": pl.String(), "title": pl.String(), "text": pl.String(), "attributes": pl.List(pl.String())}


@dataclass(frozen=True)
class Catalogue:
    """The items table, one row an item, in the order of the file.

    Attributes:
        frame: `item_id`, `title`, `text`, `attributes`.
        duplicates: Rows that were left out since an earlier row has their id.
        bad_rows: Rows that were left out since they could not be read or have no id.
    """

    frame: pl.DataFrame
    duplicates: int
    bad_rows: int


class Value(NamedTuple):
    """One cell, taken apart: `Makeup`, `Nails` of a list, or the steps of the paths `Beauty > Makeup`."""

    parts: list[str]
    paths: list[list[str]]


def read(table: Table | None, columns: Columns) -> Catalogue:
    """Returns the catalogue; an empty one where there is no items table. Of rows with one id the first counts.

    Raises:
        DataError: a row cannot be read or has no id, and bad rows are refused.
    """
    if table is None:
        return Catalogue(pl.DataFrame(schema=_SCHEMA), 0, 0)
    names = [columns.title] if columns.title != "none" else []
    wanted = list(dict.fromkeys([columns.item_key, *names, *columns.text, *columns.item_attributes]))
    frame, bad = rows(table, wanted, columns.item_key, columns.bad_rows)
    distinct = frame.unique(KEY, keep="first", maintain_order=True)
    decoded = isinstance(table, JsonTable)
    described = [_described(row, columns, decoded) for row in distinct.iter_rows(named=True)]
    return Catalogue(pl.DataFrame(described, schema=_SCHEMA, orient="row"), len(frame) - len(distinct), bad)


def rows(table: Table, wanted: Sequence[str], key: str, bad_rows: str) -> tuple[pl.DataFrame, int]:
    """Returns the wanted columns of a table and `KEY`, the id as text, and how many bad rows were left out.

    Raises:
        DataError: a row cannot be taken apart or has no id, and bad rows are refused.
    """
    lost = 0
    try:
        frame = unpointed(table.scan(wanted), [key]).collect()
    except (pl.exceptions.PolarsError, OSError):
        frame, lost = table.patient(wanted, bad_rows == "drop")
        frame = unpointed(frame.lazy(), [key]).collect()
    frame = frame.filter(~pl.all_horizontal(pl.col(wanted).is_null()))
    frame = frame.with_columns(identifier(key, frame.schema[key]).alias(KEY))
    nameless = frame.filter(pl.col(KEY) == "")
    if len(nameless) and bad_rows == "refuse":
        place = table.place(nameless[ROW][0])
        raise DataError(f"{place}: {key}: empty. Fix the row, or pass --bad-rows drop.")
    return frame.filter(pl.col(KEY) != ""), lost + len(nameless)


def _described(row: dict[str, Any], columns: Columns, decoded: bool) -> tuple[str, str, str, list[str]]:
    title = cleaned(row[columns.title]) if columns.title != "none" else ""
    title = "" if _SCRIPT in title else title
    cells = {name: value(row[name], name, decoded) for name in {*columns.text, *columns.item_attributes}}
    texts = [_cut(_written(cells[name]), columns.text_characters) for name in columns.text]
    tokens = [f"{name}={part}" for name in columns.item_attributes for part in _tokens(cells[name])]
    return row[KEY], title, " | ".join(filter(None, [title, *texts])), list(dict.fromkeys(tokens))


def cleaned(cell: Any) -> str:
    """Returns a cell as one line of text: HTML entities resolved, HTML tags and runs of blanks one blank."""
    if cell is None:
        return ""
    text = str(cell)
    text = html.unescape(text) if "&" in text else text
    text = _TAGS.sub(" ", text) if "<" in text else text
    return _BLANKS.sub(" ", text).strip()


def value(cell: Any, name: str, decoded: bool) -> Value:
    """Returns a cell taken apart.

    Args:
        cell: Text, a number or a list of texts, perhaps a list of lists (paths); JSON text of a list if `decoded`.
        name: Its column; a list in a column of categories is the steps of one path.
        decoded: Whether text that looks like a JSON list is one.
    """
    if decoded and isinstance(cell, str) and cell.startswith("["):
        cell = _list(cell)
    if not isinstance(cell, list):
        return _of_text(cleaned(cell), name)
    if any(isinstance(part, list) for part in cell):
        paths = [[text for step in part if (text := cleaned(step))] for part in cell if isinstance(part, list)]
        return Value([], [path for path in paths if path])
    parts = [text for part in cell if (text := cleaned(part))]
    if any(STEP in part for part in parts):
        return Value([], [part.split(STEP) for part in parts])
    return Value([], [parts]) if name.lower() in _PATHS and parts else Value(parts, [])


def _list(cell: str) -> Any:
    try:
        return json.loads(cell)
    except ValueError:
        return cell


def _of_text(text: str, name: str) -> Value:
    if STEP in text:
        return Value([], [text.split(STEP)])
    if "|" in text and name.lower() not in LONG_TEXT:
        return Value([part for raw in text.split("|") if (part := raw.strip())], [])
    return Value([text] if text else [], [])


def _written(cell: Value) -> str:
    return ", ".join([*cell.parts, *(STEP.join(path) for path in cell.paths)])


def _tokens(cell: Value) -> Iterable[str]:
    yield from cell.parts
    for path in cell.paths:
        yield from path
        yield STEP.join(path)


def _cut(text: str, characters: int) -> str:
    """The text's beginning, up to a blank where there is one in its second half."""
    if len(text) <= characters:
        return text
    end = text.rfind(" ", characters // 2, characters + 1)
    return text[: end if end > 0 else characters].rstrip(" ,;|")
