"""An empty store, and a run to publish."""

from pathlib import Path

import pytest

from l2rec.serving.store.sqlite import SqliteStore
from tests.trained import World


@pytest.fixture
def store(tmp_path: Path) -> SqliteStore:
    """An empty store in a file."""
    return SqliteStore(tmp_path / "store.db")


@pytest.fixture(scope="session")
def run(world: World) -> Path:
    """A trained run that knows items by their numbers."""
    return world.sasrec / "seed-0"
