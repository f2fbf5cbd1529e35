"""Explorer: a user's history and list side by side; both can be changed, and the list says why it is so."""

import asyncio
from dataclasses import dataclass, replace

import numpy as np
from fastapi import APIRouter, Request, Response
from jaxtyping import Float
from numpy import ndarray

from l2rec.errors import L2RecError, StoreDownError
from l2rec.serving.answering.batching import StoppedError
from l2rec.serving.answering.desk import Desk
from l2rec.serving.answering.edition import Edition
from l2rec.serving.answering.memory import DOWN
from l2rec.serving.api.explanations import MOST, PATIENCE
from l2rec.serving.model.live import Ask
from l2rec.serving.pages.asked import Asked, asked, first, given
from l2rec.serving.pages.reasons import Told, told
from l2rec.serving.pages.rendering import PageRoute, page, sentence
from l2rec.serving.pages.shelving import Item, Lookup, item_of, lookup
from l2rec.serving.records import UserState
from l2rec.serving.wishes import Answer, Limits

_OFFERED = 12
"""Users that are offered while an id is typed."""


@dataclass(frozen=True)
class Past:
    """A history as it is shown.

    Attributes:
        known: Whether anything is known of the user.
        ids: Item ids, oldest first, as the model is asked.
        items: The last of them, newest first: what the model reads.
        attributes: The user's attribute vector; None where there is none.
        notes: What is missing.
    """

    known: bool
    ids: tuple[str, ...]
    items: tuple[Item, ...]
    attributes: Float[ndarray, " A"] | None
    notes: tuple[str, ...] = ()

    @property
    def earlier(self) -> int:
        """Events that the model does not read any more."""
        return len(self.ids) - len(self.items)


class Explorer:
    """The pages of the explorer."""

    def __init__(self, desk: Desk, limits: Limits) -> None:
        """Keeps who answers, and within which limits."""
        self.desk, self.limits = desk, limits.model_copy(update={"k": min(100, limits.k)})

    async def look(self, request: Request) -> Response:
        """The page; a browser that has it already takes the changed pieces out of it."""
        question = asked(given(request.scope["query_string"]), self.limits)
        edition = self.desk.stage.ready
        shelf = await asyncio.to_thread(lookup, edition)
        question = _checked(question, shelf)
        content = {
            "here": "explore",
            "question": question,
            "offered": shelf.offered,
            "found": await asyncio.to_thread(shelf.found, question.find),
            "limits": self.limits,
            "can_read": edition.can_read,
            "past": None,
            "users": [],
        }
        if question.user:
            content |= await self._answered(edition, question)
        else:
            content["users"] = await self._users("")
        return page("explore", content, headers=_address(request, question))

    async def users(self, request: Request) -> Response:
        """Users whose id begins with what was typed."""
        prefix = first(given(request.scope["query_string"]), "user").strip()[: self.limits.characters]
        return page("users", {"users": await self._users(prefix), "prefix": prefix})

    async def items(self, request: Request) -> Response:
        """Items whose title holds what was typed."""
        words = first(given(request.scope["query_string"]), "find").strip()[: self.limits.text]
        shelf = await asyncio.to_thread(lookup, self.desk.stage.ready)
        return page("found", {"found": await asyncio.to_thread(shelf.found, words), "find": words})

    def router(self) -> APIRouter:
        """Returns the routes."""
        router = APIRouter(route_class=PageRoute, include_in_schema=False)
        for path, handler in (("/explore", self.look), ("/explore/users", self.users), ("/explore/items", self.items)):
            router.add_api_route(path, handler, methods=["GET"])
        return router

    async def _users(self, prefix: str) -> list[str]:
        version = self.desk.stage.ready.release.version
        return await asyncio.to_thread(self.desk.stage.store.user_ids, version, prefix, _OFFERED)

    async def _answered(self, edition: Edition, question: Asked) -> dict[str, object]:
        """The history, the list and its reasons, all of one release."""
        try:
            return await self._side_by_side(edition, question)
        except StoppedError:
            self.desk.refuse_stopped(edition)
            return await self._answered(self.desk.stage.ready, question)

    async def _side_by_side(self, edition: Edition, question: Asked) -> dict[str, object]:
        past = await self._past(edition, question)
        if question.edited:
            attributes = None if past.attributes is None else past.attributes.tolist()
            answer = await self.desk.for_ask(past.ids, None, attributes, question.wish)
        else:
            answer = await self.desk.for_user(question.user, question.wish)
        if self.desk.stage.ready is not edition:  # the numbers of the list may be the next one's
            raise StoppedError("the release was replaced meanwhile. Ask again.")
        reasons, silent = await self._reasons(edition, question, past, answer)
        places = [
            (item_of(edition.shelf, number), score, reasons.items.get(number) if reasons else None)
            for number, score in zip(answer.numbers, answer.scores, strict=True)
        ]
        return {"past": past, "answer": answer, "places": places, "reasons": reasons, "silent": silent}

    async def _past(self, edition: Edition, question: Asked) -> Past:
        notes: tuple[str, ...] = ()
        try:
            state = await asyncio.to_thread(self.desk.stage.store.user, edition.release.version, question.user)
        except StoreDownError:
            state, notes = UserState(None), (f"{DOWN}; the history is not known.",)
        shelf, row = edition.shelf, state.row
        did = [] if row is None else [shelf.id(number) for number in row.history.tolist()]
        did += [event.item_id for event in state.events if shelf.number(event.item_id) is not None]
        did = [item_id for item_id in did if item_id not in question.dropped] + list(question.added)
        numbers = shelf.numbers(did)[-edition.window :]
        attributes = None if row is None or not len(row.attributes) else np.array(row.attributes)
        items = tuple(item_of(shelf, number) for number in reversed(numbers))
        return Past(row is not None or bool(state.events), tuple(did), items, attributes, notes)

    async def _reasons(self, edition: Edition, question: Asked, past: Past, answer: Answer) -> tuple[Told | None, str]:
        """Why the list is so, or in a sentence why that is not known; nothing where it was not asked."""
        if not question.why or not answer.numbers:
            return None, ""
        prompt = question.wish.prompt if edition.can_read else None
        ask = Ask(edition.shelf.numbers(past.ids), past.attributes, prompt)
        if not ask.history and prompt is None:
            return None, "Without a history and without words there is nothing to explain: the list is what is popular."
        try:
            return told(await edition.explained(ask, list(answer.numbers[:MOST]), PATIENCE), edition.shelf), ""
        except StoppedError:  # replaced: the numbers of its items mean nothing to the next one
            raise
        except L2RecError as error:
            return None, sentence(error)


def _checked(question: Asked, shelf: Lookup) -> Asked:
    """The question; tokens that no item has are said beside their field."""
    lost = {name: shelf.unknown(tokens) for name, tokens in (("only", question.only), ("never", question.never))}
    wrong = {name: f"{tokens[0]}: no item has this. Choose another." for name, tokens in lost.items() if tokens}
    return replace(question, wrong={**wrong, **question.wrong})


def _address(request: Request, question: Asked) -> dict[str, str]:
    """What stands in the browser's address bar after a piece was taken out of the page: the question as it is now."""
    if "hx-request" not in request.headers or question.why:
        return {}
    name = "HX-Push-Url" if question.moved else "HX-Replace-Url"
    return {name: f"/explore?{question.query()}"}
