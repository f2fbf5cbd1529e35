"""A store with a key of each scope, and a client of what it guards."""

from pathlib import Path

import pytest
from starlette.testclient import TestClient

from l2rec.serving.access.guard import guard
from l2rec.serving.access.keys import create
from l2rec.serving.store.sqlite import SqliteStore
from tests.serving.access.guarded import client_of


@pytest.fixture
def local(tmp_path: Path) -> SqliteStore:
    """An empty store in a file."""
    return SqliteStore(tmp_path / "store.db")


@pytest.fixture
def keys(local: SqliteStore) -> dict[str, str]:
    """A key of each scope, by the scope's name."""
    return {scope: create(local, scope, [scope], 0.0) for scope in ("read", "write", "admin")}


@pytest.fixture
def client(local: SqliteStore, keys: dict[str, str]) -> TestClient:
    """A client of the guarded application, which anybody can reach."""
    return client_of(guard(local, "0.0.0.0"))
