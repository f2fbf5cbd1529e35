"""An explanation whose model is replaced meanwhile."""

from pathlib import Path
from typing import Any

import pytest

from l2rec.serving.answering.desk import Desk
from l2rec.serving.answering.edition import Edition, Engine
from l2rec.serving.answering.stage import NotReadyError
from l2rec.serving.wishes import Wish
from tests.serving.answering.test_readymade import at_desk
from tests.serving.service import published
from tests.trained import World


def test_an_explanation_of_a_model_that_was_replaced_is_the_next_one_s(world: World, tmp_path: Path) -> None:
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

    at_desk(published(world.sasrec / "seed-0", tmp_path / "store.sqlite"), story)
