"""The guard before the service: keys, limits of what is sent, headers that browsers heed, and a log without secrets."""

import asyncio
import logging
import time
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from l2rec.errors import SettingError, StoreDownError
from l2rec.serving.access.keys import Buckets, KeyRing, RefusedError, is_loopback, scope_of
from l2rec.serving.api.faults import fault
from l2rec.serving.records import Key
from l2rec.serving.store.contract import Store

COOKIE = "l2rec_key"
KEY = "l2rec.key"
"""Name in a request's scope of the `Key` that it came with; None where none was asked for."""
WARNING = "warning: the store has no keys; everybody on this machine may read and write."
POLICY = (
    "default-src 'self'; img-src 'self' data:; object-src 'none'; base-uri 'none'; form-action 'self'; "
    "frame-ancestors 'none'"
)
_SEALS = [
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"content-security-policy", POLICY.encode()),
]
_UNSTORED = [*_SEALS, (b"cache-control", b"no-store")]
_ASKING = ("GET", "HEAD", "OPTIONS")
_ACCESS = logging.getLogger("l2rec.access")

Headers = dict[bytes, bytes]


@dataclass(frozen=True)
class Bounds:
    """What a request may be at most.

    Attributes:
        body: Bytes of the body.
        target: Bytes of path and query string.
        headers: Bytes of all headers.
        seconds: Time that the body may take to arrive.
    """

    body: int = 2**20
    target: int = 16 * 2**10
    headers: int = 32 * 2**10
    seconds: float = 30.0


@dataclass
class Guard:
    """Who may come in; called with an application, it gives the guarded one.

    Attributes:
        ring: The keys.
        is_open: Whether everybody on this machine may come in, until the store has a key.
        bounds: What a request may be at most.
        login: Path of the page where a person gives a key; None where there is none.
        buckets: How often each key was used.
    """

    ring: KeyRing
    is_open: bool = False
    bounds: Bounds = field(default_factory=Bounds)
    login: str | None = None
    buckets: Buckets = field(default_factory=Buckets)

    def __call__(self, app: ASGIApp) -> ASGIApp:
        """Returns the application behind this guard."""
        return Door(app, self)

    async def admit(self, scope: Scope, headers: Headers) -> Key | None:
        """Returns the key that a request came with, or None where it needs none.

        Raises:
            RefusedError: it may not come in.
            StoreDownError: the keys cannot be read.
        """
        needed = scope_of(scope["method"], scope["path"])
        given, by_header = _given(headers)
        if not by_header and scope["method"] not in _ASKING:
            _refuse_other_sites(headers)
        if needed is None:
            return None
        if self.is_open:
            await self.ring.refresh()
            if not self.ring.was_used:
                _refuse_other_hosts(headers)
                return None
        if given is None:
            told = "no key. Send one as Authorization: Bearer KEY or as X-API-Key: KEY."
            raise RefusedError(401, told, {"WWW-Authenticate": "Bearer"})
        key = await self.ring.find(given)
        self.buckets.take(key, time.monotonic())
        if needed not in key.scopes:
            raise RefusedError(403, f"the key is for {', '.join(key.scopes)}; this needs {needed}. Use another key.")
        return key


def guard(store: Store, host: str, bounds: Bounds | None = None) -> Guard:
    """Returns the guard of a server that listens on `host`.

    Without a key in the store, this machine alone is answered (`is_open`; `WARNING` says so to a person), and a host
    that others can reach is refused.

    Raises:
        SettingError: there is no key, and others can reach the host.
        StoreDownError: the store cannot be read.
    """
    found = Guard(KeyRing(store), not store.keys(), bounds or Bounds())
    if found.is_open and not is_loopback(host):
        raise SettingError(
            f"--host {host}: others can reach it, and the store has no keys. "
            "Create one (l2rec keys create), or listen on 127.0.0.1."
        )
    return found


def login_cookie(key: str, *, secure: bool) -> str:
    """Returns the value of Set-Cookie that lets a browser in with a key: no script and no other site can use it."""
    return f"{COOKIE}={key}; Path=/; HttpOnly; SameSite=Strict" + ("; Secure" if secure else "")


def logout_cookie() -> str:
    """Returns the value of Set-Cookie that makes a browser forget its key."""
    return f"{COOKIE}=; Path=/; HttpOnly; SameSite=Strict; Max-Age=0"


