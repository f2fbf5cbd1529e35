"""An item that is put again: lists made ahead that it moves are the model's; the others stay and say what they lack."""

from collections.abc import Callable

import numpy as np
import pytest

from l2rec.serving.answering.batching import LateError
from l2rec.serving.answering.desk import Desk
from l2rec.serving.answering.readymade import UNPLACED, is_behind
from l2rec.serving.model.live import Ask
from l2rec.serving.records import LiveItem, UserRow
from l2rec.serving.store.sqlite import SqliteStore
from l2rec.serving.wishes import Filters, Wish
from tests.models.conftest import backbone  # noqa: F401  (the fixture)
from tests.serving.answering.test_readymade import at_desk, ids, late, row_of, text_store  # noqa: F401  (the fixture)

USERS = [f"u{n}" for n in range(40)]
SHORT = Wish(k=3, deadline=30.0)
LAW = LiveItem(item_id="i7", title="zzz", text="words of another kind about tax law")
Holds = Callable[[UserRow], bool]


def trained(desk: Desk, item: str) -> LiveItem:
    """An item as the training knew it."""
    catalogue = desk.stage.ready.live.catalogue
    number = catalogue.number(item)
    text, attributes = catalogue.texts[number], catalogue.attributes[number]
    return LiveItem(item_id=item, title=catalogue.titles[number], text=text, attributes=attributes)


def holders(desk: Desk, item: str) -> tuple[Holds, Holds]:
    """Tell whether an item stands in a row's list, and whether the model reads it in the row's history."""
    edition = desk.stage.ready
    number, length = edition.live.catalogue.number(item), edition.live.model.settings.history
    return lambda row: number in row.numbers, lambda row: number in row.history[-length:]


def test_an_item_put_again_with_its_text_leaves_every_list(text_store: SqliteStore) -> None:  # noqa: F811
    async def story(desk: Desk) -> None:
        before = {user: await desk.for_user(user, SHORT) for user in USERS}
        item = ids(before["u5"])[0]
        same = trained(desk, item)
        for update in ({}, {"title": "Anew"}, {"attributes": ("colour=gold",)}):
            await desk.stage.put(same.model_copy(update=update))
            after = {user: await desk.for_user(user, SHORT) for user in USERS}
            assert {(answer.source, answer.notes) for answer in after.values()} == {("cached", ())}
            assert {user: ids(answer) for user, answer in after.items()} == {u: ids(a) for u, a in before.items()}
            assert after["u5"].places[0].title == update.get("title", same.title)
        gold = Wish(k=1, filters=Filters(allow_attributes=frozenset({"colour=gold"})))
        assert ids(await desk.for_user("u5", gold)) == [item]

    at_desk(text_store, story)


def test_a_rewritten_item_takes_away_the_lists_that_hold_it_or_were_made_from_it(
    text_store: SqliteStore,  # noqa: F811
) -> None:
    async def story(desk: Desk) -> None:
        same = trained(desk, LAW.item_id)
        listed, read = holders(desk, LAW.item_id)
        await desk.stage.put(LAW)
        kinds = set()
        for user in USERS:
            row, answer = row_of(desk, user), await desk.for_user(user, SHORT)
            moved = listed(row) or read(row)
            kinds.add((listed(row), read(row)))
            assert (answer.source, answer.notes) == (("fresh", ()) if moved else ("cached", (UNPLACED,)))
            [scores] = await desk.stage.ready.batcher.between(
                lambda row=row: desk.stage.ready.live.scores([Ask(tuple(row.history.tolist()))])
            )
            assert list(answer.scores) == pytest.approx(scores[list(answer.numbers)].tolist(), abs=1e-4)
        assert kinds == {(True, False), (False, True), (False, False)}
        await desk.stage.put(same)
        assert {(a.source, a.notes) for a in [await desk.for_user(u, SHORT) for u in USERS]} == {("cached", ())}

    at_desk(text_store, story)


def test_a_rewritten_item_that_is_deleted_is_in_no_list_and_moves_only_who_had_it(
    text_store: SqliteStore,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def story(desk: Desk) -> None:
        _, read = holders(desk, LAW.item_id)
        await desk.stage.put(LAW)
        await desk.stage.put(LiveItem(item_id=LAW.item_id, deleted=True))
        answers = {user: await desk.for_user(user, SHORT) for user in USERS}
        for user, answer in answers.items():
            assert (answer.source, answer.notes) == (("fresh" if read(row_of(desk, user)) else "cached"), ())
        late(monkeypatch, LateError("late"))
        for answer in [*answers.values(), *[await desk.for_user(user, SHORT) for user in USERS]]:
            assert LAW.item_id not in ids(answer)
            assert len(answer.places) == 3

    at_desk(text_store, story)


def test_a_list_for_nobody_s_history_hangs_on_every_item(text_store: SqliteStore) -> None:  # noqa: F811
    nothing = np.zeros(0)
    row = UserRow(np.array([1]), np.array([1.0]), nothing.astype(int), nothing, nothing)

    async def story(desk: Desk) -> None:
        assert not is_behind(desk.stage.ready, row)
        await desk.stage.put(LAW)
        assert is_behind(desk.stage.ready, row)

    at_desk(text_store, story)


def test_only_what_the_model_reads_of_a_history_counts(text_store: SqliteStore) -> None:  # noqa: F811
    async def story(desk: Desk) -> None:
        edition = desk.stage.ready
        await desk.stage.put(LAW)
        length, nothing = edition.live.model.settings.history, np.zeros(0)
        law = edition.live.catalogue.number(LAW.item_id)
        for place, behind in ((0, False), (1, True)):
            history = np.full(length + 1, law - 1)
            history[place] = law
            row = UserRow(np.array([law - 1]), np.array([1.0]), history, nothing, nothing)
            assert is_behind(edition, row) == behind

    at_desk(text_store, story)
