"""A service on the little world, in this process, and what its tests ask of it."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from starlette.testclient import TestClient

from l2rec.serving.answering.desk import Desk
from l2rec.serving.app import ServeOptions, create_app
from l2rec.serving.publishing.publish import PublishOptions, publish
from l2rec.serving.store.contract import Store
from l2rec.serving.store.sqlite import SqliteStore


def published(run: Path, path: Path, k: int = 12) -> SqliteStore:
    """A store in which a run has been published."""
    store = SqliteStore(path)
    publish(run, store, PublishOptions(k=k))
    return store


@contextmanager
def serving(store: Store, options: ServeOptions | None = None) -> Iterator[TestClient]:
    """A client of the service on a store."""
    with TestClient(create_app(store, options), raise_server_exceptions=False) as client:
        yield client


def desk_of(client: TestClient) -> Desk:
    """Who answers behind a client."""
    desk: Desk = client.app.state.desk  # type: ignore[attr-defined]
    return desk


def listed(client: TestClient, path: str, **asked: Any) -> dict[str, Any]:
    """The answer to a GET, which must be one."""
    answer = client.get(path, params=asked)
    assert answer.status_code == 200, answer.text
    told: dict[str, Any] = answer.json()
    return told


def ids(told: dict[str, Any]) -> list[str]:
    """The item ids of an answer."""
    return [item["item_id"] for item in told["items"]]


def event(name: str, user: str, item: str) -> dict[str, Any]:
    """An event as a body says it."""
    return {"event_id": name, "user_id": user, "item_id": item, "time": 1_600_000_000.0}
