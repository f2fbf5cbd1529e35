"""The little world with its trained runs, and a cache of its own."""

from pathlib import Path

import pytest

from l2rec.run import train
from tests.run.taking import ON_CPU, THIRD, asked_for
from tests.trained import World, little_world


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    """The little world; made once, read by many, changed by none."""
    return little_world(tmp_path_factory.getbasetemp() / "world")


@pytest.fixture(scope="session")
def plain(world: World, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that was trained without the third signal."""
    return train(asked_for(world), tmp_path_factory.mktemp("trained") / "plain", ON_CPU).path


@pytest.fixture(scope="session")
def third(world: World, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that was trained with it."""
    return train(asked_for(world, THIRD), tmp_path_factory.mktemp("trained") / "third", ON_CPU).path


@pytest.fixture(autouse=True)
def _a_cache_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("L2REC_CACHE", str(tmp_path / "cache"))
