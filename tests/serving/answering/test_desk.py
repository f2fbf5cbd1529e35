"""The chain: fresh, else made ahead, else a newcomer's, else popular; and what stands in the answer's notes."""

import asyncio
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from l2rec.errors import SettingError
from l2rec.serving.answering.batching import BusyError, LateError
from l2rec.serving.answering.desk import DEAF, FAILED, LATE, Desk
from l2rec.serving.answering.memory import DOWN
from l2rec.serving.answering.stage import NotReadyError, Stage
from l2rec.serving.records import UserState
from l2rec.serving.store.sqlite import SqliteStore
from l2rec.serving.wishes import Wish
from tests.serving.answering.moods import Moody, Stubborn, did, ids


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


def test_a_slow_store_and_a_late_model_share_one_deadline(
    tell: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    def slowly(self: Moody, version: str, user_id: str) -> UserState:
        time.sleep(0.7)
        return SqliteStore.user(self, version, user_id)

    async def story(desk: Desk) -> None:
        await desk.report([did("e", "u5", "i3")])
        monkeypatch.setattr(Moody, "is_local", False)
        monkeypatch.setattr(Moody, "user", slowly)
        Stubborn.gate.clear()
        for deadline in (1.0, 0.5):
            began = time.monotonic()
            answer = await desk.for_user("u5", Wish(deadline=deadline))
            assert time.monotonic() - began < deadline + 0.4
            assert answer.source == "cached"
        with pytest.raises(LateError):
            await desk.explained("u5", [], Wish(deadline=1.0))
        assert time.monotonic() - began < 0.5 + 1.0 + 0.8

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
    tell: Callable[..., None], moody: Moody
) -> None:
    async def story(desk: Desk) -> None:
        known = await desk.for_user("u5", Wish())
        moody.down = True
        again = await desk.for_user("u5", Wish())
        assert (ids(again), again.source, again.notes) == (ids(known), "cached", (DOWN,))
        stranger = await desk.for_user("u6", Wish())
        assert (stranger.source, stranger.notes, len(stranger.places)) == ("popular", (DOWN,), 10)
        moody.down = False
        back = await desk.for_user("u6", Wish())
        assert (back.source, back.notes) == ("cached", ())

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


def test_without_a_release_there_is_no_answer(tmp_path: Path) -> None:
    async def story() -> None:
        stage = Stage(SqliteStore(tmp_path / "empty.sqlite"))
        await stage.refresh()
        with pytest.raises(NotReadyError, match="no release is loaded yet"):
            await Desk(stage).for_user("u5", Wish())

    asyncio.run(story())


def test_the_model_is_told_whose_history_it_reads(tell: Callable[..., None]) -> None:
    async def story(desk: Desk) -> None:
        await desk.report([did("e", "u1", "i7")])
        answer = await desk.for_user("u1", Wish(deadline=20.0))
        assert answer.source == "fresh"
        assert Stubborn.whose == ("u1",)

    tell(story)
