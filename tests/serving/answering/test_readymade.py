"""Lists that need no model: filters cost one look, no list is short without need, rewritten items are the model's."""

import asyncio
import threading
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch

from l2rec.errors import SettingError
from l2rec.serving.answering import readymade
from l2rec.serving.answering.batching import BusyError, LateError
from l2rec.serving.answering.desk import BUSY, FILLED, LATE, Desk
from l2rec.serving.answering.edition import Engine, Listed, LiveEdition
from l2rec.serving.answering.shelf import Shelf
from l2rec.serving.answering.stage import Stage
from l2rec.serving.model.live import Ask, Live
from l2rec.serving.records import LiveItem, UserRow
from l2rec.serving.store.sqlite import SqliteStore
from l2rec.serving.wishes import Answer, Filters, Wish
from tests.models.conftest import backbone  # noqa: F401  (the fixture)
from tests.serving.model import runs
from tests.serving.service import published
from tests.trained import World

PATIENT = Wish(k=12, deadline=30.0)


class Blank(Live):
    """A model whose scores are no numbers."""

    def scores(self, asks: Sequence[Ask]) -> torch.Tensor:
        return super().scores(asks) * torch.nan


@pytest.fixture
def ids_store(world: World, tmp_path: Path) -> SqliteStore:
    """A store with a model that knows items by their numbers."""
    return published(world.sasrec / "seed-0", tmp_path / "ids.sqlite")


@pytest.fixture
def text_store(world: World, backbone: Path, tmp_path: Path) -> SqliteStore:  # noqa: F811
    """A store with a model that reads its items."""
    return published(runs.l2rec(world, backbone).folder.path, tmp_path / "text.sqlite")


def at_desk(
    store: SqliteStore, story: Callable[[Desk], Awaitable[None]], load: Callable[[Path, str], Live] = Live.load
) -> None:
    """Tells a story at a desk that is ready."""

    async def run() -> None:
        stage = Stage(store, Engine(load=load))
        await stage.refresh()
        await story(Desk(stage))
        stage.close()

    asyncio.run(run())


def ids(answer: Answer) -> list[str]:
    return [place.item_id for place in answer.places]


def row_of(desk: Desk, user: str) -> UserRow:
    row = desk.stage.store.user(desk.stage.ready.release.version, user).row
    assert row is not None
    return row