class Door:
    """ASGI middleware: lets in what the guard admits, whole and within bounds, and seals every answer."""

    def __init__(self, app: ASGIApp, guard: Guard) -> None:
        """Keeps what it stands before, and who decides."""
        self._app, self._guard = app, guard

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Passes a request on, or refuses it in one line of JSON."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":
            await send({"type": "websocket.close", "code": 1008})
            return
        began, status = time.perf_counter(), 0

        async def sealed(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status, own = message["status"], list(message.get("headers", ()))
                named = any(name == b"cache-control" for name, _ in own)
                message = {**message, "headers": own + (_SEALS if named else _UNSTORED)}
            await send(message)

        try:
            await self._through(scope, receive, sealed)
        finally:
            if _ACCESS.isEnabledFor(logging.INFO):
                _note(scope, status, time.perf_counter() - began)

    async def _through(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers: Headers = dict(scope["headers"])
        try:
            _refuse_large(scope, self._guard.bounds)
            scope[KEY] = await self._guard.admit(scope, headers)
            receive = await _whole(scope, headers, receive, self._guard.bounds)
        except RefusedError as refused:
            status, more = refused.status, refused.headers
            if status == 401 and self._guard.login is not None and _is_page(scope, headers):
                status, more = 303, {"Location": self._guard.login}
            await fault(status, str(refused), more)(scope, receive, send)
        except StoreDownError as down:
            await fault(503, str(down))(scope, receive, send)
        else:
            await self._app(scope, receive, send)


def _given(headers: Headers) -> tuple[bytes | None, bool]:
    """The key that a request brings, and whether a header does: no browser sends such a header by itself."""
    authorization = headers.get(b"authorization", b"")
    if authorization[:7].lower() == b"bearer ":
        return authorization[7:].strip(), True
    if b"x-api-key" in headers:
        return headers[b"x-api-key"].strip(), True
    for part in headers.get(b"cookie", b"").split(b";"):
        name, _, value = part.strip().partition(b"=")
        if name == COOKIE.encode() and value:
            return value, False
    return None, False


def _refuse_other_sites(headers: Headers) -> None:
    """Refuses what another site made a browser send; programs send neither of the two headers."""
    site, origin = headers.get(b"sec-fetch-site"), headers.get(b"origin")
    if site is not None:
        foreign = site not in (b"same-origin", b"none")
    else:
        foreign = origin is not None and urlsplit(origin).netloc != headers.get(b"host")
    if foreign:
        raise RefusedError(403, "sent by a page of another site. Send it from this site, or with a key in a header.")


def _refuse_other_hosts(headers: Headers) -> None:
    """Refuses a name that a foreign site bent to this machine, and whoever comes through a proxy, while all is open."""
    host = headers.get(b"host", b"localhost").decode("latin-1")
    if not is_loopback(host):
        raise RefusedError(403, "the store has no keys: only localhost is answered. Create one: l2rec keys create.")


def _refuse_large(scope: Scope, bounds: Bounds) -> None:
    target = len(scope.get("raw_path") or scope["path"]) + len(scope["query_string"])
    if target > bounds.target:
        raise RefusedError(414, f"the path and query: {target} bytes: over {bounds.target}. Ask with a body.")
    size = sum(len(name) + len(value) + 4 for name, value in scope["headers"])
    if size > bounds.headers:
        raise RefusedError(431, f"the headers: {size} bytes: over {bounds.headers}. Send fewer.")


async def _whole(scope: Scope, headers: Headers, receive: Receive, bounds: Bounds) -> Receive:
    """Reads a body to its end, so that one that is too large never reaches the application, and gives it again."""
    length = headers.get(b"content-length")
    if scope["method"] in _ASKING and length is None and b"transfer-encoding" not in headers:
        return receive
    close = {"Connection": "close"}
    large = RefusedError(413, f"the body: over {bounds.body} bytes. Send it in parts.", close)
    if length is not None and length.isdigit() and int(length) > bounds.body:
        raise large
    parts: list[bytes] = []
    size, more = 0, True
    try:
        async with asyncio.timeout(bounds.seconds):
            while more:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise RefusedError(400, "the body: ended too early. Send it again.", close)
                parts.append(message.get("body", b""))
                size, more = size + len(parts[-1]), message.get("more_body", False)
                if size > bounds.body:
                    raise large
    except TimeoutError:
        raise RefusedError(408, f"the body: not here after {bounds.seconds:g} s. Send it again.", close) from None
    kept = [b"".join(parts)]

    async def again() -> Message:
        return {"type": "http.request", "body": kept.pop(), "more_body": False} if kept else await receive()

    return again


def _is_page(scope: Scope, headers: Headers) -> bool:
    """Whether a person looks for a page, rather than a program for an answer."""
    return (
        scope["method"] == "GET"
        and not scope["path"].startswith("/v1/")
        and b"text/html" in headers.get(b"accept", b"")
    )


def _note(scope: Scope, status: int, seconds: float) -> None:
    """Logs a request without its query string, headers and body: they hold prompts, keys and cookies."""
    path = (scope.get("raw_path") or scope["path"].encode()).partition(b"?")[0]
    key = scope.get(KEY)
    told = "".join(
        character if " " < character <= "~" else f"\\x{ord(character):02x}" for character in path.decode("latin-1")
    )
    name = "-" if key is None else key.name
    _ACCESS.info("%s %s %d %.1f ms key=%s", scope["method"], told, status, 1000 * seconds, name)
