"""API keys: who may come in, for what, how often; a store knows their hashes, each process asks it twice a second."""

import asyncio
import hashlib
import hmac
import ipaddress
import logging
import math
import secrets
import time
from collections.abc import Callable, Sequence
from functools import lru_cache

from l2rec.errors import L2RecError, SettingError, StoreDownError
from l2rec.serving.records import Key
from l2rec.serving.store.contract import Store

SCOPES = ("read", "write", "admin")
"""What a key may be for; none includes another, so that a key for metrics reads no list."""
OPEN = frozenset({"/healthz", "/readyz", "/login", "/logout", "/favicon.ico"})
OPEN_BELOW = ("/static/",)
ADMIN = frozenset({"/metrics", "/service"})
"""What tells of everybody's traffic."""
READING_POSTS = frozenset({"/v1/recommendations"})
"""Paths whose POST asks and stores nothing."""
FRESH, STALE = 0.4, 0.8
"""Seconds after which the keys are read again, and after which a request waits for that."""
NAME_LENGTH = 64
_HOST = 253
"""Characters of the longest name of a host in the Internet, without brackets and port."""

_LOG = logging.getLogger(__name__)


class RefusedError(L2RecError):
    """A request that may not come in.

    Attributes:
        status: The HTTP status.
        headers: Headers of the answer.
    """

    def __init__(self, status: int, message: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(message)
        self.status, self.headers = status, headers or {}


def digest_of(key: bytes) -> str:
    """Returns the hash under which a key is stored: SHA-256 in hexadecimal.

    A slow, salted hash protects words that people choose, which can be guessed; a key is 256 random bits, which cannot,
    and every request pays for its hash.
    """
    return hashlib.sha256(key).hexdigest()


def create(store: Store, name: str, scopes: Sequence[str], rate: float = 100.0, expires: float | None = None) -> str:
    """Makes a key, stores its hash, and returns the key, which nobody can read again.

    Args:
        store: Where it is checked.
        name: Whose it is; no other key has that name.
        scopes: Of `read`, `write` and `admin`, one at least.
        rate: Requests a second on average, 0 for no limit.
        expires: Seconds since 1970 after which it is refused; None for never.

    Raises:
        SettingError: a value is out of range, or the name is taken.
    """
    if not name.isprintable() or not 0 < len(name.strip()) <= len(name) <= NAME_LENGTH:
        raise SettingError(
            f"--name {name[:NAME_LENGTH]!r}: expected 1 to {NAME_LENGTH} printable characters. Rename it."
        )
    unknown = [scope for scope in scopes if scope not in SCOPES]
    if unknown or not scopes:
        raise SettingError(f"--scopes {','.join(scopes)!r}: known are {', '.join(SCOPES)}. Name one or more.")
    if not (math.isfinite(rate) and rate >= 0):
        raise SettingError(f"--rate {rate}: below 0 or no number. Give requests a second, 0 for no limit.")
    if expires is not None and expires <= time.time():
        raise SettingError("--expires: lies in the past. Give a later day, or none.")
    if any(key.name == name for key in store.keys()):  # noqa: SIM118 (it is no dict)
        raise SettingError(f'--name "{name}": taken. Choose another, or revoke it first: l2rec keys revoke.')
    key = f"l2rec_{secrets.token_urlsafe(32)}"
    kept = tuple(scope for scope in SCOPES if scope in scopes)
    store.put_key(Key(digest=digest_of(key.encode()), name=name, scopes=kept, rate=rate, expires=expires))
    return key


def scope_of(method: str, path: str) -> str | None:
    """Returns the scope that a request needs; None for what is open to everybody.

    What is not listed needs `read` where it only asks, and else `write`.
    """
    path = path.rstrip("\n")  # a route's pattern ends in $, which passes one
    if path in OPEN or path.startswith(OPEN_BELOW):
        return None
    if path in ADMIN:
        return "admin"
    return "read" if method in ("GET", "HEAD", "OPTIONS") or path in READING_POSTS else "write"


def is_loopback(host: str) -> bool:
    """Returns whether an address, or a Host header with its port, is of this machine alone."""
    return len(host) <= _HOST + 8 and _is_loopback(host)


@lru_cache(256)
def _is_loopback(host: str) -> bool:
    name = host[1:].partition("]")[0] if host.startswith("[") else host
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        plain = name.rpartition(":")[0] or name
    if plain == "localhost":
        return True
    try:
        return ipaddress.IPv4Address(plain).is_loopback
    except ValueError:
        return False


class KeyRing:
    """The keys of a store as one process knows them; a key that was revoked is refused within a second.

    While the store cannot be reached, the keys that were read last go on: nobody can revoke one there either.

    Attributes:
        was_used: Whether the store ever had a key; where the last one is revoked, the doors stay shut.
    """

    def __init__(self, store: Store, clock: Callable[[], float] = time.monotonic) -> None:
        """Notes the store; it is read at the first question.

        Args:
            store: Where the keys lie.
            clock: Tells seconds; only goes forward.
        """
        self._store, self._clock = store, clock
        self._keys: dict[str, Key] = {}
        self._read, self._tried = -math.inf, -math.inf
        self._reading: asyncio.Task[None] | None = None
        self._down = False
        self.was_used = False

    async def find(self, key: bytes) -> Key:
        """Returns what is stored of a key.

        Raises:
            RefusedError: it is unknown or has expired.
            StoreDownError: no key was ever read.
        """
        await self.refresh()
        digest = digest_of(key)
        known = self._keys.get(digest)
        if known is None or not hmac.compare_digest(known.digest, digest):
            raise RefusedError(401, "the key is unknown or was revoked. Create one: l2rec keys create.", _CHALLENGE)
        if known.expires is not None and known.expires <= time.time():
            raise RefusedError(401, "the key has expired. Create another: l2rec keys create.", _CHALLENGE)
        return known

    async def refresh(self) -> None:
        """Reads the keys anew where that is due; waits for it only where they are nearly a second old.

        Raises:
            StoreDownError: no key was ever read.
        """
        now = self._clock()
        if now - self._tried > FRESH and self._reading is None:
            self._tried = now
            if self._store.is_local:
                self._take()
            else:
                self._reading = asyncio.create_task(self._take_in_a_thread())
        if self._reading is not None and not self._down and now - self._read > STALE:
            done, _ = await asyncio.wait({self._reading}, timeout=1 if self._read > -math.inf else None)
            self._down = self._down or not done
        if self._read == -math.inf:
            raise StoreDownError("the store is down: no key can be checked. Ask again later.")

    async def _take_in_a_thread(self) -> None:
        try:
            await asyncio.to_thread(self._take)
        finally:
            self._reading = None

    def _take(self) -> None:
        began = self._clock()
        try:
            keys = {key.digest: key for key in self._store.keys()}  # noqa: SIM118 (it is no dict)
        except Exception as error:
            if not self._down:
                _LOG.warning("no keys can be read, those that were read last go on: %s", error)
            self._down = True
            return
        self._keys, self._read, self._down = keys, began, False
        self.was_used = self.was_used or bool(keys)


class Buckets:
    """A token bucket for every key: its rate on average, a second's worth at once. Each process counts for itself."""

    def __init__(self) -> None:
        """Starts with full buckets."""
        self._levels: dict[str, tuple[float, float]] = {}

    def take(self, key: Key, now: float) -> None:
        """Takes a token.

        Args:
            key: Whose bucket it is.
            now: Seconds of a clock that only goes forward.

        Raises:
            RefusedError: the bucket is empty.
        """
        if not key.rate:
            return
        most = max(1.0, key.rate)
        level, then = self._levels.get(key.digest, (most, now))
        level = min(most, level + (now - then) * key.rate)
        if level < 1:
            self._levels[key.digest] = (level, now)
            wait = str(max(1, math.ceil((1 - level) / key.rate)))
            told = f"over {key.rate:g} requests a second with this key. Ask again after {wait} s."
            raise RefusedError(429, told, {"Retry-After": wait})
        self._levels[key.digest] = (level - 1, now)


_CHALLENGE = {"WWW-Authenticate": "Bearer"}
