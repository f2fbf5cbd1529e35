"""Explanations and alike items beside lists: few may wait, none too long, and no list waits for many of them."""

import asyncio
import threading
from pathlib import Path

import pytest

from l2rec.serving.answering.batching import BusyError, LateError
from l2rec.serving.answering.desk import Desk
from l2rec.serving.answering.edition import Engine
from l2rec.serving.answering.stage import Stage
from l2rec.serving.wishes import Filters, Wish
from tests.serving.answering.moods import Stubborn
from tests.serving.service import published
from tests.trained import World


def test_many_explanations_are_refused_or_late_and_a_list_does_not_wait_for_them(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Stubborn, "gate", threading.Event())
    monkeypatch.setattr(Stubborn, "entered", threading.Event())

    async def story() -> None:
        stage = Stage(published(world.sasrec / "seed-0", tmp_path / "store.sqlite"), Engine(load=Stubborn.load))
        await stage.refresh()
        desk = Desk(stage)
        first = asyncio.create_task(desk.for_user("u5", Wish(diversity=0.5, deadline=20.0)))
        await asyncio.to_thread(Stubborn.entered.wait, 10.0)
        many = [asyncio.create_task(desk.explained("u6", ["i3"], Wish(deadline=0.1))) for _ in range(10)]
        await asyncio.sleep(0.01)
        alike = [asyncio.create_task(desk.similar("i5", 4, Filters())) for _ in range(10)]
        told = await asyncio.gather(*many, *alike, return_exceptions=True)
        assert [type(error) for error in told] == [LateError] * 8 + [BusyError] * 12
        Stubborn.gate.set()
        assert (await first).source == "fresh"
        assert len((await desk.similar("i5", 4, Filters())).numbers) == 4
        stage.close()

    asyncio.run(story())
