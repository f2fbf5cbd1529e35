"""Lists: of a user, and of a history, words or attributes that come with the question."""

from typing import Annotated

from fastapi import APIRouter, Request, Response
from pydantic import Field

from l2rec.serving.answering.desk import Desk
from l2rec.serving.api.asking import List, Name, Reader, Text, WishBody, parameters, path_id
from l2rec.serving.api.faults import faults
from l2rec.serving.api.straight import PATH
from l2rec.serving.model.traits import check_attributes
from l2rec.serving.wishes import Limits, check_ids, check_text


class AskBody(WishBody):
    """A question that brings along all that is to be known of who asks; nothing of it is stored."""

    history: list[Name] = Field(default_factory=list)
    """Item ids, oldest first; unknown ones are left out."""
    text: Text | None = None
    """What is wanted, in words."""
    attributes: list[Annotated[float, Field(allow_inf_nan=False)]] | dict[str, str | list[str]] | None = None
    """The user's attribute vector, as long as the run's; or values by name, such as `{"genre": "Horror"}`. Without a
    history a model that reads text is steered by their words."""


class Lists:
    """The routes of lists."""

    def __init__(self, desk: Desk, limits: Limits) -> None:
        """Keeps who answers, and within which limits."""
        self.desk, self.limits = desk, limits
        self._reader = Reader(limits)

    async def of_user(self, request: Request) -> Response:
        """The list of a user, known or not; whatever was acknowledged before has been heard."""
        told = await self.told(request.path_params["id"], request.scope["query_string"])
        return Response(told, media_type="application/json")

    async def told(self, user_id: str, query: bytes) -> bytes:
        """Returns the list of a user that a query string asks for, as JSON.

        Raises:
            L2RecError: the id or the query is none, or there is no list just now.
        """
        check_ids("user id", (user_id,), 1, self.limits)
        answer = await self.desk.for_user(user_id, self._reader.wish(query))
        return answer.to_json()

    async def of_question(self, body: AskBody) -> Response:
        """A list for a history, words and attributes, each of which may be missing; nothing is stored."""
        wish = body.wish(self.limits)
        check_ids("history", body.history, self.limits.history, self.limits)
        if body.text is not None:
            check_text("text", body.text, self.limits)
        if isinstance(body.attributes, dict):
            check_attributes(body.attributes, self.limits)
        answer = await self.desk.for_ask(body.history, body.text, body.attributes, wish)
        return Response(answer.to_json(), media_type="application/json")

    def router(self) -> APIRouter:
        """Returns the routes."""
        router = APIRouter(tags=["lists"])
        router.add_api_route(
            PATH,  # `Straight` stands before it and answers most
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
