"""The guard before the service: keys, limits, and a log that holds no secret."""

import asyncio
import logging
import time
from collections.abc import Iterator
from typing import Any

import pytest
from starlette.testclient import TestClient

from l2rec.errors import SettingError, StoreDownError
from l2rec.serving.access.guard import Bounds, guard
from l2rec.serving.access.keys import create
from l2rec.serving.records import Key
from l2rec.serving.store.sqlite import SqliteStore
from tests.serving.access.guarded import APP, client_of, error


def test_a_key_opens_what_it_is_for_and_nothing_else(client: TestClient, keys: dict[str, str]) -> None:
    asks = {
        "read": [("GET", "/v1/users/u/recommendations"), ("POST", "/v1/recommendations"), ("GET", "/openapi.json")],
        "write": [("POST", "/v1/events"), ("PUT", "/v1/items/i"), ("DELETE", "/v1/items/i")],
        "admin": [("GET", "/metrics"), ("GET", "/service")],
    }
    for scope, key in keys.items():
        for needed, requests in asks.items():
            for method, path in requests:
                for header in ({"Authorization": f"Bearer {key}"}, {"X-API-Key": key}, {"Cookie": f"l2rec_key={key}"}):
                    answer = client.request(method, path, headers=header)
                    if scope == needed:
                        assert (answer.status_code, answer.json()["key"]) == (200, scope)
                    else:
                        assert answer.status_code == 403
                        assert error(answer) == f"the key is for {scope}; this needs {needed}. Use another key."


def test_without_a_right_key_nobody_comes_in(client: TestClient, keys: dict[str, str], local: SqliteStore) -> None:
    short = create(local, "short", ["read"], expires=time.time() + 0.05)
    time.sleep(0.06)
    wrong = {"l2rec_" + "a" * 43, "", "é", keys["read"][:-1], next(iter(local.keys())).digest, "' OR 1=1 --"}
    for key in wrong:
        for name, value in (("Authorization", f"Bearer {key}"), ("X-API-Key", key), ("Cookie", f"l2rec_key={key}")):
            answer = client.get("/v1/users/u/recommendations", headers={name: value.encode()})
            assert answer.status_code == 401
            assert answer.headers["WWW-Authenticate"] == "Bearer"
            assert error(answer).startswith(("the key is unknown", "no key."))
    time.sleep(0.5)
    assert "expired" in error(client.get("/v1/x", headers={"X-API-Key": short}))
    none = client.get("/v1/x", headers={"Authorization": f"Basic {keys['read']}"})
    assert (none.status_code, error(none)) == (
        401,
        "no key. Send one as Authorization: Bearer KEY or as X-API-Key: KEY.",
    )


def test_health_is_open_to_everybody(client: TestClient) -> None:
    for path in ("/healthz", "/readyz"):
        assert client.get(path).json()["key"] is None


def test_over_the_rate_a_caller_is_told_when_to_come_back(local: SqliteStore) -> None:
    key, other = create(local, "slow", ["read"], 2.0), create(local, "other", ["read"], 2.0)
    client = client_of(guard(local, "127.0.0.1"))
    codes = [client.get("/v1/x", headers={"X-API-Key": key}).status_code for _ in range(4)]
    assert codes == [200, 200, 429, 429]
    refused = client.get("/v1/x", headers={"X-API-Key": key})
    assert refused.headers["Retry-After"] == "1"
    assert error(refused) == "over 2 requests a second with this key. Ask again after 1 s."
    assert client.get("/v1/x", headers={"X-API-Key": other}).status_code == 200
    time.sleep(0.6)
    assert client.get("/v1/x", headers={"X-API-Key": key}).status_code == 200


def test_without_keys_this_machine_alone_is_answered(local: SqliteStore) -> None:
    found = guard(local, "127.0.0.1")
    assert found.is_open
    client = client_of(found)
    assert client.get("/metrics").status_code == client.post("/v1/events").status_code == 200
    for host in ("evil.example", "evil.example:8000", "10.0.0.1"):
        answer = client.get("/v1/x", headers={"Host": host})
        assert answer.status_code == 403, "a name that was bent to 127.0.0.1, or a proxy"
        assert "only localhost is answered" in error(answer)
    with pytest.raises(SettingError, match=r"--host 0\.0\.0\.0: others can reach it, and the store has no keys\."):
        guard(local, "0.0.0.0")


def test_the_first_key_shuts_the_doors_and_revoking_it_does_not_open_them(local: SqliteStore) -> None:
    client = client_of(guard(local, "localhost"))
    assert client.get("/v1/x").status_code == 200
    key = create(local, "first", ["read"])
    time.sleep(0.5)
    assert client.get("/v1/x").status_code == 401
    assert client.get("/v1/x", headers={"X-API-Key": key}).status_code == 200
    local.drop_key("first")
    time.sleep(0.5)
    assert client.get("/v1/x").status_code == client.get("/v1/x", headers={"X-API-Key": key}).status_code == 401


