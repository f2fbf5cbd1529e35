"""The short way to a user's list: what the routes would answer, byte by byte, and only where they would."""

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient

from l2rec.serving.access.guard import guard
from l2rec.serving.access.keys import create
from l2rec.serving.answering import desk, readymade
from l2rec.serving.api import faults
from l2rec.serving.api.straight import asked_for
from l2rec.serving.api.users import Lists
from l2rec.serving.app import create_app
from l2rec.serving.store.sqlite import SqliteStore
from l2rec.serving.wishes import Limits
from tests.serving.service import desk_of, event, published, serving
from tests.trained import World

USERS = ("u5", "u6", "nobody", "", "a/b", "a b", "ü ж 語", "%", "a?b#c", "x\0y", "a\nb", "\r\n", "🙂", "x" * 513,
         "u5/recommendations", "u5/explanation", "../u5", "..", ".", "u5\n")  # fmt: skip
QUERIES = ("", "k=3", "k=500", "k=0", "k=501", "k=ten", "k=1&k=2", "k=", "k", "&&k=2&", "k=%33", "k=3;", "K=3",
           "size=3", "mask_seen=true", "mask_seen=false", "mask_seen=1", "diversity=0.5", "diversity=nan",
           "diversity=x", "prompt=light+comedies", "prompt=", "prompt=%ff%fe", "prompt=%ED%A0%80",
           "deny=i3&deny=i4", "allow=i3&allow=i4", "allow=", "deny=" + "x" * 513, "deny=a&" * 1001,
           "allow_attributes=red", "deny_attributes=a%3Db", "deadline_ms=0.001", "deadline_ms=60000",
           "deadline_ms=0", "deadline_ms=inf", "\xff", "%", "a=b=c")  # fmt: skip
OTHERS = (("GET", "/v1/users/recommendations"), ("GET", "/v1/users/u5/recommendations/"), ("GET", "/v1/users"),
          ("GET", "/v2/users/u5/recommendations"), ("POST", "/v1/users/u5/recommendations"), ("GET", "//v1/users/u5/x"),
          ("GET", "/V1/users/u5/recommendations"), ("DELETE", "/v1/users/u5/recommendations"))  # fmt: skip


@pytest.fixture
def store(world: World, tmp_path: Path) -> SqliteStore:
    return published(world.sasrec / "seed-0", tmp_path / "store.sqlite")


@pytest.fixture
def client(store: SqliteStore, monkeypatch: pytest.MonkeyPatch) -> Iterator[TestClient]:
    for module in (desk, readymade):
        monkeypatch.setattr(module, "age_of", lambda _: 12.5)
    with serving(store) as client:
        yield client


@pytest.fixture
def routed(client: TestClient) -> TestClient:
    """The same desk behind the routes alone."""
    app = FastAPI()
    faults.install(app)
    app.router.routes.extend(Lists(desk_of(client), Limits()).router().routes)
    return TestClient(app)


def test_every_answer_is_that_of_the_routes(client: TestClient, routed: TestClient) -> None:
    client.post("/v1/events", json={"events": [event("e", "u6", "i3")]})
    asked = [(user, query) for user in USERS for query in ("", "k=3", "k=0")]
    asked += [(user, query) for user in ("u5", "u6", "nobody") for query in QUERIES]
    statuses = set()
    for user, query in asked:
        for path in {f"/v1/users/{quote(user, safe=safe)}/recommendations" for safe in ("", "/")}:
            one, other = (which.get(f"{path}?{query}") for which in (client, routed))
            assert (one.status_code, one.content) == (other.status_code, other.content), (path, query)
            assert one.headers == other.headers
            statuses.add(one.status_code)
    assert statuses == {200, 404, 405, 422}


@pytest.mark.parametrize(("method", "path"), OTHERS)
def test_whatever_is_no_such_question_goes_on_to_the_routes(
    method: str, path: str, client: TestClient, routed: TestClient
) -> None:
    one, other = (which.request(method, path, follow_redirects=False) for which in (client, routed))
    assert (one.status_code, one.content) == (other.status_code, other.content)
    assert one.status_code in (307, 404, 405)


def test_behind_a_prefix_the_routes_answer(store: SqliteStore) -> None:
    with TestClient(create_app(store), root_path="/shop") as client:
        assert client.get("/shop/v1/users/u5/recommendations?k=3").json()["source"] == "cached"
    scope = {"type": "http", "method": "GET", "path": "/v1/users/u5/recommendations"}
    assert asked_for(scope) == "u5"
    assert asked_for({**scope, "root_path": "/v1"}) is None
    assert asked_for({**scope, "type": "websocket"}) is None


def test_the_short_way_lies_behind_the_guard_and_before_the_counters(store: SqliteStore) -> None:
    key = {"X-API-Key": create(store, "reader", ["read"], 4.0)}
    wrong = {"X-API-Key": create(store, "writer", ["write"])}
    with TestClient(create_app(store, guard=guard(store, "0.0.0.0"))) as client:
        path = "/v1/users/u5/recommendations"
        assert client.get(path).status_code == 401
        assert client.get(path, headers=wrong).status_code == 403
        assert client.get(f"{path}?prompt={'x' * 20_000}", headers=key).status_code == 414
        answers = [client.get(path, headers=key) for _ in range(6)]
        assert {200, 429} == {answer.status_code for answer in answers}
        assert answers[0].headers["cache-control"] == "no-store"
        assert answers[0].headers["x-content-type-options"] == "nosniff"
        text = desk_of(client).metrics.text().decode()
        good = sum(answer.status_code == 200 for answer in answers)
        assert f'l2rec_requests_total{{route="/v1/users/{{id:path}}/recommendations",status="200"}} {good}' in text
