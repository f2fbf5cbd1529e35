"""Newcomer: somebody without a history says a sentence or a few attributes and gets a list."""

import asyncio
from dataclasses import dataclass

from fastapi import APIRouter, Request, Response

from l2rec.errors import SettingError
from l2rec.serving.answering.desk import Desk
from l2rec.serving.manifest import Manifest
from l2rec.serving.model.traits import user_columns
from l2rec.serving.pages.asked import Given, asked, first, given
from l2rec.serving.pages.rendering import PageRoute, page
from l2rec.serving.pages.shelving import item_of, lookup
from l2rec.serving.wishes import Limits

_FARTHEST = 10.0
"""Standard deviations from the mean that can be said."""


@dataclass(frozen=True)
class Trait:
    """One thing that can be said of a user.

    Attributes:
        name: Name of its field.
        label: What a person reads.
        places: Where it stands in the attribute vector.
        values: What can be chosen, a place each; empty where it is a number.
    """

    name: str
    label: str
    places: tuple[int, ...]
    values: tuple[str, ...] = ()


@dataclass(frozen=True)
class Said:
    """What was said of a user.

    Attributes:
        vector: The attribute vector; None where nothing was said.
        chosen: By field, what stands in it.
        wrong: By field, what is wrong with it.
    """

    vector: list[float] | None
    chosen: dict[str, str]
    wrong: dict[str, str]


class Newcomer:
    """The page of a newcomer."""

    def __init__(self, desk: Desk, limits: Limits) -> None:
        """Keeps who answers, and within which limits."""
        self.desk, self.limits = desk, limits.model_copy(update={"k": min(100, limits.k)})

    async def look(self, request: Request) -> Response:
        """The page with the list that fits what was said; what is popular where nothing was."""
        told = given(request.scope["query_string"])
        question = asked(told, self.limits)
        edition = self.desk.stage.ready
        shelf = await asyncio.to_thread(lookup, edition)
        traits = traits_of(edition.folder.manifest)
        said = spoken(told, traits, edition.width)
        answer = await self.desk.for_ask((), None, said.vector, question.wish)
        if self.desk.stage.ready is not edition:  # the numbers of the list may be the next one's
            return await self.look(request)
        places = [
            (item_of(edition.shelf, number), score, None)
            for number, score in zip(answer.numbers, answer.scores, strict=True)
        ]
        content = {
            "here": "newcomer",
            "question": question,
            "offered": shelf.offered,
            "limits": self.limits,
            "can_read": edition.can_read,
            "traits": traits,
            "said": said,
            "answer": answer,
            "places": places,
        }
        return page("newcomer", content)

    def router(self) -> APIRouter:
        """Returns the route."""
        router = APIRouter(route_class=PageRoute, include_in_schema=False)
        router.add_api_route("/newcomer", self.look, methods=["GET"])
        return router


def spoken(told: Given, traits: tuple[Trait, ...], width: int) -> Said:
    """Returns what was said of a user.

    Args:
        told: What stands in the form.
        traits: What can be said.
        width: Length of the attribute vector.
    """
    chosen = {trait.name: first(told, trait.name).strip() for trait in traits}
    vector, wrong = [0.0] * width, {}
    for trait in traits:
        text = chosen[trait.name]
        if not text:
            continue
        try:
            place, value = _placed(trait, text)
        except SettingError as error:
            wrong[trait.name] = str(error)
        else:
            vector[place] = value
    return Said(vector if any(chosen[name] for name in chosen.keys() - wrong.keys()) else None, chosen, wrong)


def _placed(trait: Trait, text: str) -> tuple[int, float]:
    """Where in the vector a text stands, and as what."""
    if trait.values:
        if text not in trait.values:
            raise SettingError(f"{trait.label}: {text[:40]!r}: not among the values. Choose one of them.")
        return trait.places[trait.values.index(text)], 1.0
    try:
        value = float(text)
    except ValueError:
        raise SettingError(f"{trait.label}: {text[:40]!r}: expected a number. Correct it.") from None
    if not abs(value) <= _FARTHEST:
        raise SettingError(f"{trait.label}: {value:g}: expected -{_FARTHEST:g} to {_FARTHEST:g}. 0 is the average.")
    return trait.places[0], value


def traits_of(manifest: Manifest) -> tuple[Trait, ...]:
    """Returns what can be said of a user, by the names that the prepared data has for it.

    Where the data is not at hand, or has changed, the places are numbered.
    """
    numbered = tuple(f"attribute {number}" for number in range(1, manifest.attributes + 1))
    names = user_columns(manifest) or numbered
    columns: dict[str, list[tuple[int, str]]] = {}
    for place, name in enumerate(names):
        column, _, value = name.partition("=")
        columns.setdefault(column, []).append((place, value))
    traits = []
    for number, (column, found) in enumerate(columns.items()):
        places, values = zip(*found, strict=True)
        listed = values if any(values) else ()
        label = column if listed else f"{column} (0 is the average, 1 a standard deviation above)"
        traits.append(Trait(f"trait{number}", label, places, listed))
    return tuple(traits)
