"""A tiny application behind the guard, and what its tests ask of it."""

from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.testclient import TestClient

from l2rec.serving.access.guard import Guard
from l2rec.serving.records import Key

LOCAL = "http://127.0.0.1:8000"


async def _told(request: Request) -> Response:
    key: Key | None = request.scope["l2rec.key"]
    body = await request.body()
    return JSONResponse({"key": key and key.name, "bytes": len(body), "path": request.url.path})


async def _kept(request: Request) -> Response:
    return Response("", headers={"Cache-Control": "max-age=9"})


APP = Starlette(
    routes=[
        Route("/static/a.js", _kept),
        Route("/{path:path}", _told, methods=["GET", "POST", "PUT", "DELETE"]),
    ]
)


def client_of(found: Guard) -> TestClient:
    """A client of the guarded application, as from this machine."""
    return TestClient(found(APP), base_url=LOCAL, follow_redirects=False)


def error(answer: Any) -> str:
    """The one line of a refusal."""
    assert set(answer.json()) == {"error"}
    text: str = answer.json()["error"]
    assert "\n" not in text
    return text
