"""The desk that answers: fresh from the model, else the list made ahead, else a newcomer's, else what is popular."""

import asyncio
import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from l2rec.errors import L2RecError
from l2rec.serving.answering.batching import BusyError, ComingError, LateError, StoppedError
from l2rec.serving.answering.edition import Edition, Listed, Question
from l2rec.serving.answering.readymade import UNPLACED, age_of, filled, from_row, is_behind, masked, popular
from l2rec.serving.answering.stage import NotReadyError, Stage
from l2rec.serving.model.explain import Explanation
from l2rec.serving.model.live import Ask
from l2rec.serving.model.traits import Attributes, Told, prompt_of, told, vector_of
from l2rec.serving.records import Event, UserRow, UserState
from l2rec.serving.wishes import Answer, Filters, Source, Wish

_LOG = logging.getLogger(__name__)
COMING = "the model is being loaded"
LATE = "the model did not answer within the deadline"
FAILED = "the model failed"
BUSY = "too many questions waited for the model: items that were rewritten stand where they stood"
FILLED = "too few items were found: the rest is what is popular"
DEAF = "this model cannot read text: the words were left out"


class UnknownError(L2RecError):
    """What was asked for does not exist."""


@dataclass(frozen=True)
class Person:
    """What is known of who asks.

    Attributes:
        row: The list made ahead, if there is one.
        ask: What the model would be asked.
        news: Whether the row has not heard of all of it.
        notes: What is missing.
    """

    row: UserRow | None
    ask: Ask
    news: bool
    notes: tuple[str, ...] = ()


