"""The little world with its trained runs, a cache of its own, and a store of every kind."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from l2rec.serving.store.contract import Store
from l2rec.serving.store.opening import open_store
from tests.serving.redis_server import KINDS, PROGRAM, RedisServer
from tests.trained import World, little_world

collect_ignore = [] if PROGRAM else ["store/test_redis.py"]


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    """The little world; made once, read by many, changed by none."""
    return little_world(tmp_path_factory.getbasetemp() / "world")


@pytest.fixture(autouse=True)
def _a_cache_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("L2REC_CACHE", str(tmp_path / "cache"))


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """A durable Redis server for the whole session; whoever kills one starts another."""
    server = RedisServer(tmp_path_factory.mktemp("redis"))
    server.start()
    yield server
    server.kill()


@pytest.fixture(params=KINDS)
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The address of an empty store, once for each kind of store."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'store.db'}"
    server: RedisServer = request.getfixturevalue("redis_server")
    server.empty()
    return server.url


@pytest.fixture
def store(url: str) -> Iterator[Store]:
    """An empty store, once for each kind."""
    opened = open_store(url)
    yield opened
    opened.close()
