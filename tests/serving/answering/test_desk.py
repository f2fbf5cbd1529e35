"""The chain: fresh, else made ahead, else a newcomer's, else popular; and what stands in the answer's notes."""

import asyncio
import threading
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from l2rec.errors import SettingError, StoreDownError
from l2rec.serving.answering.batching import BusyError, LateError
from l2rec.serving.answering.desk import DEAF, FAILED, LATE, Desk, UnknownError
from l2rec.serving.answering.edition import Edition, Engine
from l2rec.serving.answering.memory import DOWN
from l2rec.serving.answering.stage import NotReadyError, Stage
from l2rec.serving.model.live import Ask, Live
from l2rec.serving.recommender import Recommender
from l2rec.serving.records import Event, LiveItem, UserState
from l2rec.serving.store.sqlite import SqliteStore
from l2rec.serving.wishes import Answer, Filters, Wish
from tests.serving.service import published
from tests.trained import World

Story = Callable[[Desk], Awaitable[None]]


class Stubborn(Live):
    """A model that may wait at a gate, or fail."""

    gate = threading.Event()
    entered = threading.Event()
    fails = False
    whose: tuple[str, ...] = ()

    def scores(self, asks: Sequence[Ask]) -> torch.Tensor:
        self.entered.set()
        Stubborn.whose = tuple(ask.user_id for ask in asks)
        assert self.gate.wait(20)
        if self.fails:
            raise ValueError("broken")
        return super().scores(asks)


class Moody(SqliteStore):
    """A store that may be down."""

    down = False

    def user(self, version: str, user_id: str) -> UserState:
        if self.down:
            raise StoreDownError("down")
        return super().user(version, user_id)


@pytest.fixture
def store(world: World, tmp_path: Path) -> Moody:
    published(world.sasrec / "seed-0", tmp_path / "store.sqlite").close()
    return Moody(tmp_path / "store.sqlite")


