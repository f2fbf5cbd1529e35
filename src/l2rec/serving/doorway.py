"""The outermost door of the service: counts every request, and lets no traceback out."""

import logging
import time

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from l2rec.serving.api.faults import fault
from l2rec.serving.metrics import Metrics

_LOG = logging.getLogger(__name__)


class Doorway:
    """Middleware that counts requests by route and status, with their seconds."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        """Keeps what it stands before, and where it counts."""
        self._app, self._metrics = app, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Passes a request on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started, status = time.perf_counter(), 0

        async def noted(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, noted)
        except Exception:
            _LOG.exception("a request failed")
            if not status:
                await fault(500, "something went wrong in the server; its log says what.")(scope, receive, noted)
        finally:
            route = scope.get("route")
            name = "none" if route is None else route.path
            self._metrics.request(name, status, time.perf_counter() - started)
