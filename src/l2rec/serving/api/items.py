"""Items: put and delete while the service runs, and what is like an item."""

from fastapi import APIRouter, Request, Response
from pydantic import ConfigDict, Field

from l2rec.config import Settings
from l2rec.errors import SettingError
from l2rec.serving.answering.desk import Desk
from l2rec.serving.api.asking import List, Reader, Text, Token, parameters, path_id
from l2rec.serving.api.faults import faults
from l2rec.serving.records import LiveItem
from l2rec.serving.wishes import Limits, check_ids, check_text


class ItemBody(Settings):
    """An item as it is from now on."""

    model_config = ConfigDict(strict=True)

    title: Text = ""
    """What a person is shown; the id where empty."""
    text: Text = ""
    """What a language model reads; the title where empty."""
    attributes: list[Token] = Field(default_factory=list)
    """Tokens column=value, for filters."""


class ItemState(Settings):
    """What became of a change; it is stored, and every server takes it over within a second."""

    item_id: str
    """The item's id."""
    recommendable: bool
    """Whether the item can stand in a list of this server now; a model that cannot grow waits for its next training."""


class ItemRoutes:
    """The routes of items."""

    def __init__(self, desk: Desk, limits: Limits) -> None:
        """Keeps who stores and answers, and within which limits."""
        self.desk, self.limits = desk, limits
        self._reader = Reader(limits, ("k", "allow", "deny", "allow_attributes", "deny_attributes"))

    async def put(self, request: Request, body: ItemBody) -> ItemState:
        """Put an item: a new one can be recommended at once, a known one is as it is put from now on."""
        item_id = self._id(request)
        check_text("title", body.title, self.limits, empty=True)
        check_text("text", body.text, self.limits, empty=True)
        check_ids("attributes", body.attributes, self.limits.ids, self.limits)
        for token in body.attributes:
            if "=" not in token:
                raise SettingError(f'attributes: "{token}": no "=". Name column and value, e.g. genres=Comedy.')
        item = LiveItem(item_id=item_id, title=body.title, text=body.text, attributes=tuple(body.attributes))
        return ItemState(item_id=item_id, recommendable=await self.desk.stage.put(item))

    async def delete(self, request: Request) -> ItemState:
        """Delete an item: it stands in no list from now on, until it is put again."""
        item_id = self._id(request)
        return ItemState(
            item_id=item_id, recommendable=await self.desk.stage.put(LiveItem(item_id=item_id, deleted=True))
        )

    async def similar(self, request: Request) -> Response:
        """The items most like an item, by the model's vectors, or by common attributes where it has none."""
        wish = self._reader.wish(request.scope["query_string"])
        answer = await self.desk.similar(self._id(request), wish.k, wish.filters)
        return Response(answer.to_json(), media_type="application/json")

    def router(self) -> APIRouter:
        """Returns the routes."""
        router, described = APIRouter(tags=["items"]), {"parameters": [path_id(self.limits)]}
        asked = [*described["parameters"], *parameters(self.limits, self._reader.names)]
        router.add_api_route(
            "/v1/items/{id:path}/similar",
            self.similar,
            methods=["GET"],
            response_model=List,
            responses=faults(404, 503),
            openapi_extra={"parameters": asked},
            operation_id="similar_items",
        )
        router.add_api_route(
            "/v1/items/{id:path}",
            self.put,
            methods=["PUT"],
            response_model=ItemState,
            responses=faults(413, 503),
            openapi_extra=described,
            operation_id="put_item",
        )
        router.add_api_route(
            "/v1/items/{id:path}",
            self.delete,
            methods=["DELETE"],
            response_model=ItemState,
            responses=faults(503),
            openapi_extra=described,
            operation_id="delete_item",
        )
        return router

    def _id(self, request: Request) -> str:
        item_id: str = request.scope["path_params"]["id"]
        check_ids("item id", (item_id,), 1, self.limits)
        return item_id
