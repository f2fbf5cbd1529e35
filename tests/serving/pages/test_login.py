"""The way in: a right key becomes a cookie that opens the pages, a wrong one a sentence."""

from collections.abc import Iterator
from dataclasses import replace

import pytest
from starlette.testclient import TestClient

from l2rec.serving.access.guard import guard
from l2rec.serving.access.keys import create
from l2rec.serving.app import create_app
from l2rec.serving.store.sqlite import SqliteStore
from tests.serving.pages.reading import Page, read


@pytest.fixture
def key(store: SqliteStore) -> str:
    return create(store, "person", ["read"])


@pytest.fixture
def guarded(store: SqliteStore, key: str) -> Iterator[TestClient]:
    """A service with keys that sends a person to the login page."""
    app = create_app(store, guard=replace(guard(store, "127.0.0.1"), login="/login"))
    with TestClient(app, base_url="http://localhost") as client:
        yield client


def test_a_key_opens_the_pages_until_it_is_forgotten(guarded: TestClient, key: str) -> None:
    page = read(guarded, "/explore?user=u5")
    assert "API key" in page.texts["<label>"]
    entered = guarded.post("/login", data={"key": f" {key} "}, follow_redirects=False)
    assert (entered.status_code, entered.headers["location"]) == (303, "/")
    assert "HttpOnly" in entered.headers["set-cookie"]
    assert len(read(guarded, "/explore?user=u5").texts["list"]) == 1
    left = guarded.post("/logout", follow_redirects=False)
    assert (left.status_code, left.headers["location"]) == (303, "/login")
    assert "API key" in read(guarded, "/explore").texts["<label>"]


@pytest.mark.parametrize("wrong", ["", "nonsense", '"><script>'])
def test_a_wrong_key_is_said_beside_the_field(guarded: TestClient, wrong: str) -> None:
    answer = guarded.post("/login", data={"key": wrong})
    assert answer.status_code == 401
    assert "set-cookie" not in answer.headers
    told = Page(answer.text).said("#wrong-key")
    assert told == "The key is unknown or was revoked. Create one: l2rec keys create."
    assert "<script>" not in answer.text
