"""A desk whose model and store may fail."""

import asyncio
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from l2rec.serving.answering.desk import Desk
from l2rec.serving.answering.edition import Engine
from l2rec.serving.answering.stage import Stage
from tests.serving.answering.moods import Moody, Story, Stubborn
from tests.serving.service import published
from tests.trained import World


@pytest.fixture
def moody(world: World, tmp_path: Path) -> Moody:
    """A store with a run that knows items by their numbers."""
    published(world.sasrec / "seed-0", tmp_path / "store.sqlite").close()
    return Moody(tmp_path / "store.sqlite")


@pytest.fixture
def tell(moody: Moody, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Tells a story at a desk that is ready."""
    monkeypatch.setattr(Stubborn, "gate", threading.Event())
    monkeypatch.setattr(Stubborn, "entered", threading.Event())
    Stubborn.gate.set()

    def told(story: Story, **options: Any) -> None:
        async def run() -> None:
            stage = Stage(moody, Engine(load=Stubborn.load, **options))
            await stage.refresh()
            await story(Desk(stage))
            Stubborn.gate.set()
            stage.close()

        asyncio.run(run())

    return told
