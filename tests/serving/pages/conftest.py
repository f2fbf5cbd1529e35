"""A little L2Rec and the floors beside it, published, and a client of its pages."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from l2rec.serving.store.sqlite import SqliteStore
from tests.models.conftest import backbone  # noqa: F401  (the fixture)
from tests.serving.model import runs
from tests.serving.pages.browser import PROGRAM
from tests.serving.service import published, serving
from tests.trained import World

collect_ignore = [] if PROGRAM else ["test_in_chromium.py"]


@pytest.fixture
def store(world: World, backbone: Path, tmp_path: Path) -> SqliteStore:  # noqa: F811
    """A store with a little L2Rec."""
    return published(runs.l2rec(world, backbone).folder.path, tmp_path / "store.sqlite")


@pytest.fixture
def client(store: SqliteStore) -> Iterator[TestClient]:
    """Who asks for pages."""
    with serving(store) as client:
        yield client
