"""The routes: any id in a path, every refusal in one line, a description that is true."""

import json
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from starlette.testclient import TestClient

from l2rec.errors import SettingError, StoreDownError, StoreError
from l2rec.serving.answering.batching import BusyError, LateError, StoppedError
from l2rec.serving.answering.desk import UnknownError
from l2rec.serving.answering.stage import NotReadyError
from l2rec.serving.api.faults import status_of
from l2rec.serving.app import create_app
from l2rec.serving.records import Event
from l2rec.serving.store.sqlite import SqliteStore
from tests.serving.service import desk_of, event, ids, listed, published, serving
from tests.trained import World

STRANGE = [
    "a/b",
    "a b",
    "ü ж 語",
    "a?b#c",
    "%",
    "'; DROP TABLE events; --",
    "x\u0000y",
    "a/recommendations",
    "a\nb",
    "\r\n",
    "🙂",
]


class Readonly(SqliteStore):
    """A store that may take no events."""

    down = False

    def append(self, events: Sequence[Event]) -> list[bool]:
        if self.down:
            raise StoreDownError("store.sqlite: the disk is full. Make room.")
        return super().append(events)


@pytest.fixture
def store(world: World, tmp_path: Path) -> Readonly:
    published(world.sasrec / "seed-0", tmp_path / "store.sqlite").close()
    return Readonly(tmp_path / "store.sqlite")


@pytest.fixture
def client(store: Readonly) -> Iterator[TestClient]:
    with serving(store) as client:
        yield client


@pytest.mark.parametrize("name", STRANGE)
def test_an_id_may_hold_any_character(name: str, client: TestClient, store: Readonly) -> None:
    told = client.post("/v1/events", json={"events": [event("e" + name, name, "i3"), event("f" + name, "u5", name)]})
    assert told.json() == {"accepted": 2, "new": 2}
    assert [(one.user_id, one.item_id) for one in store.events()] == [(name, "i3"), ("u5", name)]
    answer = client.get(f"/v1/users/{quote(name, safe='')}/recommendations")
    assert (answer.status_code, answer.json()["source"]) == (200, "fresh")
    put = client.put(f"/v1/items/{quote(name, safe='')}", json={"title": "T"})
    assert put.json() == {"item_id": name, "recommendable": False}
    assert [item.item_id for item in store.items()] == [name]
    assert client.delete(f"/v1/items/{quote(name, safe='')}").json()["item_id"] == name
    assert [item.deleted for item in store.items()] == [True]


