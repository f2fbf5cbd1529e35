"""Amazon Reviews of 2018 and 2023: a file of reviews and a file of metadata, JSON lines, plain or gzipped."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

from l2rec.data.columns import Columns, resolved, with_defaults
from l2rec.data.sources._open import table
from l2rec.data.sources._source import Source
from l2rec.data.tables import Table
from l2rec.errors import DataError

_KINDS = (".json", ".jsonl", ".json.gz", ".jsonl.gz")
_META = "meta_"
DEFAULTS = {
    "amazon-2018": Columns(
        user="reviewerID",
        item="asin",
        time="unixReviewTime",
        rating="overall",
        item_key="asin",
        title="title",
        text=("category", "brand", "description"),
        item_attributes=("category", "brand"),
        time_format="seconds",
    ),
    "amazon-2023": Columns(
        user="user_id",
        item="parent_asin",
        time="timestamp",
        rating="rating",
        item_key="parent_asin",
        title="title",
        text=("categories", "store", "features", "description"),
        item_attributes=("categories", "store"),
        time_format="milliseconds",
    ),
}


def present(path: Path, kind: str) -> bool:
    """Returns whether the folder holds one file of reviews with the columns of that year, or the path is one."""
    files = _files(path, meta=False)
    return len(files) == 1 and _fits(table(files[0], "utf-8", quotes=None), kind)


def read(path: Path, columns: Columns, kind: str) -> Source:
    """Returns the reviews, and the metadata if they lie beside them or `items_file` names them.

    Raises:
        DataError: there are several files of either sort, or a column is missing.
    """
    reviews = table(_only(path, _files(path, meta=False), "reviews"), "utf-8", quotes=None)
    named = Path(columns.items_file) if columns.items_file else None
    there = [named] if named else _files(path, meta=True)
    meta = table(_only(path, there, "metadata"), "utf-8", quotes=None) if there else None
    defaults = _there(DEFAULTS[kind], meta)
    return Source(kind, reviews, meta, None, resolved(with_defaults(columns, defaults), reviews, meta, None), "seconds")


def _files(path: Path, *, meta: bool) -> list[Path]:
    folder = path.iterdir() if path.is_dir() else ([path] if path.is_file() and not meta else [])
    named = (file for file in folder if file.name.endswith(_KINDS) and file.is_file())
    return sorted(file for file in named if file.name.startswith(_META) == meta)


def _only(path: Path, files: list[Path], what: str) -> Path:
    if len(files) != 1:
        names = ", ".join(file.name for file in files) or "none"
        raise DataError(f"{path}: expected one file of {what}: found {names}. Keep one file of each category apart.")
    return files[0]


def _fits(reviews: Table, kind: str) -> bool:
    wanted = DEFAULTS[kind]
    return {wanted.user, wanted.item, wanted.time} <= set(reviews.columns)


def _there(defaults: Columns, meta: Table | None) -> Columns:
    """A field that no record of the file has, such as `features` in a small category, is not asked for."""
    if meta is None:
        return defaults
    text = tuple(name for name in defaults.text if name in meta.columns)
    attributes = tuple(name for name in defaults.item_attributes if name in meta.columns)
    return defaults.model_copy(update={"text": text, "item_attributes": attributes})


def of(kind: str) -> tuple[Callable[[Path], bool], Callable[[Path, Columns], Source]]:
    """Returns `present` and `read` for one of the years."""
    return partial(present, kind=kind), partial(read, kind=kind)
