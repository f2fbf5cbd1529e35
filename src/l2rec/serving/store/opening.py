"""From the address of a store to the store."""

from pathlib import Path

from l2rec.errors import StoreError
from l2rec.serving.store.contract import Store
from l2rec.serving.store.sqlite import SqliteStore

_SQLITE = "sqlite:///"


def open_store(url: str) -> Store:
    """Returns the store at an address.

    Args:
        url: `sqlite:///PATH`, with a fourth slash where the path is absolute.

    Raises:
        StoreError: the address is of no known kind.
    """
    if url.startswith(_SQLITE) and len(url) > len(_SQLITE):
        return SqliteStore(Path(url.removeprefix(_SQLITE)))
    kind = url.split("://", 1)[0] if "://" in url else url
    raise StoreError(f"--store {kind}: no such kind of store. Write sqlite:///PATH.")
