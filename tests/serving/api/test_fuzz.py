"""The whole description of the service against the service: no request breaks it, and every answer is as described."""

import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import pytest
import schemathesis
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.python.asgi import shutdown_lifespans
from schemathesis.specs.openapi import checks as told
from starlette.testclient import TestClient

from l2rec.serving.access.guard import guard
from l2rec.serving.access.keys import create
from l2rec.serving.app import create_app
from l2rec.serving.store.sqlite import SqliteStore
from tests.serving.service import published
from tests.trained import World

CHECKS = [
    not_a_server_error,
    told.status_code_conformance,
    told.content_type_conformance,
    told.response_headers_conformance,
    told.response_schema_conformance,
    told.unsupported_method,
]
TOO_MUCH = (413, 414, 431)
"""Refusals before the service looks at what was sent."""
pytestmark = pytest.mark.filterwarnings("ignore::hypothesis.errors.HypothesisDeprecationWarning")
MODES = [GenerationMode.POSITIVE, GenerationMode.NEGATIVE]


@pytest.fixture(scope="module")
def store(world: World, tmp_path_factory: pytest.TempPathFactory) -> SqliteStore:
    return published(world.sasrec / "seed-0", tmp_path_factory.mktemp("fuzz") / "store.db")


@pytest.fixture(scope="module")
def key(store: SqliteStore) -> str:
    return create(store, "fuzz", ["read", "write", "admin"], 0.0)


@pytest.fixture(scope="module")
def schema(store: SqliteStore, key: str) -> Iterator[Any]:
    app = create_app(store, guard=guard(store, "127.0.0.1"))
    headers = {"X-API-Key": key}
    yield schemathesis.openapi.from_asgi("/openapi.json", app, headers=headers)
    shutdown_lifespans()


@pytest.fixture
def client(store: SqliteStore, key: str) -> Iterator[TestClient]:
    """A client of its own application on the same store, with a key."""
    app = create_app(store, guard=guard(store, "127.0.0.1"))
    with TestClient(app, headers={"X-API-Key": key}, raise_server_exceptions=False) as client:
        yield client


