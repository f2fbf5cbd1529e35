"""The way in for a person: a key once, then a cookie that no script and no other site can use."""

from fastapi import APIRouter, Request, Response

from l2rec.errors import L2RecError
from l2rec.serving.access.guard import login_cookie, logout_cookie
from l2rec.serving.access.keys import KeyRing
from l2rec.serving.answering.desk import Desk
from l2rec.serving.pages.asked import first, given
from l2rec.serving.pages.rendering import PageRoute, page, sentence

_MOST = 4096
"""Bytes of the form that are read."""


class Login:
    """The pages where a person comes in and leaves."""

    def __init__(self, desk: Desk) -> None:
        """Keeps where keys are checked."""
        self._ring = KeyRing(desk.stage.store)

    async def look(self) -> Response:
        """The form."""
        return page("login", {"here": "login", "wrong": ""})

    async def enter(self, request: Request) -> Response:
        """Checks the key and sets the cookie; what is wrong is said beside the field."""
        key = first(given((await request.body())[:_MOST]), "key").strip()
        try:
            await self._ring.find(key.encode())
        except L2RecError as error:
            return page("login", {"here": "login", "wrong": sentence(error)}, 401)
        cookie = login_cookie(key, secure=request.url.scheme == "https")
        return Response(status_code=303, headers={"Location": "/", "Set-Cookie": cookie})

    async def leave(self) -> Response:
        """Forgets the cookie."""
        return Response(status_code=303, headers={"Location": "/login", "Set-Cookie": logout_cookie()})

    def router(self) -> APIRouter:
        """Returns the routes."""
        router = APIRouter(route_class=PageRoute, include_in_schema=False)
        router.add_api_route("/login", self.look, methods=["GET"])
        router.add_api_route("/login", self.enter, methods=["POST"])
        router.add_api_route("/logout", self.leave, methods=["POST"])
        return router
