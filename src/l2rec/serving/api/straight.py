"""The short way of the request that comes most often, a user's list: past routing, which is half of its time."""

from collections.abc import Awaitable, Callable

from starlette.types import ASGIApp, Receive, Scope, Send

from l2rec.errors import L2RecError
from l2rec.serving.api.faults import fault, status_of

BEFORE, AFTER = "/v1/users/", "/recommendations"
PATH = BEFORE + "{id:path}" + AFTER
"""Path of the route, by which its requests are counted."""
_LEAST = len(BEFORE) + len(AFTER)
_JSON = (b"content-type", b"application/json")

Told = Callable[[str, bytes], Awaitable[bytes]]
"""From a user's id and a query string to a list as JSON."""


class _Way:
    path = PATH


_WAY = _Way()


class Straight:
    """Middleware that answers who asks for a user's list, as the route would; everything else goes on to the routes."""

    def __init__(self, app: ASGIApp, told: Told) -> None:
        """Keeps what it stands before, and what answers."""
        self._app, self._told = app, told

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers a request, or passes it on."""
        user_id = asked_for(scope)
        if user_id is None:
            await self._app(scope, receive, send)
            return
        scope["route"] = _WAY
        try:
            body = await self._told(user_id, scope["query_string"])
        except L2RecError as error:
            await fault(status_of(error), str(error))(scope, receive, send)
            return
        headers = [_JSON, (b"content-length", b"%d" % len(body))]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})


def asked_for(scope: Scope) -> str | None:
    """Returns the id of the user whose list is asked for; None for every other request, and behind a prefix."""
    if scope["type"] != "http" or scope["method"] not in ("GET", "HEAD") or scope.get("root_path"):
        return None
    path: str = scope["path"]
    if len(path) < _LEAST or not (path.startswith(BEFORE) and path.endswith(AFTER)):
        return None
    return path[len(BEFORE) : -len(AFTER)]
