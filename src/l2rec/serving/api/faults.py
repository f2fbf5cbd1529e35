"""What goes wrong, as JSON of one line with the status that fits; no traceback leaves the server."""

import json
from collections.abc import Mapping
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from l2rec.config import Settings
from l2rec.errors import L2RecError, StoreError
from l2rec.serving.answering.batching import BusyError, ComingError, LateError, StoppedError
from l2rec.serving.answering.desk import UnknownError

RETRY_SECONDS = 1
"""Seconds after which a caller whom the server had to refuse may ask again."""
_LATER = (BusyError, ComingError, LateError, StoppedError, StoreError)
_MEANINGS = {
    400: "The body is cut, or no text.",
    401: "No key, or one that is unknown or expired.",
    403: "The key may not do this.",
    404: "There is no such thing.",
    408: "The body did not arrive in time.",
    413: "The body is too large.",
    414: "The path and the query are too long.",
    422: "A value is missing, out of range or of the wrong kind.",
    429: "Too many requests with this key.",
    431: "The headers are too large.",
    503: "Not just now; ask again after the seconds in Retry-After.",
}


class Fault(Settings):
    """Why there is no answer."""

    error: str
    """One line: place, value, limit, remedy."""


def fault(status: int, message: str, headers: Mapping[str, str] | None = None) -> Response:
    """Returns a fault as a response; a refusal that is not for ever says when to come back."""
    body = json.dumps({"error": " ".join(message.split())}, ensure_ascii=False).encode("utf-8", "replace")
    later = {"Retry-After": str(RETRY_SECONDS)} if status == 503 else {}
    return Response(body, status, {**later, **(headers or {})}, "application/json")


def faults(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Returns how a route's faults are described, with those of every route; 413 brings along those of every body."""
    body = {400, 408} if 413 in statuses else set()
    every = sorted({401, 403, 414, 422, 429, 431, *body, *statuses})
    return {status: {"model": Fault, "description": _MEANINGS[status]} for status in every}


def status_of(error: L2RecError) -> int:
    """Returns the status of a complaint."""
    if isinstance(error, _LATER):
        return 503
    return 404 if isinstance(error, UnknownError) else 422


def install(app: FastAPI) -> None:
    """Makes an application answer every complaint with a fault."""
    app.add_exception_handler(L2RecError, _complaint)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _refused)


async def _complaint(_: Request, error: Exception) -> Response:
    assert isinstance(error, L2RecError)
    return fault(status_of(error), str(error))


async def _invalid(_: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    told = "; ".join(f"{_place(one['loc'])}: {_sentence(one)}" for one in error.errors()[:3])
    return fault(422, told)


async def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return fault(error.status_code, f"{request.method} {request.url.path}: {error.detail}.", error.headers)


def _place(path: tuple[int | str, ...]) -> str:
    named = [str(part) for part in path if part not in ("body", "query", "path")]
    return ".".join(named) or str(path[0] if path else "request")


def _sentence(one: Mapping[str, Any]) -> str:
    message = str(one["msg"])
    return f"{message[:1].lower()}{message[1:]}. Correct it."
