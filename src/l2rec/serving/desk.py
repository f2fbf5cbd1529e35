"""The desk that answers: fresh from the model, else the list made ahead, else a newcomer's, else what is popular."""

import asyncio
import logging
import time
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import chain

import numpy as np

from l2rec.errors import L2RecError, SettingError, StoreDownError, StoreError
from l2rec.serving.batching import BusyError, LateError, StoppedError
from l2rec.serving.edition import Edition, Engine, Listed, Question
from l2rec.serving.metrics import Metrics
from l2rec.serving.model.live import Ask
from l2rec.serving.records import Event, LiveItem, Release, UserRow, UserState
from l2rec.serving.store.contract import Store
from l2rec.serving.wishes import Answer, Filters, Source, Wish, diversified

_LOG = logging.getLogger(__name__)
DOWN = "the store is down: answered from memory"
LATE = "the model did not answer within the deadline"
FAILED = "the model failed"
DEAF = "this model cannot read text: the words were left out"
KEPT_USERS = 4096
"""Users whose last known state is kept for the time when the store is down."""


class NotReadyError(StoreError):
    """No release has been loaded yet."""


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
        store: Where releases, rows, events and items lie.
        metrics: What is counted.
        edition: The release that is served; None before the first.
    """

    def __init__(self, store: Store, engine: Engine | None = None, metrics: Metrics | None = None) -> None:
        """Notes where to answer from; `refresh` brings the first release to life.

        Args:
            store: The store.
            engine: How models are run.
            metrics: What is counted.
        """
        self.store = store
        self.metrics = metrics or Metrics()
        self.engine = replace(engine or Engine(), sizes=self.metrics.batches.observe)
        self.edition: Edition | None = None
        self._recent: OrderedDict[str, UserState] = OrderedDict()
        self._turn = asyncio.Lock()
        self.metrics.watch(self._queue, self._age)

    @property
    def ready(self) -> Edition:
        """The release that is served.

        Raises:
            NotReadyError: there is none yet.
        """
        if self.edition is None:
            raise NotReadyError("no release is loaded yet. Publish a run, or wait until it is loaded.")
        return self.edition

    # Lists

    async def for_user(self, user_id: str, wish: Wish) -> Answer:
        """Returns the list of a user, known or not; an event that was acknowledged has been heard.

        Raises:
            BusyError: the model is asked and too many questions wait.
            NotReadyError: there is no release.
        """
        edition = self.ready
        state, notes = await self._state(edition, user_id)
        if state.row is not None and not state.events and not notes:
            ready = self._ahead(edition, state.row, wish)
            if ready is not None:
                return ready
        try:
            return await self._answer(edition, self._person(edition, state, wish, notes), wish)
        except StoppedError:
            self._refuse_stopped(edition)
            return await self.for_user(user_id, wish)

    async def for_ask(
        self, history: Sequence[str], text: str | None, attributes: Sequence[float] | None, wish: Wish
    ) -> Answer:
        """Returns a list for a history, words and attributes, each of which may be missing; nothing is stored.

        Args:
            history: Item ids, oldest first; unknown ones are left out.
            text: What is wanted, in words.
            attributes: The user's attribute vector.
            wish: What is wanted of the list.

        Raises:
            SettingError: the attribute vector has another length than the run's.
            BusyError: too many questions wait.
            NotReadyError: there is no release.
        """
        edition = self.ready
        width, numbers = edition.live.model.attribute_count, edition.shelf.numbers(history)
        if attributes is not None and len(attributes) != width:
            raise SettingError(f"attributes: {len(attributes)} values: the run has {width}. Send that many, or none.")
        vector = np.array(attributes, dtype=np.float32) if attributes else None
        lost = len(history) - len(numbers)
        notes = (f"{lost} unknown items of the history were left out",) if lost else ()
        words = ". ".join(part for part in (text, wish.prompt) if part is not None) or None
        try:
            return await self._answer(edition, Person(None, Ask(numbers, vector, words), True, notes), wish)
        except StoppedError:
            self._refuse_stopped(edition)
            return await self.for_ask(history, text, attributes, wish)

    def _refuse_stopped(self, edition: Edition) -> None:
        """An edition that was replaced between two lines is no reason to fail; the end of the server is."""
        if self.edition is edition:
            raise NotReadyError("the server is stopping. Ask another one.")

    async def similar(self, item_id: str, k: int, filters: Filters) -> Answer:
        """Returns the items most like an item.

        Raises:
            UnknownError: no item has that id.
            NotReadyError: there is no release.
        """
        edition = self.ready
        number = edition.shelf.number(item_id)
        if number is None:
            raise UnknownError(f"items/{item_id}: no such item. Put it first.")
        return self._told(edition, await edition.alike(number, k, filters), "fresh", ())

    def _ahead(self, edition: Edition, row: UserRow, wish: Wish) -> Answer | None:
        """The list made ahead, where it is what the model would say; None where it is not."""
        if wish.prompt is not None or wish.diversity or wish.mask_seen not in (None, edition.mask_seen):
            return None
        listed = _from_row(edition, row, wish, ())
        whole = len(listed[0]) == wish.k or len(row.numbers) < edition.release.k
        return self._told(edition, listed, "cached", ()) if whole else None

    def _person(self, edition: Edition, state: UserState, wish: Wish, notes: tuple[str, ...]) -> Person:
        """What a user's row and events come to."""
        row, news = state.row, edition.shelf.numbers([event.item_id for event in state.events])
        past = () if row is None else tuple(row.history.tolist())
        attributes = None if row is None or not len(row.attributes) else np.array(row.attributes)
        return Person(row, Ask(past + news, attributes, wish.prompt), bool(news), notes)

    async def _answer(self, edition: Edition, person: Person, wish: Wish) -> Answer:
        """The chain."""
        ask, notes = person.ask, person.notes
        if ask.prompt is not None and not edition.live.can_read:
            ask, notes = replace(ask, prompt=None), (*notes, DEAF)
        if person.row is not None and not person.news:
            ready = self._ahead(edition, person.row, replace(wish, prompt=ask.prompt))
            if ready is not None:
                return replace(ready, notes=notes)
        mask = edition.mask_seen if wish.mask_seen is None else wish.mask_seen
        hidden = ask.history if mask else ()
        known = bool(ask.history) or person.row is not None
        if known or ask.prompt is not None or ask.attributes is not None:
            source: Source = "fresh" if known else "newcomer"
            question = Question(ask, wish.k, hidden, wish.filters, wish.diversity)
            listed, why = await self._asked(edition, question, wish.deadline)
            if listed is not None:
                return self._told(edition, listed, source, notes)
            notes = (*notes, why)
        if person.row is not None:
            return self._told(edition, _from_row(edition, person.row, wish, hidden), "cached", notes)
        return self._told(edition, _popular(edition, wish, hidden), "popular", notes)

    async def _asked(self, edition: Edition, question: Question, seconds: float) -> tuple[Listed | None, str]:
        """The model's list, or why there is none."""
        try:
            return await edition.ask(question, seconds), ""
        except LateError:
            return None, LATE
        except (BusyError, StoppedError):
            raise
        except Exception:
            _LOG.exception("the model failed")
            return None, FAILED

    def _told(self, edition: Edition, listed: Listed, source: Source, notes: tuple[str, ...]) -> Answer:
        self.metrics.answers.labels(source).inc()
        release = edition.release
        age = 0.0 if source in ("fresh", "newcomer") else _age_of(release)
        return Answer(listed[0], listed[1], source, release.version, age, notes, edition.shelf)

    # What is known and what is reported

    async def _state(self, edition: Edition, user_id: str) -> tuple[UserState, tuple[str, ...]]:
        """The store's word on a user, or the last that was heard of him where the store is down."""
        version = edition.release.version
        try:
            if self.store.is_local:
                state = self.store.user(version, user_id)
            else:
                state = await asyncio.to_thread(self.store.user, version, user_id)
        except StoreDownError:
            return self._recent.get(user_id, UserState(None)), (DOWN,)
        if state.row is not None or state.events:
            self._recent[user_id] = state
            self._recent.move_to_end(user_id)
            if len(self._recent) > KEPT_USERS:
                self._recent.popitem(last=False)
        return state, ()

    def store_is_up(self) -> bool:
        """Returns whether the store can be read."""
        try:
            self.store.ping()
        except StoreError:
            return False
        return True

    async def history(self, user_id: str) -> Ask:
        """Returns what the model would be asked for a user.

        Raises:
            UnknownError: nothing is known of the user.
            StoreDownError: the store cannot be read.
        """
        edition = self.ready
        state = await asyncio.to_thread(self.store.user, edition.release.version, user_id)
        if state.row is None and not state.events:
            raise UnknownError(f"users/{user_id}: nothing is known of this user. Report an event first.")
        return self._person(edition, state, Wish(), ()).ask

    async def report(self, events: Sequence[Event]) -> list[bool]:
        """Stores events and returns which are new; they are durable then, and in the next answer of every process.

        Raises:
            StoreDownError: the store cannot be written; nothing was acknowledged.
        """
        new = await asyncio.to_thread(self.store.append, events)
        self.metrics.events.inc(sum(new))
        return new

    async def put(self, item: LiveItem) -> bool:
        """Stores a change of an item and takes it over; returns whether the item can be recommended now.

        Raises:
            StoreDownError: the store cannot be written; nothing was changed.
        """
        await asyncio.to_thread(self.store.put_items, [item])
        edition = self.edition
        if edition is None:
            return False
        try:
            await edition.catch_up(self.store.items)
        except StoppedError:  # replaced just now: the next edition has read the change
            edition = self.ready
        number = edition.shelf.number(item.item_id)
        return number is not None and number not in edition.shelf.deleted

    # Releases

    async def refresh(self) -> None:
        """Takes over a new release and new changes of items, where the store has any.

        The new model is brought to life in a thread beside the old one, which answers until it is replaced.

        Raises:
            StoreDownError: the store cannot be read.
            L2RecError: the new release cannot be loaded; the old one goes on.
        """
        async with self._turn:
            release = await asyncio.to_thread(self.store.current)
            old = self.edition
            if release is not None and (old is None or old.release.version != release.version):
                self.edition = await asyncio.to_thread(self._loaded, release)
                self._recent.clear()
                self.metrics.reloads.labels("done").inc()
                if old is not None:
                    old.close()
            if self.edition is not None:
                await self.edition.catch_up(self.store.items)

    def close(self) -> None:
        """Takes no more questions; what was accepted is answered."""
        if self.edition is not None:
            self.edition.close()

    def _loaded(self, release: Release) -> Edition:
        try:
            return Edition.load(release, self.store.items(), self.engine)
        except Exception:
            self.metrics.reloads.labels("failed").inc()
            raise

    def _queue(self) -> float:
        return 0.0 if self.edition is None else float(len(self.edition.batcher))

    def _age(self) -> float:
        return 0.0 if self.edition is None else _age_of(self.edition.release)


