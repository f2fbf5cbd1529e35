"""Lists: of a user, and of a history, words or attributes that come with the question."""

from collections.abc import Awaitable, Callable
from typing import Annotated

from fastapi import APIRouter, Request, Response
from pydantic import Field
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from l2rec.serving.answering.desk import Desk
from l2rec.serving.api.asking import List, Reader, WishBody, parameters, path_id
from l2rec.serving.api.faults import faults
from l2rec.serving.wishes import Limits, check_ids, check_text


class AskBody(WishBody):
    """A question that brings along all that is to be known of who asks; nothing of it is stored."""

    history: list[str] = Field(default_factory=list)
    """Item ids, oldest first; unknown ones are left out."""
    text: str | None = None
    """What is wanted, in words."""
    attributes: list[Annotated[float, Field(allow_inf_nan=False)]] | None = None
    """The user's attribute vector, as long as the run's."""


class Straight:
    """An endpoint that answers with JSON past what a framework does for a route, which is half of the time.

    Attributes:
        path: The route's path, by which its requests are counted.
    """

    def __init__(self, path: str, told: Callable[[Scope], Awaitable[bytes]]) -> None:
        """Keeps what answers."""
        self.path, self._told = path, told

    async def __call__(self, scope: Scope, _: Receive, send: Send) -> None:
        """Answers one request; complaints become faults further out."""
        scope["route"] = self
        body = await self._told(scope)
        headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})


class Lists:
    """The routes of lists."""

    def __init__(self, desk: Desk, limits: Limits) -> None:
        """Keeps who answers, and within which limits."""
        self.desk, self.limits = desk, limits
        self._reader = Reader(limits)

    async def of_user(self, request: Request) -> Response:
        """The list of a user, known or not; whatever was acknowledged before has been heard."""
        return Response(await self.told(request.scope), media_type="application/json")

    async def told(self, scope: Scope) -> bytes:
        """Returns the list that a request for a user's list asks for, as JSON."""
        user_id = scope["path_params"]["id"]
        check_ids("user id", (user_id,), 1, self.limits)
        answer = await self.desk.for_user(user_id, self._reader.wish(scope["query_string"]))
        return answer.to_json()

    async def of_question(self, body: AskBody) -> Response:
        """A list for a history, words and attributes, each of which may be missing; nothing is stored."""
        wish = body.wish(self.limits)
        check_ids("history", body.history, self.limits.history, self.limits)
        if body.text is not None:
            check_text("text", body.text, self.limits)
        answer = await self.desk.for_ask(body.history, body.text, body.attributes, wish)
        return Response(answer.to_json(), media_type="application/json")

    def router(self) -> APIRouter:
        """Returns the routes."""
        router = APIRouter(tags=["lists"])
        # The first route answers; the second, which is never reached, describes it.
        path = "/v1/users/{id:path}/recommendations"
        router.routes.append(Route(path, Straight(path, self.told), methods=["GET"]))
        router.add_api_route(
            path,
            self.of_user,
            methods=["GET"],
            response_model=List,
            responses=faults(503),
            openapi_extra={"parameters": [path_id(self.limits), *parameters(self.limits, self._reader.names)]},
            operation_id="recommendations_of_user",
        )
        router.add_api_route(
            "/v1/recommendations",
            self.of_question,
            methods=["POST"],
            response_model=List,
            responses=faults(413, 503),
            operation_id="recommendations",
        )
        return router