def test_a_store_that_is_down_from_the_start_is_a_clean_503(
    client: TestClient, keys: dict[str, str], local: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def down() -> list[Key]:
        raise StoreDownError("gone")

    monkeypatch.setattr(local, "keys", down)
    answer = client.get("/v1/x", headers={"X-API-Key": keys["read"]})
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "1")
    assert "no key can be checked" in error(answer)
    assert client.get("/healthz").status_code == 200


@pytest.mark.parametrize("form", ["length", "chunks"])
def test_a_body_over_the_limit_never_reaches_the_service(form: str, local: SqliteStore) -> None:
    client = client_of(guard(local, "::1", Bounds(body=1000)))

    def pieces(count: int) -> Iterator[bytes]:
        for _ in range(count // 100):
            yield b"x" * 100

    def body(count: int) -> Any:
        return b"x" * count if form == "length" else pieces(count)

    right = client.post("/v1/events", content=body(1000))
    assert (right.status_code, right.json()["bytes"]) == (200, 1000)
    wrong = client.post("/v1/events", content=body(1100))
    assert (wrong.status_code, wrong.headers["Connection"]) == (413, "close")
    assert error(wrong) == "the body: over 1000 bytes. Send it in parts."
    assert client.request("GET", "/v1/x", content=body(1100)).status_code == 413


def test_long_paths_and_headers_are_refused(local: SqliteStore) -> None:
    client = client_of(guard(local, "127.0.0.1", Bounds(target=1000, headers=2000)))
    assert client.get("/v1/items/" + "a" * 900).status_code == 200
    for path in ("/v1/items/" + "a" * 1000, "/v1/x?prompt=" + "a" * 1000, "/v1/" + "%00" * 400):
        answer = client.get(path)
        assert answer.status_code == 414
        assert "over 1000. Ask with a body." in error(answer)
    assert client.get("/v1/x", headers={"X-More": "a" * 1000}).status_code == 200
    assert client.get("/v1/x", headers={"X-More": "a" * 2000}).status_code == 431
    assert client.get("/v1/x", headers=[("X-More", "a")] * 300).status_code == 431


def test_a_body_that_does_not_come_or_breaks_off_is_refused(local: SqliteStore) -> None:
    def ask(messages: list[dict[str, Any]]) -> int:
        sent: list[dict[str, Any]] = []

        async def receive() -> dict[str, Any]:
            if not messages:
                await asyncio.sleep(60)
            return messages.pop(0)

        async def send(message: dict[str, Any]) -> None:
            sent.append(message)

        scope = {
            "type": "http",
            "method": "POST",
            "path": "/v1/events",
            "query_string": b"",
            "headers": [(b"content-length", b"9")],
        }
        app = guard(local, "127.0.0.1", Bounds(seconds=0.1))(APP)
        asyncio.run(app(scope, receive, send))  # type: ignore[arg-type]
        return int(sent[0]["status"])

    part = {"type": "http.request", "body": b"abc", "more_body": True}
    assert ask([part]) == 408
    assert ask([part, {"type": "http.disconnect"}]) == 400
    assert ask([part, {"type": "http.request", "body": b"abcdef"}]) == 200


def test_the_log_says_who_asked_for_what_and_holds_no_secret(
    client: TestClient, keys: dict[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    headers = {"X-API-Key": keys["read"]}
    client.get("/v1/users/u%2F5/recommendations?prompt=a%20secret%20wish", headers=headers)
    client.get("/v1/x", headers={"Cookie": f"l2rec_key={keys['read']}", "Authorization": "Basic whisper"})
    client.get("/v1/x?prompt=secret", headers={"Authorization": "Bearer l2rec_whisper"})
    client.post("/v1/recommendations", headers=headers, json={"prompt": "a secret wish", "text": "secret"})
    client.post("/v1/events", headers=headers, content=b"secret" * 200_000)
    lines = [record.getMessage() for record in caplog.records if record.name == "l2rec.access"]
    assert [line.split()[:3] for line in lines] == [
        ["GET", "/v1/users/u%2F5/recommendations", "200"],
        ["GET", "/v1/x", "200"],
        ["GET", "/v1/x", "401"],
        ["POST", "/v1/recommendations", "200"],
        ["POST", "/v1/events", "403"],
    ]
    assert [line.split()[-1] for line in lines] == ["key=read", "key=read", "key=-", "key=read", "key=-"]
    written = "\n".join(record.getMessage() for record in caplog.records if not record.name.startswith("httpx"))
    for secret in ("secret", "whisper", *keys.values(), *(key.split("_", 1)[1] for key in keys.values())):
        assert secret not in written


def test_what_is_no_request_is_passed_or_closed(local: SqliteStore) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        passed.append(scope["type"])

    async def send(message: Any) -> None:
        sent.append(message)

    passed: list[str] = []
    sent: list[dict[str, Any]] = []
    door = guard(local, "127.0.0.1")(app)
    for kind in ("lifespan", "websocket"):
        asyncio.run(door({"type": kind}, None, send))  # type: ignore[arg-type]
    assert passed == ["lifespan"]
    assert sent == [{"type": "websocket.close", "code": 1008}]