def _age_of(release: Release) -> float:
    return max(0.0, time.time() - (release.finished or release.created))


def _from_row(edition: Edition, row: UserRow, wish: Wish, hidden: Sequence[int]) -> Listed:
    """The list made ahead, with what came since at its place and without what went."""
    shelf = edition.shelf
    filtered = bool(wish.filters or hidden or shelf.deleted)
    places = len(row.numbers) if filtered or wish.diversity or len(shelf.added) else wish.k
    numbers, scores = row.numbers[:places], row.scores[:places]
    if len(shelf.added) and len(row.vector):
        numbers = np.concatenate((numbers, shelf.added))
        scores = np.concatenate((scores, shelf.vectors @ row.vector.astype(np.float32)))
        order = np.argsort(-scores, kind="stable")
        numbers, scores = numbers[order], scores[order]
    listed = list(zip(numbers.tolist(), scores.tolist(), strict=True))
    if filtered:
        out = shelf.deleted.union(hidden)
        listed = [(n, s) for n, s in listed if n not in out and (not wish.filters or shelf.passes(n, wish.filters))]
    if wish.diversity:
        vectors = shelf.token_vectors([n for n, _ in listed])
        scores = np.array([s for _, s in listed])
        listed = [listed[place] for place in diversified(scores, vectors, wish.k, wish.diversity).tolist()]
    return [n for n, _ in listed[: wish.k]], [s for _, s in listed[: wish.k]]


def _popular(edition: Edition, wish: Wish, hidden: Sequence[int]) -> Listed:
    """What most did, most first; then what nobody did yet, so that a list is as long as the filters allow."""
    shelf, out = edition.shelf, edition.shelf.deleted.union(hidden)
    listed: dict[int, None] = {}
    for number in chain(edition.release.popular, range(shelf.count)):
        if len(listed) == wish.k:
            break
        if number not in out and (not wish.filters or shelf.passes(number, wish.filters)):
            listed[number] = None
    return list(listed), [float(len(listed) - place) for place in range(len(listed))]