REFUSED: list[tuple[str, str, Any, int, str]] = [
    ("GET", "/v1/users//recommendations", None, 422, "user id: an empty value. Fill it in, or leave it out."),
    ("GET", "/v1/users/u5/recommendations?k=0", None, 422, "k: 0: expected 1 to 500. Ask for a list of such a length."),
    ("GET", "/v1/users/u5/recommendations?k=ten", None, 422, "k: 'ten': expected a whole number. Correct it."),
    ("GET", "/v1/users/u5/recommendations?k=1&k=2", None, 422, "k: given 2 times. Give it once."),
    ("GET", "/v1/users/u5/recommendations?mask_seen=1", None, 422, "mask_seen: '1': expected true or false."),
    ("GET", "/v1/users/u5/recommendations?diversity=x", None, 422, "diversity: 'x': expected a number. Correct it."),
    ("GET", "/v1/users/u5/recommendations?size=3", None, 422, "'size': no such parameter. Known: k, mask_seen,"),
    ("GET", "/v1/users/u5/recommendations?allow=", None, 422, "allow: an empty value."),
    ("GET", f"/v1/users/u5/recommendations?{'deny=a&' * 1001}", None, 422, "deny: 1001 values: over 1000. Send fewer."),
    ("GET", "/v1/users/u5/recommendations?deadline_ms=nan", None, 422, "deadline_ms: nan: expected above 0 to 60000."),
    ("GET", f"/v1/users/{'x' * 513}/recommendations", None, 422, "user id: a value of 513 characters: over 512."),
    ("GET", "/v1/users/nobody/explanation", None, 404, "users/nobody: nothing is known of this user."),
    ("GET", "/v1/users/u5/explanation?k=21", None, 422, "k: 21: expected 1 to 20."),
    ("GET", "/v1/items/nothing/similar", None, 404, "items/nothing: no such item. Put it first."),
    ("GET", "/v1/items/i3/similar?prompt=x", None, 422, "'prompt': no such parameter. Known: k, allow,"),
    ("GET", "/v2/users", None, 404, "GET /v2/users: Not Found."),
    ("POST", "/v1/users/u5/recommendations", {}, 405, "POST /v1/users/u5/recommendations: Method Not Allowed."),
    ("POST", "/v1/recommendations", {"k": "5"}, 422, "k: input should be a valid integer. Correct it."),
    ("POST", "/v1/recommendations", {"size": 5}, 422, "size: extra inputs are not permitted. Correct it."),
    ("POST", "/v1/recommendations", {"history": ["i3"] * 1001}, 422, "history: 1001 values: over 1000. Send fewer."),
    ("POST", "/v1/recommendations", {"text": " "}, 422, "text: empty. Say in words what is wanted, or leave it out."),
    ("POST", "/v1/recommendations", {"text": "\ud800"}, 422, "text: half a character (a lone surrogate)."),
    ("POST", "/v1/recommendations", {"attributes": [1.0]}, 422, "attributes: 1 values: the run has 0."),
    ("POST", "/v1/recommendations", [], 422, "body: "),
    ("POST", "/v1/events", {"events": []}, 422, "events: list should have at least 1 item"),
    ("POST", "/v1/events", {"events": [event("e", "", "i3")]}, 422, "user_id: an empty value."),
    ("POST", "/v1/events", {"events": [event("e", "u\ud800", "i3")]}, 422, "user_id: half a character"),
    ("POST", "/v1/events", {"events": [{"event_id": "e", "user_id": "u"}]}, 422, "events.0.item_id: field required."),
    ("POST", "/v1/events", {"events": [event("e", "u", "i") | {"time": 1e300}]}, 422, "events.0.time: input should be"),
    ("POST", "/v1/events", {"events": [event("e", "u", "i") | {"time": 10**400}]}, 422, "events.0.time: "),
    ("POST", "/v1/events", {"events": [event("e", "u", "i") | {"time": -1}]}, 422, "events.0.time: input should be gr"),
    ("POST", "/v1/events", {"events": [event("e", "u", "i")] * 1001}, 422, "events: 1001: over 1000. Send several"),
    ("PUT", "/v1/items/", {"title": "T"}, 422, "item id: an empty value."),
    ("PUT", "/v1/items/x", {"attributes": ["red"]}, 422, 'attributes: "red": no "=". Name column and value'),
    ("PUT", "/v1/items/x", {"title": "T" * 2001}, 422, "title: 2001 characters: over 2000. Shorten it."),
]  # fmt: skip


@pytest.mark.parametrize("case", REFUSED, ids=lambda case: f"{case[0]} {case[1][:40]} {case[4][:12]}")
def test_a_refusal_is_one_line(case: tuple[str, str, Any, int, str], client: TestClient, store: Readonly) -> None:
    method, path, body, status, message = case
    content = None if body is None else json.dumps(body)
    answer = client.request(method, path, content=content, headers={"content-type": "application/json"})
    assert answer.status_code == status, answer.text
    told = answer.json()
    assert list(told) == ["error"]
    assert told["error"].startswith(message), told["error"]
    assert "\n" not in told["error"]
    assert (store.last_event(), store.items()) == (0, [])


def test_a_body_that_is_no_json_is_refused(client: TestClient) -> None:
    answer = client.post("/v1/events", content=b"{", headers={"content-type": "application/json"})
    assert (answer.status_code, list(answer.json())) == (422, ["error"])


def test_an_event_that_cannot_be_stored_is_not_acknowledged(client: TestClient, store: Readonly) -> None:
    store.down = True
    answer = client.post("/v1/events", json={"events": [event("e", "u5", "i3")]})
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
    assert answer.json() == {"error": "store.sqlite: the disk is full. Make room."}
    store.down = False
    assert client.post("/v1/events", json={"events": [event("e", "u5", "i3")]}).json() == {"accepted": 1, "new": 1}