def probe(operation: Any, mode: GenerationMode, count: int, key: str) -> None:
    """Asks one operation many times; what is wanted of a user or an item, half the times of a known one."""
    reads = mode is GenerationMode.POSITIVE and operation.method == "get"
    known = ["u5" if "/users/" in operation.path else "i3"] if reads else []

    @seed(0)
    @settings(max_examples=count, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(case=operation.as_strategy(generation_mode=mode), name=st.sampled_from([*known, None]))
    def ask(case: Any, name: str | None) -> None:
        headers = {"X-API-Key": key}
        if name and "id" in case.path_parameters:
            case.path_parameters["id"] = name
            for word in ("item_id", "deadline_ms"):  # items that are not known; a deadline that is missed is a 503
                case.query.pop(word, None)
        answer = case.call(headers=headers)
        more = [] if answer.status_code in TOO_MUCH else [told.negative_data_rejection]
        case.validate_response(answer, checks=[*CHECKS, *more], headers=headers)
        assert answer.headers["x-content-type-options"] == ["nosniff"]

    ask()


def operations(schema: Any) -> list[Any]:
    return [found.ok() for found in schema.get_all_operations()]


def takes_something(operation: Any) -> bool:
    """Whether anything can be wrong about a request."""
    raw = operation.definition.raw
    return bool(raw.get("parameters") or raw.get("requestBody"))


def fuzz(schema: Any, mode: GenerationMode, count: int, key: str) -> None:
    found = operations(schema)
    assert len(found) >= 10
    for operation in found:
        if mode is GenerationMode.POSITIVE or takes_something(operation):
            probe(operation, mode, count, key)


@pytest.mark.parametrize("mode", MODES, ids=lambda mode: str(mode.value))
def test_no_request_breaks_the_service(mode: GenerationMode, schema: Any, key: str) -> None:
    fuzz(schema, mode, 5, key)


@pytest.mark.slow
@pytest.mark.parametrize("mode", MODES, ids=lambda mode: str(mode.value))
def test_no_request_of_many_breaks_the_service(mode: GenerationMode, schema: Any, key: str) -> None:
    fuzz(schema, mode, 50, key)


NASTY = [
    "' OR 1=1 --",
    "'; DROP TABLE events; --",
    '" UNION SELECT digest FROM keys --',
    "../../etc/passwd",
    "..\\..\\config.toml",
    "/etc/passwd",
    "%00",
    "\x00",
    "a\nb",
    "\r\nSet-Cookie: l2rec_key=x",
    "%2e%2e%2f",
    "${jndi:ldap://x}",
    "{{7*7}}",
    "%s%n",
    "<script>alert(1)</script>",
    "*",
    "a\u202eb",
    "x" * 512,
]


@pytest.mark.parametrize("name", NASTY, ids=range(len(NASTY)))
def test_whatever_stands_in_an_id_is_only_an_id(name: str, client: TestClient, store: SqliteStore) -> None:
    path = quote(quote(name, safe=""), safe="")  # the test client decodes once more than a server
    before = (store.last_event(), store.releases(), store.keys())
    lists = client.get("/v1/users/u5/recommendations").json()["items"]
    new = [{"event_id": f"{name[:400]}|{n}", "user_id": name, "item_id": name} for n in range(2)]
    assert client.post("/v1/events", json={"events": [*new, *new]}).json() == {"accepted": 4, "new": 2}
    assert [(one.user_id, one.item_id) for one in store.events(before[0])] == [(name, name)] * 2
    assert (store.releases(), store.keys()) == before[1:]
    answers = [
        client.get(f"/v1/users/{path}/recommendations", params={"deny": name, "allow_attributes": f"a={name[:400]}"}),
        client.get(f"/v1/users/{path}/explanation"),
        client.put(f"/v1/items/{path}", json={"title": name, "attributes": [f"a={name[:400]}"]}),
        client.get(f"/v1/items/{path}/similar"),
        client.delete(f"/v1/items/{path}"),
        client.post("/v1/recommendations", json={"history": [name], "deny": [name]}),
    ]
    assert [answer.status_code for answer in answers if answer.status_code not in (200, 404)] == []
    assert [answer.status_code for answer in (answers[0], answers[2], answers[4], answers[5])] == [200] * 4
    assert not any("set-cookie" in answer.headers for answer in answers)
    assert answers[2].json()["item_id"] == store.items()[-1].item_id == name
    assert client.get("/v1/users/u5/recommendations").json()["items"] == lists


def test_an_id_that_is_too_long_is_refused(client: TestClient, store: SqliteStore) -> None:
    before = (store.last_event(), store.items())
    for size, status in ((513, 422), (20_000, 414)):
        for method, path in (
            ("GET", "/v1/users/{}/recommendations"),
            ("PUT", "/v1/items/{}"),
            ("DELETE", "/v1/items/{}"),
        ):
            answer = client.request(method, path.format("x" * size), json=None if method == "GET" else {"title": "T"})
            assert answer.status_code == status, (method, size)
    told = client.post("/v1/events", json={"events": [{"event_id": "e", "user_id": "x" * 10**5, "item_id": "i"}]})
    assert told.status_code == 422
    assert client.post("/v1/events", content=b"[" * 2**20 + b"]").status_code == 413
    assert client.post("/v1/events", content=b"[" * 10**5).status_code in (400, 422), "a deep nesting"
    assert (store.last_event(), store.items()) == before


def test_every_operation_wants_its_key(schema: Any, store: SqliteStore, client: TestClient) -> None:
    reader = create(store, "reader", ["read"], 0.0)
    short = create(store, "short", ["read", "write", "admin"], 0.0, time.time() + 0.01)
    time.sleep(0.5)
    before = (store.last_event(), store.items())
    wanted = {}
    for operation in operations(schema):
        path, method = operation.path.replace("{id}", "x"), operation.method.upper()
        del client.headers["X-API-Key"]
        for header in ({}, {"X-API-Key": "l2rec_wrong"}, {"Authorization": f"Bearer {short}"}):
            answer = client.request(method, path, headers=header)
            wanted[method, path] = answer.status_code
            assert answer.status_code == (200 if path in ("/healthz", "/readyz") else 401)
        client.headers["X-API-Key"] = reader
        reads = (method == "GET" and path != "/metrics") or path == "/v1/recommendations"
        assert (client.request(method, path).status_code == 403) is not reads, (method, path)
    assert ("POST", "/v1/events") in wanted
    assert ("DELETE", "/v1/items/x") in wanted
    assert (store.last_event(), store.items()) == before
