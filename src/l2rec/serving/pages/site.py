"""The site: its files, its front page and the way in, and all other pages put together."""

from hashlib import sha256
from pathlib import Path

from fastapi import APIRouter, FastAPI, Response

from l2rec.serving.answering.desk import Desk, UnknownError
from l2rec.serving.pages.explorer import Explorer
from l2rec.serving.pages.login import Login
from l2rec.serving.pages.newcomer import Newcomer
from l2rec.serving.pages.rendering import PageRoute, page, share
from l2rec.serving.pages.runs import Runs
from l2rec.serving.pages.service import Service
from l2rec.serving.wishes import Limits

_KINDS = {"style.css": "text/css", "htmx.min.js": "text/javascript", "icon.svg": "image/svg+xml"}
_FOLDER = Path(__file__).parent / "static"
_YEAR = 31_536_000


class Files:
    """The few files that browsers get; nothing else below any path is read."""

    def __init__(self) -> None:
        """Reads them once."""
        self._bytes = {name: (_FOLDER / name).read_bytes() for name in _KINDS}

    def address(self, name: str) -> str:
        """Returns where a browser finds a file; another content is another address, so it may keep this one."""
        return f"/static/{name}?{sha256(self._bytes[name]).hexdigest()[:12]}"

    async def get(self, name: str) -> Response:
        """A file."""
        if name not in _KINDS:
            raise UnknownError(f"static/{name[:40]}: no such file. Known: {', '.join(_KINDS)}.")
        headers = {"Cache-Control": f"public, max-age={_YEAR}, immutable"}
        return Response(self._bytes[name], 200, headers, _KINDS[name])


async def _front() -> Response:
    """The front page: what there is to see."""
    return page("front", {"here": ""})


def install(app: FastAPI, desk: Desk, limits: Limits) -> None:
    """Adds every page to an application.

    Args:
        app: The application.
        desk: Who answers; pages ask it as the API does.
        limits: What a person may ask for at most.
    """
    files = Files()
    share("address", files.address)
    router = APIRouter(route_class=PageRoute, include_in_schema=False)
    router.add_api_route("/static/{name}", files.get, methods=["GET"])
    router.add_api_route("/", _front, methods=["GET"])
    app.router.routes.extend(router.routes)
    families = (Explorer(desk, limits), Newcomer(desk, limits), Runs(desk), Service(desk), Login(desk))
    for family in families:
        app.router.routes.extend(family.router().routes)