class Desk:
    """Answers to users from the current release of a store.

    Attributes:
        stage: The release that is served.
        metrics: What is counted.
    """

    def __init__(self, stage: Stage) -> None:
        """Answers from what is on the stage."""
        self.stage, self.metrics = stage, stage.metrics
        self._memory = stage.memory

    async def for_user(self, user_id: str, wish: Wish) -> Answer:
        """Returns the list of a user, known or not; an event that was acknowledged has been heard.

        Raises:
            BusyError: the model is asked and too many questions wait.
            NotReadyError: there is no release.
        """
        edition, began = self.stage.ready, time.monotonic()
        state, note = await self._memory.user(edition.release.version, user_id, wish.deadline)
        notes = (note,) if note else ()
        if state.row is not None and not state.events and not notes:
            await masked(edition, wish.filters)
            ready = self._ahead(edition, state.row, wish)
            if ready is not None:
                return ready
        wish = _left(wish, began)
        try:
            return await self._answer(edition, self._person(edition, user_id, state, wish, notes), wish)
        except StoppedError:
            self.refuse_stopped(edition)
            return await self.for_user(user_id, wish)

    async def for_ask(
        self, history: Sequence[str], text: str | None, attributes: Attributes | None, wish: Wish
    ) -> Answer:
        """Returns a list for a history, words and attributes, each of which may be missing; nothing is stored.

        Args:
            history: Item ids, oldest first; unknown ones are left out.
            text: What is wanted, in words.
            attributes: The user's attribute vector, or values by name.
            wish: What is wanted of the list.

        Raises:
            SettingError: the attribute vector has another length than the run's, or a value that is no 32-bit number.
            BusyError: too many questions wait.
            NotReadyError: there is no release.
        """
        edition = self.stage.ready
        numbers, said = edition.shelf.numbers(history), told(attributes, edition.folder.manifest)
        vector = vector_of(said, edition.width)
        lost = len(history) - len(numbers)
        unknown = (f"{lost} unknown items of the history were left out",) if lost else ()
        notes = (*unknown, *said.unheard(edition.can_read, bool(numbers)))
        words, about = prompt_of(Told() if numbers else said, edition.can_read, text, wish.prompt)
        ask = Ask(numbers, vector, words, about=about)
        try:
            return await self._answer(edition, Person(None, ask, True, notes), wish)
        except StoppedError:
            self.refuse_stopped(edition)
            return await self.for_ask(history, text, attributes, wish)

    def refuse_stopped(self, edition: Edition) -> None:
        """Called when an edition takes no more questions: that it was replaced is no reason to fail, ask the next one.

        Raises:
            NotReadyError: there is no other; the server is stopping.
        """
        if self.stage.edition is edition:
            raise NotReadyError("the server is stopping. Ask another one.")

    async def similar(self, item_id: str, k: int, filters: Filters) -> Answer:
        """Returns the items most like an item.

        Raises:
            UnknownError: no item has that id.
            BusyError: too many wait.
            LateError: the model did not come to it within a second.
            NotReadyError: there is no release.
        """
        edition = self.stage.ready
        [number] = self._numbers(edition, [item_id])
        return self._told(edition, await edition.alike(number, k, filters), "fresh", ())

    async def explained(
        self, user_id: str, item_ids: Sequence[str], wish: Wish
    ) -> tuple[Explanation, Edition, tuple[str, ...]]:
        """Returns why items have their scores for a user, with the release that says so and notes.

        Args:
            user_id: The user.
            item_ids: The items; the user's own list of the model where there are none.
            wish: What is wanted of that list; its prompt is part of the question in both cases.

        Raises:
            UnknownError: nothing is known of the user, or no item has such an id.
            BusyError: too many questions wait.
            LateError: the model did not answer within the deadline.
            NotReadyError: there is no release.
        """
        edition, began = self.stage.ready, time.monotonic()
        state, note = await self._memory.user(edition.release.version, user_id, wish.deadline)
        wish = _left(wish, began)
        if state.row is None and not state.events:
            raise UnknownError(f"users/{user_id}: nothing is known of this user. Report an event first.")
        person = self._heard(edition, self._person(edition, user_id, state, wish, (note,) if note else ()))
        numbers = self._numbers(edition, item_ids)
        try:
            return await self._reasons(edition, person, numbers, wish), edition, person.notes
        except StoppedError:
            self.refuse_stopped(edition)
            return await self.explained(user_id, item_ids, wish)

    async def _reasons(self, edition: Edition, person: Person, numbers: list[int], wish: Wish) -> Explanation:
        began = time.monotonic()
        if not numbers:
            hidden = self._hidden(edition, person.ask, wish)
            question = Question(person.ask, wish.k, hidden, wish.filters, wish.diversity)
            numbers = (await edition.ask(question, wish.deadline))[0]
        return await edition.explained(person.ask, numbers, _left(wish, began).deadline)

    def _numbers(self, edition: Edition, item_ids: Sequence[str]) -> list[int]:
        found = [(item_id, edition.shelf.number(item_id)) for item_id in item_ids]
        for item_id, number in found:
            if number is None or number in edition.shelf.deleted:
                raise UnknownError(f"items/{item_id}: no such item. Put it first.")
        return [number for _, number in found if number is not None]

    def _ahead(self, edition: Edition, row: UserRow, wish: Wish) -> Answer | None:
        """The list made ahead, where it is what the model would say; None where it is not."""
        if wish.prompt is not None or wish.diversity or wish.mask_seen not in (None, edition.mask_seen):
            return None
        if is_behind(edition, row):
            return None
        listed = from_row(edition, row, wish, ())
        release = edition.release  # a short list is all that there is only where all were looked at
        end = row.scores[-1] if len(row.numbers) >= release.k else -np.inf  # behind it stands what nobody scored
        is_full = len(listed[0]) == wish.k and listed[1][-1] >= end
        whole = is_full or (release.index == "exact" and len(row.numbers) < release.k)
        notes = (UNPLACED,) if edition.shelf.unplaced else ()
        return self._told(edition, listed, "cached", notes) if whole else None

    def _person(self, edition: Edition, user_id: str, state: UserState, wish: Wish, notes: tuple[str, ...]) -> Person:
        """What a user's row and events come to."""
        row, news = state.row, edition.shelf.numbers([event.item_id for event in state.events])
        past = () if row is None else tuple(row.history.tolist())
        attributes = None if row is None or not len(row.attributes) else np.array(row.attributes)
        return Person(row, Ask(past + news, attributes, wish.prompt, user_id), bool(news), notes)

    async def _answer(self, edition: Edition, person: Person, wish: Wish) -> Answer:
        """The chain."""
        person = self._heard(edition, person)
        ask, notes = person.ask, person.notes
        if person.row is not None and not person.news:
            ready = self._ahead(edition, person.row, replace(wish, prompt=ask.prompt))
            if ready is not None:
                return replace(ready, notes=(*notes, *ready.notes))
        await masked(edition, wish.filters)
        hidden = self._hidden(edition, ask, wish)
        source = _best_source(person)
        if source is not None:
            listed, why = await self._asked(edition, person, hidden, wish)
            if listed is not None:
                return self._full(edition, listed, source, notes, (wish, hidden))
            notes = (*notes, why)
        if person.row is not None:
            return self._full(edition, from_row(edition, person.row, wish, hidden), "cached", notes, (wish, hidden))
        return self._told(edition, popular(edition, wish, hidden), "popular", notes)

    def _full(
        self, edition: Edition, listed: Listed, source: Source, notes: tuple[str, ...], want: tuple[Wish, Sequence[int]]
    ) -> Answer:
        """A list that is as long as the filters allow, whatever its source gave."""
        whole, own = filled(edition, listed, *want)
        if own == len(whole[0]):
            return self._told(edition, whole, source, notes)
        return self._told(edition, whole, source if own else "popular", (*notes, FILLED))

    def _heard(self, edition: Edition, person: Person) -> Person:
        """The same person; without words where the model cannot read."""
        if person.ask.prompt is None or edition.can_read:
            return person
        return replace(person, ask=replace(person.ask, prompt=None), notes=(*person.notes, DEAF))

    def _hidden(self, edition: Edition, ask: Ask, wish: Wish) -> tuple[int, ...]:
        """The items that are left out for having been seen."""
        masks = edition.mask_seen if wish.mask_seen is None else wish.mask_seen
        return ask.history if masks else ()

    async def _asked(
        self, edition: Edition, person: Person, hidden: tuple[int, ...], wish: Wish
    ) -> tuple[Listed | None, str]:
        """The model's list, or why there is none."""
        question = Question(person.ask, wish.k, hidden, wish.filters, wish.diversity)
        try:
            return await edition.ask(question, wish.deadline), ""
        except ComingError:
            return None, COMING
        except LateError:
            return None, LATE
        except BusyError:
            if person.row is None or person.news or not is_behind(edition, person.row):
                raise
            return None, BUSY
        except StoppedError:
            raise
        except Exception:
            _LOG.exception("the model failed")
            return None, FAILED

    def _told(self, edition: Edition, listed: Listed, source: Source, notes: tuple[str, ...]) -> Answer:
        self.metrics.answer(source).inc()
        release = edition.release
        age = 0.0 if source in ("fresh", "newcomer") else age_of(release)
        return Answer(listed[0], listed[1], source, release.version, age, notes, edition.shelf)

    async def report(self, events: Sequence[Event]) -> list[bool]:
        """Stores events and returns which are new; they are durable then, and in the next answer of every process.

        Raises:
            StoreDownError: the store cannot be written; nothing was acknowledged.
        """
        new: list[bool] = await asyncio.to_thread(self.stage.store.append, events)
        self.metrics.events.inc(sum(new))
        return new


def _left(wish: Wish, began: float) -> Wish:
    """The wish, with what is left of its deadline since it began (of `time.monotonic`)."""
    return replace(wish, deadline=max(0.0, wish.deadline - (time.monotonic() - began)))


def _best_source(person: Person) -> Source | None:
    """What the model's list is called; None where there is nothing to ask it."""
    if person.ask.history or person.row is not None:
        return "fresh"
    return None if person.ask.prompt is None and person.ask.attributes is None else "newcomer"
