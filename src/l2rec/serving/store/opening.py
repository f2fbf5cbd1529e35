"""From the address of a store to the store."""

import logging
import re
from importlib.util import find_spec
from pathlib import Path

from l2rec.errors import MissingExtraError, StoreDownError, StoreError
from l2rec.serving.store.contract import Store
from l2rec.serving.store.sqlite import SqliteStore

_SQLITE = "sqlite:///"
_REDIS = ("redis://", "rediss://")
_LOG = logging.getLogger(__name__)


def open_store(url: str) -> Store:
    """Returns the store at an address; it is reached at its first call.

    A Redis server that may lose acknowledged events when it is killed is warned about in the log.

    Args:
        url: `sqlite:///PATH`, with a fourth slash where the path is absolute, or `redis://HOST:PORT/DB`.

    Raises:
        StoreError: the address is of no known kind.
        MissingExtraError: it is a Redis server's, and the package `redis` is missing.
    """
    if url.startswith(_SQLITE) and len(url) > len(_SQLITE):
        return SqliteStore(Path(url.removeprefix(_SQLITE)))
    if url.startswith(_REDIS):
        return _redis(url)
    kind = url.split(":", 1)[0]  # what follows may hold a password
    raise StoreError(f"--store {kind}: no such kind of store. Write sqlite:///PATH or redis://HOST:PORT/DB.")


def shown(url: str) -> str:
    """Returns the address of a store as it may be printed: without its password."""
    kind, mark, rest = url.partition("://")
    if not kind.startswith("redis"):
        return url
    login, at, place = rest.rpartition("@")
    user, colon, _ = login.partition(":")
    place = re.sub(r"(?i)([?&]password=)[^&#]*", r"\1***", place)
    return f"{kind}{mark}{user}{colon}{'***' if colon else ''}{at}{place}"


def _redis(url: str) -> Store:
    if find_spec("redis") is None:
        raise MissingExtraError("redis", "serve")
    from l2rec.serving.store.redis import RedisStore

    store = RedisStore(url)
    try:
        loose = store.loses()
    except StoreDownError as error:
        _LOG.warning("%s", error)
        return store
    if loose:
        _LOG.warning("Redis: %s: acknowledged events can be lost. Set appendonly yes, appendfsync always.", loose)
    return store
