"""The store in a Redis server, for services on several machines."""

import struct
import zlib
from collections.abc import Callable, Sequence
from typing import Any
from urllib.parse import urlsplit

from redis import ConnectionError as LostError
from redis import Redis
from redis.backoff import NoBackoff
from redis.commands.core import Script
from redis.exceptions import OutOfMemoryError, RedisError, ResponseError
from redis.exceptions import TimeoutError as LateError
from redis.retry import Retry

from l2rec.errors import StoreDownError, StoreError
from l2rec.serving.records import Event, Key, LiveItem, Release, UserRow, UserState
from l2rec.serving.store import scripts
from l2rec.serving.store.contract import NEWEST, Store
from l2rec.serving.store.ids import checked, past, to_bytes, to_text

_EVENT = struct.Struct("<dII")
_BUCKETS = 1024
_ROWS, _EVENTS, _ITEMS, _KEYS = 250, 2000, 1000, 64
"""Rows, events, items and buckets of one step: the server answers nobody else meanwhile."""


class RedisStore(Store):
    """See the base class; the promise about events needs a server with `appendonly yes` and `appendfsync always`.

    The rows of a version lie in 1024 hashes. A key of its own for each user costs 30 bytes more a user, and a million
    names to drop a version; one hash for all would be enlarged and freed in one go. A row of 1.8 kB (lists of 100,
    histories of 50, vectors of 384) takes 2.2 kB of the server's memory, 0.1 kB of it for finding ids by their
    beginning. Each change is one script, hence atomic; not for Redis Cluster.
    """

    is_local = False

    def __init__(self, url: str, prefix: str = "l2rec", patience: float = 2.0) -> None:
        """Notes the address; the server is called at the first call and again after it was lost.

        Args:
            url: `redis://[USER:PASSWORD@]HOST[:PORT]/DB`; `rediss://` for TLS.
            prefix: Begins every key, so that several stores share a database.
            patience: Seconds to wait for a connection and for an answer.

        Raises:
            StoreError: the address cannot be read.
        """
        # A connection that was lost while it waited in the pool is replaced once; no call is harmed by a second try.
        retry = Retry(NoBackoff(), 1, supported_errors=(LostError,))
        try:
            parts = urlsplit(url)
            self._place = f"{parts.scheme}://{parts.hostname or 'localhost'}:{parts.port or 6379}{parts.path}"
            self._client = Redis.from_url(
                url, socket_timeout=patience, socket_connect_timeout=patience, retry=retry, decode_responses=False
            )
        except ValueError as error:
            raise StoreError("--store redis: no such address. Write redis://HOST:PORT/DB.") from error
        self._command: Callable[..., Any] = self._client.execute_command
        self._prefix = prefix
        self._scripts: dict[str, Script] = {}

    def begin(self, release: Release) -> None:
        """See the base class."""
        found = self._run(scripts.BEGIN, to_bytes(release.version), release.model_dump_json())
        if found and ((len(found) > 1 and found[1] is not None) or _release(found[0]).finished is not None):
            raise StoreError(f"release {release.version}: finished before. Publish under another version.")

    def write_rows(self, version: str, rows: Sequence[tuple[str, bytes]], done: int) -> None:
        """See the base class."""
        for _, data in rows:
            UserRow.from_bytes(data)
        for start in range(0, max(len(rows), 1), _ROWS):
            last = start + _ROWS >= len(rows)
            values: list[bytes | int | str] = [to_bytes(version), done if last else ""]
            for user_id, data in rows[start : start + _ROWS]:
                values += (_bucket(user_id), to_bytes(user_id), data)
            if not self._run(scripts.WRITE_ROWS, *values):
                raise _unknown(version)

    def done(self, version: str) -> int:
        """See the base class."""
        return int(self._do("HGET", "done", to_bytes(version)) or 0)

    def switch(self, release: Release) -> None:
        """See the base class."""
        if release.finished is None:
            raise StoreError(f"release {release.version}: not finished. Publish it to its end.")
        if not self._run(scripts.SWITCH, to_bytes(release.version), release.model_dump_json()):
            raise _unknown(release.version)

    def rollback(self) -> Release:
        """See the base class."""
        while current := self._run(scripts.CURRENT):
            found = self._run(scripts.ROLLBACK, current[0])
            if found is None:
                break
            if found != b"again":
                return _release(found)
        raise StoreError("rollback: no release was current before this one. Publish a run.")

    def current(self) -> Release | None:
        """See the base class."""
        found = self._run(scripts.CURRENT)
        return _release(found[1]) if found else None

    def releases(self) -> list[Release]:
        """See the base class."""
        kept = [_release(body) for body in self._do("HVALS", "bodies")]
        return sorted(kept, key=lambda release: (release.created, release.version), reverse=True)

    def drop(self, version: str) -> None:
        """See the base class."""
        if not self._run(scripts.DROP, to_bytes(version)):
            raise StoreError(f"release {version}: the current one. Switch to another first.")
        # What a killed process has left is found in `dropped` by the next one.
        for number in sorted(self._do("SMEMBERS", "dropped")):
            inner = number.decode()
            for start in range(0, _BUCKETS, _KEYS):
                self._unlink(*(f"rows:{inner}:{bucket}" for bucket in range(start, start + _KEYS)))
            self._unlink(f"users:{inner}")
            self._do("SREM", "dropped", number)

    def user(self, version: str, user_id: str) -> UserState:
        """See the base class."""
        data, *told = self._run(scripts.USER, to_bytes(version), _bucket(user_id), to_bytes(user_id), NEWEST)
        events = (_unpacked(body, int(number)) for number, body in zip(told[::2], told[1::2], strict=True))
        return UserState(None if data is None else UserRow.from_bytes(data), tuple(events))

    def user_ids(self, version: str, prefix: str, limit: int) -> list[str]:
        """See the base class."""
        found = self._run(scripts.USER_IDS, to_bytes(version), to_bytes(prefix), past(prefix), max(limit, 0))
        return [to_text(user_id) for user_id in found]

    def append(self, events: Sequence[Event]) -> list[bool]:
        """See the base class."""
        values = [value for e in checked(events) for value in (to_bytes(e.event_id), to_bytes(e.user_id), _packed(e))]
        return [added == 1 for added in self._run(scripts.APPEND, *values)]

    def events(self, after: int = 0, limit: int = 10_000) -> list[Event]:
        """See the base class."""
        found: list[Event] = []
        while len(found) < limit:
            first = after + len(found)
            page = self._run(scripts.EVENTS, first, min(_EVENTS, limit - len(found)))
            found += (_unpacked(body, number) for number, body in enumerate(page, start=first + 1))
            if len(page) < _EVENTS:
                break
        return found

    def last_event(self) -> int:
        """See the base class."""
        return int(self._do("GET", "count") or 0)

    def put_items(self, items: Sequence[LiveItem]) -> int:
        """See the base class."""
        values = [value for item in items for value in (to_bytes(item.item_id), item.model_dump_json())]
        return int(self._run(scripts.PUT_ITEMS, *values))

    def items(self, after: int = 0) -> list[LiveItem]:
        """See the base class."""
        found: dict[str, LiveItem] = {}
        while page := self._run(scripts.ITEMS, after, _ITEMS):
            for body, number in zip(page[::2], page[1::2], strict=True):
                after = int(float(number))
                item = LiveItem.model_validate_json(body).model_copy(update={"number": after})
                # One that changes between two pages is met again, later and newer.
                found.pop(item.item_id, None)
                found[item.item_id] = item
        return list(found.values())

    def put_key(self, key: Key) -> None:
        """See the base class."""
        self._do("HSET", "keys", to_bytes(key.digest), key.model_dump_json())

    def keys(self) -> list[Key]:
        """See the base class."""
        kept = [Key.model_validate_json(body) for body in self._do("HVALS", "keys")]
        return sorted(kept, key=lambda key: key.digest)

    def drop_key(self, name: str) -> int:
        """See the base class."""
        return int(self._run(scripts.DROP_KEY, to_bytes(name)))

    def ping(self) -> None:
        """See the base class."""
        self._do("EXISTS", "count")

    def close(self) -> None:
        """See the base class."""
        self._client.close()

    def loses(self) -> str:
        """Returns the server's settings for which an acknowledged event can be lost; empty where none or not told."""
        wanted = {"appendonly": "yes", "appendfsync": "always"}
        try:
            told = {name: self._command("CONFIG GET", name).get(name, value) for name, value in wanted.items()}
        except ResponseError:
            return ""
        except RedisError as error:
            raise self._down(error) from error
        return ", ".join(f"{name} {value}" for name, value in told.items() if value != wanted[name])

    def _run(self, text: str, *values: bytes | int | str) -> Any:
        """Runs a script; it is sent anew where the server has forgotten it."""
        if text not in self._scripts:
            self._scripts[text] = self._client.register_script(text)
        try:
            return self._scripts[text](keys=[self._prefix], args=values)
        except RedisError as error:
            raise self._down(error) from error

    def _do(self, command: str, name: str, *values: bytes | str) -> Any:
        try:
            return self._command(command, f"{self._prefix}:{name}", *values)
        except RedisError as error:
            raise self._down(error) from error

    def _unlink(self, *names: str) -> None:
        try:
            self._client.unlink(*(f"{self._prefix}:{name}" for name in names))
        except RedisError as error:
            raise self._down(error) from error

    def _down(self, error: RedisError) -> StoreDownError:
        what = " ".join(str(error).split()).rstrip(".")
        if isinstance(error, OutOfMemoryError):
            remedy = "Give the server more memory; nothing was half written."
        elif isinstance(error, LostError | LateError):
            remedy = "Start the server, or correct the address; the next call tries again."
        else:
            remedy = "Look at the server, then try again."
        return StoreDownError(f"{self._place}: {what}. {remedy}")


def _bucket(user_id: str) -> int:
    return zlib.crc32(to_bytes(user_id)) % _BUCKETS


def _packed(event: Event) -> bytes:
    names = [to_bytes(name) for name in (event.event_id, event.user_id, event.item_id)]
    return _EVENT.pack(event.time, len(names[0]), len(names[1])) + b"".join(names)


def _unpacked(data: bytes, number: int) -> Event:
    time, first, second = _EVENT.unpack_from(data)
    user = _EVENT.size + first
    item = user + second
    return Event(to_text(data[_EVENT.size : user]), to_text(data[user:item]), to_text(data[item:]), float(time), number)


def _release(body: bytes) -> Release:
    return Release.model_validate_json(body)


def _unknown(version: str) -> StoreError:
    return StoreError(f"release {version}: never begun, or dropped. Publish it again.")