@pytest.fixture
def tell(store: Moody, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Tells a story at a desk that is ready."""
    monkeypatch.setattr(Stubborn, "gate", threading.Event())
    monkeypatch.setattr(Stubborn, "entered", threading.Event())
    Stubborn.gate.set()

    def told(story: Story, **options: Any) -> None:
        async def run() -> None:
            stage = Stage(store, Engine(load=Stubborn.load, **options))
            await stage.refresh()
            await story(Desk(stage))
            Stubborn.gate.set()
            stage.close()

        asyncio.run(run())

    return told


def did(name: str, user: str, item: str) -> Event:
    return Event(name, user, item, 1.6e9)


def ids(answer: Answer) -> list[str]:
    return [place.item_id for place in answer.places]


def test_a_late_model_leaves_the_list_made_ahead_without_what_was_seen(tell: Callable[..., None]) -> None:
    async def story(desk: Desk) -> None:
        ahead = await desk.for_user("u5", Wish(k=5))
        await desk.report([did("e", "u5", ids(ahead)[0])])
        Stubborn.gate.clear()
        late = await desk.for_user("u5", Wish(k=4, deadline=0.05))
        assert (late.source, late.notes) == ("cached", (LATE,))
        assert ids(late) == ids(ahead)[1:]
        newcomer = await desk.report([did("n", "new", "i3")])
        assert newcomer == [True]
        popular = await desk.for_user("new", Wish(k=30, deadline=0.05))
        assert (popular.source, popular.notes) == ("popular", (LATE,))
        assert "i3" not in ids(popular)
        Stubborn.gate.set()
        fresh = await desk.for_user("u5", Wish(k=4))
        assert (fresh.source, fresh.notes, fresh.age) == ("fresh", (), 0.0)

    tell(story)


def test_a_failing_model_is_no_failing_answer(tell: Callable[..., None], monkeypatch: pytest.MonkeyPatch) -> None:
    async def story(desk: Desk) -> None:
        await desk.report([did("e", "u5", "i3")])
        monkeypatch.setattr(Stubborn, "fails", True)
        answer = await desk.for_user("u5", Wish())
        assert (answer.source, answer.notes) == ("cached", (FAILED,))

    tell(story)


def test_a_full_queue_is_said_at_once(tell: Callable[..., None]) -> None:
    async def story(desk: Desk) -> None:
        Stubborn.gate.clear()
        asked = [asyncio.create_task(desk.for_ask(["i3"], None, None, Wish(deadline=20.0)))]
        await asyncio.to_thread(Stubborn.entered.wait, 20)
        asked += [asyncio.create_task(desk.for_ask([f"i{n}"], None, None, Wish(deadline=20.0))) for n in (4, 5)]
        await asyncio.sleep(0)
        with pytest.raises(BusyError, match="2 questions are waiting: no more than 2 may"):
            await desk.for_ask(["i6"], None, None, Wish())
        assert (await desk.for_user("u5", Wish())).source == "cached"
        Stubborn.gate.set()
        assert [(await one).source for one in asked] == ["fresh"] * 3

    tell(story, most=2)


def test_a_store_that_is_down_is_answered_from_memory_and_then_again_from_itself(
    tell: Callable[..., None], store: Moody
) -> None:
    async def story(desk: Desk) -> None:
        known = await desk.for_user("u5", Wish())
        store.down = True
        again = await desk.for_user("u5", Wish())
        assert (ids(again), again.source, again.notes) == (ids(known), "cached", (DOWN,))
        stranger = await desk.for_user("u6", Wish())
        assert (stranger.source, stranger.notes, len(stranger.places)) == ("popular", (DOWN,), 10)
        store.down = False
        back = await desk.for_user("u6", Wish())
        assert (back.source, back.notes) == ("cached", ())

    tell(story)


def test_filters_and_the_seen_rule_are_kept_by_every_source(tell: Callable[..., None], world: World) -> None:
    recommender = Recommender.load(world.sasrec / "seed-0")
    past = set(recommender._pasts.sequence(recommender.data.user_ids.number("u5")).tolist())
    seen = set(recommender.item_ids.ids(past))
    red = {f"i{n}" for n in range(0, 30, 5)}

    async def story(desk: Desk) -> None:
        wish = Wish(30, filters=Filters(allow_attributes=frozenset({"colour=red"})))
        for item in sorted(red):
            await desk.stage.put(LiveItem(item_id=item, title=item, attributes=("colour=red",)))
        assert set(ids(await desk.for_user("u5", wish))) == red - seen
        assert set(ids(await desk.for_user("u5", Wish(30, False, wish.filters)))) == red
        assert set(ids(await desk.for_user("nobody", wish))) == red
        for filters in (Filters(deny=frozenset(red)), Filters(deny_attributes=frozenset({"colour=red"}))):
            found = await desk.for_user("u5", Wish(30, filters=filters))
            assert set(ids(found)) == set(recommender.item_ids.values) - red - seen
        first = await desk.for_user("u5", Wish(3))
        rest = await desk.for_user("u5", Wish(2, filters=Filters(deny=frozenset({ids(first)[0]}))))
        assert (ids(rest), rest.source) == (ids(first)[1:], "cached")

    tell(story)


def test_diversity_at_zero_is_the_order_of_the_scores(tell: Callable[..., None]) -> None:
    async def story(desk: Desk) -> None:
        plain = await desk.for_user("u5", Wish(6))
        varied = await desk.for_user("u5", Wish(6, diversity=0.9))
        assert varied.source == "fresh"
        assert ids(varied)[0] == ids(plain)[0]
        assert ids(varied) != ids(plain)

    tell(story)


def test_words_that_the_model_cannot_read_are_left_out_and_it_is_said(tell: Callable[..., None]) -> None:
    async def story(desk: Desk) -> None:
        plain, worded = await desk.for_user("u5", Wish()), await desk.for_user("u5", Wish(prompt="a red lamp"))
        assert (ids(worded), worded.notes) == (ids(plain), (DEAF,))
        text = await desk.for_ask([], "a red lamp", None, Wish())
        assert (text.source, text.notes) == ("popular", (DEAF,))
        with pytest.raises(SettingError, match=r"^attributes: 2 values: the run has 0\. Send that many, or none\.$"):
            await desk.for_ask([], None, [0.5, 1.0], Wish())

    tell(story)


def test_a_deleted_item_stands_in_no_list_until_it_is_put_again(tell: Callable[..., None]) -> None:
    async def story(desk: Desk) -> None:
        before = await desk.for_user("u5", Wish(5))
        item = ids(before)[0]
        assert not await desk.stage.put(LiveItem(item_id=item, deleted=True))
        assert ids(await desk.for_user("u5", Wish(4))) == ids(before)[1:]
        for answer in (await desk.for_user("nobody", Wish(30)), await desk.for_ask(["i3"], None, None, Wish(30))):
            assert item not in ids(answer)
            assert len(ids(answer)) >= 28
        assert await desk.stage.put(LiveItem(item_id=item, title="Back", attributes=("colour=new",)))
        back = await desk.for_user("u5", Wish(5))
        assert tuple(back.places[0])[:2] == (item, "Back")
        new = Wish(5, filters=Filters(allow_attributes=frozenset({"colour=new"})))
        for who in ("u5", "nobody"):
            assert ids(await desk.for_user(who, new)) == [item]

    tell(story)


def test_similar_items_are_the_nearest_vectors(tell: Callable[..., None]) -> None:
    async def story(desk: Desk) -> None:
        answer = await desk.similar("i3", 4, Filters(deny=frozenset({"i5"})))
        live = desk.stage.ready.live
        vectors = live.item_vectors()
        assert vectors is not None
        own = live.catalogue.number("i3")
        cosine = torch.cosine_similarity(vectors, vectors[own][None]).tolist()
        others = [n for n in range(30) if n not in (own, live.catalogue.number("i5"))]
        best = sorted(others, key=lambda n: -cosine[n])[:4]
        assert ids(answer) == [live.catalogue.id(n) for n in best]
        with pytest.raises(UnknownError, match=r"items/nothing: no such item\. Put it first\."):
            await desk.similar("nothing", 4, Filters())

    tell(story)


def test_an_explanation_is_of_the_list_and_names_who_carried_it(tell: Callable[..., None]) -> None:
    async def story(desk: Desk) -> None:
        listed = await desk.for_user("u5", Wish(2))
        explanation, edition, notes = await desk.explained("u5", [], Wish(2))
        assert [edition.shelf.id(one.number) for one in explanation.items] == ids(listed)
        assert notes == ()
        first = explanation.items[0]
        assert first.score == pytest.approx(listed.scores[0], abs=1e-4)
        carrier = edition.shelf.id(first.carried_by[0].number)
        [named], _, _ = (explanation.items[:1], edition, notes)
        assert carrier in {edition.shelf.id(one.number) for one in named.carried_by}
        only, _, _ = await desk.explained("u5", ["i29"], Wish())
        assert [edition.shelf.id(one.number) for one in only.items] == ["i29"]
        with pytest.raises(UnknownError, match="users/nobody: nothing is known of this user"):
            await desk.explained("nobody", [], Wish())
        with pytest.raises(UnknownError, match="items/nothing: no such item"):
            await desk.explained("u5", ["nothing"], Wish())
        Stubborn.gate.clear()
        with pytest.raises(LateError):
            await desk.explained("u5", [], Wish(deadline=0.05))

    tell(story)


def test_without_a_release_there_is_no_answer(tmp_path: Path) -> None:
    async def story() -> None:
        stage = Stage(SqliteStore(tmp_path / "empty.sqlite"))
        await stage.refresh()
        with pytest.raises(NotReadyError, match="no release is loaded yet"):
            await Desk(stage).for_user("u5", Wish())

    asyncio.run(story())


def test_a_model_that_is_replaced_between_two_lines_is_asked_again(tell: Callable[..., None]) -> None:
    async def story(desk: Desk) -> None:
        old = desk.stage.ready
        desk.stage.edition = Edition.load(old.release, (), Engine())
        old.close()
        stale = Desk(desk.stage)
        first = iter([old])

        class Late(Stage):
            @property
            def ready(self) -> Edition:
                return next(first, self.edition)  # type: ignore[arg-type]

        stale.stage = Late(desk.stage.store)
        stale.stage.edition = desk.stage.edition
        assert (await stale.for_ask(["i3"], None, None, Wish())).source == "fresh"
        with pytest.raises(StopIteration):
            next(first)
        desk.stage.ready.close()
        with pytest.raises(NotReadyError, match="the server is stopping"):
            await desk.for_ask(["i3"], None, None, Wish())

    tell(story)


def test_the_model_is_told_whose_history_it_reads(tell: Callable[..., None]) -> None:
    async def story(desk: Desk) -> None:
        await desk.report([did("e", "u1", "i7")])
        assert [await desk.for_user("u1", Wish(deadline=20.0)), Stubborn.whose][1] == ("u1",)

    tell(story)