def test_our_own_mistakes_leave_no_traceback(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(desk_of(client), "for_user", lambda *_: 1 // 0)
    answer = client.get("/v1/users/u5/recommendations")
    assert (answer.status_code, answer.json()) == (
        500,
        {"error": "something went wrong in the server; its log says what."},
    )


def test_without_a_release_the_server_lives_but_is_not_ready(world: World, tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "new.sqlite")
    with serving(store) as client:
        assert client.get("/healthz").json() == {"status": "ok"}
        for path in ("/readyz", "/v1/users/u5/recommendations", "/v1/items/i3/similar"):
            answer = client.get(path)
            assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
        published(world.sasrec / "seed-0", tmp_path / "new.sqlite")
        for _ in range(100):
            if client.get("/readyz").status_code == 200:
                break
            threading.Event().wait(0.1)
        told = client.get("/readyz").json()
        assert (told["name"], told["model"], told["items"], told["store"]) == ("sasrec", "live", 30, "up")
        assert listed(client, "/v1/users/u5/recommendations")["version"] == told["version"]


def test_what_is_counted_is_told(client: TestClient) -> None:
    listed(client, "/v1/users/u5/recommendations")
    listed(client, "/v1/users/nobody/recommendations")
    client.post("/v1/recommendations", json={"history": ["i3"]})
    client.post("/v1/events", json={"events": [event("e", "u5", "i3")]})
    text = client.get("/metrics").text
    for line in (
        'l2rec_answers_total{source="cached"} 1.0',
        'l2rec_answers_total{source="popular"} 1.0',
        'l2rec_answers_total{source="fresh"} 1.0',
        'l2rec_requests_total{route="/v1/users/{id:path}/recommendations",status="200"} 2.0',
        'l2rec_request_seconds_count{route="/v1/recommendations"} 1.0',
        "l2rec_batch_size_count 1.0",
        "l2rec_queue_length 0.0",
        "l2rec_events_total 1.0",
        'l2rec_reloads_total{outcome="done"} 1.0',
    ):
        assert f"\n{line}\n" in text
    assert "l2rec_release_age_seconds" in text


def test_the_description_names_every_route_parameter_and_fault(store: Readonly) -> None:
    told = create_app(store).openapi()
    paths = told["paths"]
    assert sorted((path, method) for path, way in paths.items() for method in way) == [
        ("/healthz", "get"),
        ("/metrics", "get"),
        ("/readyz", "get"),
        ("/v1/events", "post"),
        ("/v1/items/{id}", "delete"),
        ("/v1/items/{id}", "put"),
        ("/v1/items/{id}/similar", "get"),
        ("/v1/recommendations", "post"),
        ("/v1/users/{id}/explanation", "get"),
        ("/v1/users/{id}/recommendations", "get"),
    ]
    for path, ways in paths.items():
        for way in ways.values():
            named = [(one["in"], one["name"]) for one in way.get("parameters", [])]
            assert (("path", "id") in named) == ("{id}" in path)
            assert len(named) == len(set(named))
            if path.startswith("/v1/"):
                assert {"200", "401", "403", "422", "429", "503"} <= set(way["responses"])
                fault = way["responses"]["422"]["content"]["application/json"]["schema"]
                assert fault == {"$ref": "#/components/schemas/Fault"}
    query = [one["name"] for one in paths["/v1/users/{id}/recommendations"]["get"]["parameters"]]
    assert query == ["id", "k", "mask_seen", "diversity", "prompt", "deadline_ms", "allow", "deny",
                     "allow_attributes", "deny_attributes"]  # fmt: skip


def test_the_parameters_of_a_list_are_read(client: TestClient) -> None:
    best = ids(listed(client, "/v1/users/u5/recommendations", k=6))
    told = listed(client, "/v1/users/u5/recommendations", k=3, deny=best[:2], mask_seen="true", deadline_ms=900)
    assert ids(told) == best[2:5]
    body = {"k": 3, "deny": best[:2], "mask_seen": True, "deadline_ms": 900, "diversity": 0}
    assert client.post("/v1/recommendations", json=body).json()["source"] == "popular"
    only = listed(client, "/v1/users/u5/recommendations", allow=best[1:3])
    assert ids(only) == best[1:3]
    alike = listed(client, "/v1/items/i3/similar", k=2)
    assert (len(ids(alike)), "i3" in ids(alike)) == (2, False)
    explained = listed(client, "/v1/users/u5/explanation", k=2)
    assert ids(explained) == best[:2]
    assert {"item_id", "title", "drop"} == set(explained["items"][0]["carried_by"][0])
    assert ids(listed(client, "/v1/users/u5/explanation", item_id=["i29", "i3"])) == ["i29", "i3"]


def test_what_may_pass_later_is_503() -> None:
    later = (
        NotReadyError("x"),
        StoreDownError("x"),
        StoreError("x"),
        BusyError("x"),
        LateError("x"),
        StoppedError("x"),
    )
    assert {status_of(error) for error in later} == {503}
    assert (status_of(UnknownError("x")), status_of(SettingError("x"))) == (404, 422)


def test_a_damaged_row_is_no_fault_of_who_asks(client: TestClient, tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "store.sqlite") as file:
        file.execute("UPDATE rows SET data = x'01' WHERE user_id = ?", [b"u5"])
    file.close()
    for what in ("recommendations", "explanation"):
        answer = client.get(f"/v1/users/u5/{what}")
        assert (answer.status_code, "Retry-After" in answer.headers) == (503, True)
        assert "a user's row: not in the layout" in answer.json()["error"]
    assert client.get("/v1/users/u6/recommendations").status_code == 200
