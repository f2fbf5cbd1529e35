"""One server process: what stands in its environment decides whom it lets in."""

import gc
import logging
import re
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from starlette.testclient import TestClient

from l2rec.errors import RunError, SettingError
from l2rec.serving.access.keys import create
from l2rec.serving.answering.edition import Engine
from l2rec.serving.folder import RunFolder
from l2rec.serving.model.live import Live
from l2rec.serving.process import NAME, ProcessSettings, application, uncollected
from l2rec.serving.store.sqlite import SqliteStore
from tests.serving.service import published
from tests.trained import World

HERE = "http://127.0.0.1:8000"


@pytest.fixture
def store(world: World, tmp_path: Path) -> SqliteStore:
    return published(world.popularity, tmp_path / "store.db")


def started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, host: str, access_log: bool = False) -> TestClient:
    threads = torch.get_num_threads()
    address = f"sqlite:///{tmp_path / 'store.db'}"
    settings = ProcessSettings(store=address, host=host, threads=threads, access_log=access_log)
    monkeypatch.setenv(NAME, settings.model_dump_json())
    return TestClient(application(), base_url=HERE)


def test_a_process_lets_in_whom_its_store_knows(
    store: SqliteStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = create(store, "shop", ["read"])
    with started(tmp_path, monkeypatch, "0.0.0.0") as client:
        path = "/v1/users/u5/recommendations"
        assert client.get(path).status_code == 401
        told = client.get(path, headers={"X-API-Key": key})
        assert (told.status_code, told.json()["source"]) == (200, "cached")
        assert told.headers["Cache-Control"] == "no-store"
        assert client.get("/metrics", headers={"X-API-Key": key}).status_code == 403
        assert client.get("/readyz").status_code == 200
        assert client.get("/openapi.json").status_code == 401
        page = client.get("/explore", headers={"Accept": "text/html"}, follow_redirects=False)
        assert (page.status_code, page.headers["Location"].partition("?")[0]) == (303, "/login")


def test_without_keys_a_process_answers_this_machine_and_no_other(
    store: SqliteStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with started(tmp_path, monkeypatch, "127.0.0.1") as client:
        assert client.get("/v1/users/u5/recommendations").status_code == 200
    with pytest.raises(SettingError, match=r"others can reach it, and the store has no keys"):
        started(tmp_path, monkeypatch, "0.0.0.0")


@pytest.fixture
def silent_again() -> Iterator[None]:
    """The log of requests as it was before."""
    logger = logging.getLogger("l2rec.access")
    handlers, level, propagate = logger.handlers, logger.level, logger.propagate
    yield
    logger.handlers, logger.propagate = handlers, propagate
    logger.setLevel(level)


@pytest.mark.usefixtures("silent_again")
def test_the_log_of_requests_tells_neither_keys_nor_words_and_is_off_unless_wanted(
    store: SqliteStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    key = create(store, "shop", ["read", "write"])
    for wanted in (False, True):
        with started(tmp_path, monkeypatch, "127.0.0.1", access_log=wanted) as client:
            head = {"X-API-Key": key}
            client.get("/v1/users/u5/recommendations?prompt=whispered", headers=head)
            client.post("/v1/recommendations", json={"text": "murmured"}, headers=head)
            client.get(f"/explore?key={key}", headers={"Cookie": f"l2rec_key={key}"})
            client.get("/v1/users/u5/recommendations", headers={"X-API-Key": "invented"})
        said = capfd.readouterr().err
        for secret in (key, "whispered", "murmured", "invented", "prompt"):
            assert secret not in said
        lines = [line.split(" ", 2)[2] for line in said.splitlines() if "/v1/" in line]
        told = [re.sub(r"[\d.]+ ms", "MS", line) for line in lines]
        assert told == wanted * [
            "GET /v1/users/u5/recommendations 200 MS key=shop",
            "POST /v1/recommendations 200 MS key=shop",
            "GET /v1/users/u5/recommendations 401 MS key=-",
        ]


def test_the_collector_rests_while_a_server_starts_and_goes_on_after() -> None:
    seen: list[bool] = []

    @uncollected()
    def fail() -> None:
        seen.append(gc.isenabled())
        raise RunError("gone")

    with pytest.raises(RunError, match="gone"):
        fail()
    assert (seen, gc.isenabled()) == ([False], True)
    gc.disable()
    try:
        with uncollected():
            pass
        assert not gc.isenabled(), "who had it off finds it off"
    finally:
        gc.enable()


def test_what_a_process_keeps_for_users_is_what_an_engine_keeps() -> None:
    assert ProcessSettings(store="").remembered == Engine().remembered


def test_a_process_answers_before_its_model_is_alive_and_collects_again_when_it_is(
    store: SqliteStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    resting, load, opened = [], Live.load, threading.Event()

    def slow(run: RunFolder, device: str) -> Live:
        resting.append(not gc.isenabled())
        assert opened.wait(20)
        return load(run, device)

    monkeypatch.setattr(Live, "load", slow)
    with started(tmp_path, monkeypatch, "127.0.0.1") as client:
        told = client.get("/readyz")
        assert (told.status_code, told.json()["model"]) == (200, "loading")
        opened.set()
        while client.get("/readyz?model=live").status_code == 503:
            time.sleep(0.01)
        assert client.get("/readyz").json()["model"] == "live"
    assert resting == [True]
    assert gc.isenabled()