def late(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    """Lets every question to the model end with an error."""

    async def asked(*_: object) -> Listed:
        raise error

    monkeypatch.setattr(LiveEdition, "ask", asked)


def test_filters_look_at_every_item_once_and_beside_the_loop(
    ids_store: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads: list[str] = []
    whole = Shelf._passing

    def passing(shelf: Shelf, filters: Filters) -> object:
        threads.append(threading.current_thread().name)
        return whole(shelf, filters)

    monkeypatch.setattr(readymade, "LARGE", 1)
    monkeypatch.setattr(Shelf, "_passing", passing)
    monkeypatch.setattr(Shelf, "passes", lambda *_: pytest.fail("item by item"))

    async def story(desk: Desk) -> None:
        deny = frozenset({"i1"} | {f"x{n}" for n in range(500)})
        for user in ("u5", "nobody", "u5"):
            assert "i1" not in ids(await desk.for_user(user, Wish(k=4, filters=Filters(deny=deny))))
        assert len(threads) == 1
        assert threads[0] != threading.current_thread().name

    at_desk(ids_store, story)


def test_what_is_popular_is_followed_by_what_nobody_did(ids_store: SqliteStore) -> None:
    async def story(desk: Desk) -> None:
        edition = desk.stage.ready
        edition.release = edition.release.model_copy(update={"popular": (7, 3, 9)})
        numbers, scores = readymade.popular(edition, Wish(k=5), (3,))
        assert (numbers, scores) == ([7, 9, 0, 1, 2], [5.0, 4.0, 3.0, 2.0, 1.0])
        allowed = Filters(allow=frozenset(map(edition.shelf.id, (9, 2))))
        assert readymade.popular(edition, Wish(k=5, filters=allowed), ())[0] == [9, 2]

    at_desk(ids_store, story)


def test_a_late_model_and_filters_leave_no_empty_list(ids_store: SqliteStore, monkeypatch: pytest.MonkeyPatch) -> None:
    async def story(desk: Desk) -> None:
        row, shelf = row_of(desk, "u5"), desk.stage.ready.shelf
        left = 30 - len({*row.numbers.tolist(), *row.history.tolist()})
        assert left > 0
        late(monkeypatch, LateError("late"))
        deny = frozenset(shelf.id(n) for n in row.numbers.tolist())
        none = await desk.for_user("u5", Wish(filters=Filters(deny=deny)))
        assert (len(none.places), none.source, none.notes) == (min(10, left), "popular", (LATE, FILLED))
        assert deny.isdisjoint(ids(none))
        one = await desk.for_user("u5", Wish(filters=Filters(deny=deny - {shelf.id(int(row.numbers[0]))})))
        assert (one.numbers[0], len(one.places), one.source) == (row.numbers[0], min(10, left + 1), "cached")
        assert list(one.scores) == sorted(one.scores, reverse=True)
        assert not {*one.numbers} & {*row.history.tolist()}

    at_desk(ids_store, story)


def test_scores_that_are_no_numbers_are_no_list(ids_store: SqliteStore) -> None:
    async def story(desk: Desk) -> None:
        answer = await desk.for_ask(["i3"], None, None, Wish(deadline=30.0))
        assert (len(answer.places), answer.source, answer.notes) == (10, "popular", (FILLED,))
        assert "i3" not in ids(answer)

    at_desk(ids_store, story, Blank.load)


def test_a_list_is_only_filled_up_where_it_is_short(ids_store: SqliteStore) -> None:
    async def story(desk: Desk) -> None:
        edition = desk.stage.ready
        whole = readymade.filled(edition, ([4, 2], [1.0, 0.5]), Wish(k=2), ())
        assert whole == (([4, 2], [1.0, 0.5]), 2)
        allowed = Filters(allow=frozenset(map(edition.shelf.id, (4, 5))))
        (numbers, scores), own = readymade.filled(edition, ([4, 2], [1.0, np.nan]), Wish(3, filters=allowed), ())
        assert (numbers, scores, own) == ([4, 5], [1.0, 0.0], 1)

    at_desk(ids_store, story)


def test_attributes_beyond_the_model_s_numbers_are_refused_in_one_line(
    ids_store: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def story(desk: Desk) -> None:
        monkeypatch.setattr(desk.stage.ready.live.model, "attribute_count", 2)
        with pytest.raises(
            SettingError, match=r"^attributes: 1e\+300: no finite 32-bit number\. Send values like [^\n]*$"
        ):
            await desk.for_ask([], None, [1.0, 1e300], Wish())

    at_desk(ids_store, story)


def test_a_list_with_rewritten_items_is_what_the_model_says(
    text_store: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def story(desk: Desk) -> None:
        before = await desk.for_user("u5", PATIENT)
        assert before.source == "cached"
        for item in (ids(before)[3], ids(before)[5]):
            await desk.stage.put(LiveItem(item_id=item, title="zzz", text="words of another kind about tax law"))
        after = await desk.for_user("u5", PATIENT)
        row = row_of(desk, "u5")
        [scores] = await desk.stage.ready.batcher.between(
            lambda: desk.stage.ready.live.scores([Ask(tuple(row.history.tolist()), np.array(row.attributes))])
        )
        assert after.source == "fresh"
        assert list(after.scores) == pytest.approx(scores[list(after.numbers)].tolist(), abs=1e-4)
        assert list(after.scores) != pytest.approx(list(before.scores), abs=1e-4)
        late(monkeypatch, BusyError("busy"))
        busy = await desk.for_user("u5", PATIENT)
        assert (ids(busy), busy.source, busy.notes) == (ids(before), "cached", (BUSY,))

    at_desk(text_store, story)


def test_a_deleted_or_a_new_item_leaves_the_lists_made_ahead(text_store: SqliteStore) -> None:
    async def story(desk: Desk) -> None:
        first = ids(await desk.for_user("u5", PATIENT))[0]
        await desk.stage.put(LiveItem(item_id=first, deleted=True))
        await desk.stage.put(LiveItem(item_id="new", title="red lamp", text="red lamp | red"))
        answer = await desk.for_user("u5", Wish(k=5))
        assert (answer.source, len(answer.places)) == ("cached", 5)
        assert first not in ids(answer)

    at_desk(text_store, story)


def test_a_new_title_moves_no_model_that_reads_none(ids_store: SqliteStore) -> None:
    async def story(desk: Desk) -> None:
        before = await desk.for_user("u5", Wish())
        await desk.stage.put(LiveItem(item_id=ids(before)[0], title="Anew"))
        after = await desk.for_user("u5", Wish())
        assert (ids(after), after.source, after.places[0].title) == (ids(before), "cached", "Anew")

    at_desk(ids_store, story)


@pytest.mark.parametrize(("index", "source"), [("exact", "cached"), ("IVF4", "fresh")])
def test_a_short_list_is_whole_only_where_all_items_were_looked_at(
    index: str, source: str, ids_store: SqliteStore
) -> None:
    async def story(desk: Desk) -> None:
        edition = desk.stage.ready
        edition.release = edition.release.model_copy(update={"index": index, "k": 20})
        answer = await desk.for_user("u5", Wish(k=14, deadline=30.0))
        assert answer.source == source
        assert len(answer.places) == (12 if source == "cached" else 14)

    at_desk(ids_store, story)
