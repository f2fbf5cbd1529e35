"""Explanations: which part of the model and which items of the history speak for an item."""

from dataclasses import replace
from urllib.parse import parse_qsl

from fastapi import APIRouter, Request

from l2rec.config import Settings
from l2rec.errors import SettingError
from l2rec.serving.answering.desk import Desk
from l2rec.serving.answering.shelf import Shelf
from l2rec.serving.api.asking import Reader, parameters, path_id, query
from l2rec.serving.api.faults import faults
from l2rec.serving.model.explain import Reasons
from l2rec.serving.wishes import Limits, check_ids

MOST = 20
"""Items that are explained at once, at most: each item of a history is left out once for them."""
PATIENCE = 10.0
"""Seconds within which an explanation is wanted where nothing else is said: it reads a history once for each item."""
_ITEM = "item_id"


class CarrierBody(Settings):
    """An item of the history and what it did for a score."""

    item_id: str
    """Its id."""
    title: str
    """What a person is shown."""
    drop: float
    """How much lower the score would be without it; negative where it spoke against the item."""


class ReasonsBody(Settings):
    """Why one item has its score."""

    item_id: str
    """Its id."""
    title: str
    """What a person is shown."""
    score: float
    """Its score."""
    parts: dict[str, float]
    """What each part of the model gives to the score; they add up to it. Empty where the model has no parts."""
    carried_by: list[CarrierBody]
    """The items of the history that the model reads, the one that did most first."""


class ExplanationBody(Settings):
    """Why a user's items have their scores."""

    items: list[ReasonsBody]
    """The items that were asked for, or the user's list."""
    experts: dict[str, list[list[float]]]
    """Per view and block, the share of choices that fell on each expert; empty where nothing chooses among experts."""
    version: str
    """The release that says so."""
    notes: list[str]
    """Why the answer is less than was asked for."""


class Explanations:
    """The route of explanations."""

    def __init__(self, desk: Desk, limits: Limits) -> None:
        """Keeps who explains, and within which limits."""
        self.desk = desk
        self.limits = limits.model_copy(update={"k": min(MOST, limits.k)})
        self._reader = Reader(self.limits)

    async def of_user(self, request: Request) -> ExplanationBody:
        """Why items stand in a user's list: parts of the score, and who of the history carried it (leave one out)."""
        scope = request.scope
        user_id = scope["path_params"]["id"]
        check_ids("user id", (user_id,), 1, self.limits)
        items, rest = _items(scope["query_string"])
        check_ids(_ITEM, items, MOST, self.limits)
        wish = self._reader.wish(rest)
        if b"deadline_ms" not in rest:
            wish = replace(wish, deadline=min(PATIENCE, self.limits.seconds))
        explanation, edition, notes = await self.desk.explained(user_id, items, wish)
        told = [_told(edition.shelf, reasons) for reasons in explanation.items]
        return ExplanationBody(
            items=told, experts=explanation.experts, version=edition.release.version, notes=list(notes)
        )

    def router(self) -> APIRouter:
        """Returns the route."""
        router = APIRouter(tags=["explanations"])
        word = {"type": "string", "minLength": 1, "maxLength": self.limits.characters}
        meaning = "Item that is to be explained; the user's own list where none is named. May be repeated."
        items = query(_ITEM, {"type": "array", "items": word, "maxItems": MOST}, meaning)
        described = [path_id(self.limits), items, *parameters(self.limits, self._reader.names)]
        for one in described:
            if one["name"] == "deadline_ms":
                one["schema"]["default"] = 1000 * min(PATIENCE, self.limits.seconds)
        router.add_api_route(
            "/v1/users/{id:path}/explanation",
            self.of_user,
            methods=["GET"],
            response_model=ExplanationBody,
            responses=faults(404, 503),
            openapi_extra={"parameters": described},
            operation_id="explanation_of_user",
        )
        return router


def _items(asked: bytes) -> tuple[list[str], bytes]:
    """The values of `item_id` in a query string, each once, and the query string without them."""
    try:
        pairs = parse_qsl(asked.decode("latin-1"), keep_blank_values=True, max_num_fields=10_000)
    except ValueError:
        raise SettingError("the query: over 10000 values. Send fewer.") from None
    rest = b"&".join(part for part in asked.split(b"&") if not part.startswith(_ITEM.encode() + b"="))
    return list(dict.fromkeys(value for name, value in pairs if name == _ITEM)), rest


def _told(shelf: Shelf, reasons: Reasons) -> ReasonsBody:
    carriers = [
        CarrierBody(item_id=shelf.id(one.number), title=shelf.title(one.number), drop=one.drop)
        for one in reasons.carried_by
    ]
    number = reasons.number
    return ReasonsBody(
        item_id=shelf.id(number),
        title=shelf.title(number),
        score=reasons.score,
        parts=reasons.parts,
        carried_by=carriers,
    )
