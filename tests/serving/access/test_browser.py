"""What a browser is told, and what no other site can make it do."""

import pytest
from starlette.testclient import TestClient

from l2rec.serving.access.guard import POLICY, guard, login_cookie, logout_cookie
from l2rec.serving.access.keys import create
from l2rec.serving.store.sqlite import SqliteStore
from tests.serving.access.guarded import LOCAL, client_of


def test_every_answer_is_sealed(client: TestClient, keys: dict[str, str]) -> None:
    header = {"X-API-Key": keys["read"]}
    for answer in (client.get("/healthz"), client.get("/v1/x", headers=header), client.get("/v1/x"), client.put("/a")):
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["Cache-Control"] == "no-store"
        assert answer.headers["Content-Security-Policy"] == POLICY
        assert answer.headers["Referrer-Policy"] == "no-referrer"
        assert answer.headers["X-Frame-Options"] == "DENY"
    assert client.get("/static/a.js").headers["Cache-Control"] == "max-age=9", "what says so itself may be kept"
    directives = dict(part.strip().split(" ", 1) for part in POLICY.split(";"))
    assert directives["default-src"] == "'self'", "the pages' own scripts run, no other and none within a page"
    assert directives["frame-ancestors"] == "'none'"


def test_other_origins_get_no_permission(client: TestClient, keys: dict[str, str]) -> None:
    ask = {
        "Origin": "https://evil.example",
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "x-api-key",
    }
    preflight = client.options("/v1/events", headers=ask)
    assert preflight.status_code == 401
    read = client.get("/v1/x", headers={"Origin": "https://evil.example", "X-API-Key": keys["read"]})
    assert read.status_code == 200
    for answer in (preflight, read):
        assert not [name for name in answer.headers if name.lower().startswith("access-control-")]


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"Sec-Fetch-Site": "same-origin"}, 200),
        ({"Sec-Fetch-Site": "none"}, 200),
        ({"Origin": LOCAL}, 200),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Sec-Fetch-Site": "same-site", "Origin": LOCAL}, 403),
        ({"Origin": "http://127.0.0.1:9000"}, 403),
        ({"Origin": "https://evil.example"}, 403),
        ({"Origin": "null"}, 403),
    ],
)
def test_no_other_site_acts_with_a_persons_key(headers: dict[str, str], status: int, local: SqliteStore) -> None:
    opened = client_of(guard(local, "127.0.0.1"))
    assert opened.post("/v1/events", headers=headers).status_code == status
    key = create(local, "a", ["read", "write"], 0.0)
    client = client_of(guard(local, "127.0.0.1"))
    cookie = {"Cookie": f"other=1; l2rec_key={key}; more=2"}
    for method, path in (("POST", "/v1/events"), ("PUT", "/v1/items/i"), ("POST", "/v1/recommendations")):
        assert client.request(method, path, headers=cookie | headers).status_code == status
    assert client.post("/login", headers=headers).status_code == status
    assert client.get("/v1/x", headers=cookie | headers).status_code == 200, "nobody else can read the answer"
    assert client.post("/v1/events", headers={"X-API-Key": key} | headers).status_code == 200, "no browser sends that"


def test_a_browser_is_sent_to_the_login_page_and_a_program_is_not(local: SqliteStore) -> None:
    create(local, "a", ["read"])
    found = guard(local, "127.0.0.1")
    page = {"Accept": "text/html,application/xhtml+xml"}
    assert client_of(found).get("/explorer", headers=page).status_code == 401, "where there is no such page"
    found.login = "/login"
    client = client_of(found)
    answer = client.get("/explorer", headers=page)
    assert (answer.status_code, answer.headers["Location"]) == (303, "/login")
    assert client.get("/login", headers=page).status_code == 200
    for path, headers in (("/explorer", {}), ("/v1/users/u/recommendations", page)):
        assert client.get(path, headers=headers).status_code == 401
    assert client.post("/explorer", headers=page).status_code == 401


def test_the_cookie_is_for_this_site_alone_and_no_script_reads_it() -> None:
    assert login_cookie("k", secure=False) == "l2rec_key=k; Path=/; HttpOnly; SameSite=Strict"
    assert login_cookie("k", secure=True).endswith("; Secure")
    assert logout_cookie().startswith("l2rec_key=; Path=/; HttpOnly; SameSite=Strict; Max-Age=0")
