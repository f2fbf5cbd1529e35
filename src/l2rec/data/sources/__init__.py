"""Public formats: what kind of source a path is, and its tables."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from l2rec.data.columns import Columns
from l2rec.data.sources import amazon, generic, movielens, recbole
from l2rec.data.sources._source import Source
from l2rec.errors import DataError

__all__ = ["KINDS", "Source", "find"]


class Kind(NamedTuple):
    """A public format: how it is told, and how it is read."""

    present: Callable[[Path], bool]
    read: Callable[[Path, Columns], Source]


KINDS: dict[str, Kind] = {
    "movielens": Kind(movielens.present, movielens.read),
    "amazon-2018": Kind(*amazon.of("amazon-2018")),
    "amazon-2023": Kind(*amazon.of("amazon-2023")),
    "recbole": Kind(recbole.present, recbole.read),
    "generic": Kind(generic.present, generic.read),
}


def find(path: Path, kind: str, columns: Columns) -> Source:
    """Returns the source at `path`, its tables found and its columns named.

    Args:
        path: A folder, or the file of a log.
        kind: One of `KINDS`, or `auto` for the first that fits.
        columns: Names that were given; the rest is guessed.

    Raises:
        DataError: nothing is there, the kind is unknown or does not fit, or a table lacks a column.
    """
    known = ", ".join(KINDS)
    if not path.exists():
        raise DataError(f"{path}: no such file or folder. Pass the path of a source that is there.")
    if kind == "auto":
        kind = next((name for name, k in KINDS.items() if k.present(path)), "")
    if not kind:
        raise DataError(f"{path}: holds no source of a known kind ({known}). Name its log interactions.csv.")
    if kind not in KINDS:
        raise DataError(f"source kind {kind}: unknown. Pass auto or one of {known}.")
    return KINDS[kind].read(path, columns)
