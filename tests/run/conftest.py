"""The little world with its trained runs, and a cache of its own."""

from pathlib import Path

import pytest

from tests.trained import World, little_world


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    """The little world; made once, read by many, changed by none."""
    return little_world(tmp_path_factory.getbasetemp() / "world")


@pytest.fixture(autouse=True)
def _a_cache_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("L2REC_CACHE", str(tmp_path / "cache"))
