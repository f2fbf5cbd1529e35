"""A question whose model is replaced meanwhile: the next one answers it."""

from collections.abc import Callable
from typing import Any

import pytest

from l2rec.serving.answering.desk import Desk
from l2rec.serving.answering.edition import Edition, Engine
from l2rec.serving.answering.stage import NotReadyError, Stage
from l2rec.serving.wishes import Wish


def test_an_explanation_of_a_model_that_was_replaced_is_the_next_one_s(tell: Callable[..., None]) -> None:
    async def story(desk: Desk) -> None:
        old = desk.stage.ready
        ask_late = old.explained

        async def replaced(*asked: Any) -> Any:
            desk.stage.edition = Edition.load(old.release, (), Engine())
            old.close()
            return await ask_late(*asked)

        old.explained = replaced  # type: ignore[method-assign]
        told, edition, _ = await desk.explained("u5", ["i3"], Wish(deadline=30.0))
        assert edition is desk.stage.edition
        assert edition is not old
        assert [one.number for one in told.items] == [edition.shelf.number("i3")]
        desk.stage.ready.close()
        with pytest.raises(NotReadyError, match="the server is stopping"):
            await desk.explained("u5", ["i3"], Wish())

    tell(story)


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
