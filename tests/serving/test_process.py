"""One server process: what stands in its environment decides whom it lets in."""

from pathlib import Path

import pytest
import torch
from starlette.testclient import TestClient

from l2rec.errors import SettingError
from l2rec.serving.access.keys import create
from l2rec.serving.process import NAME, ProcessSettings, application
from l2rec.serving.store.sqlite import SqliteStore
from tests.serving.service import published
from tests.trained import World

HERE = "http://127.0.0.1:8000"


@pytest.fixture
def store(world: World, tmp_path: Path) -> SqliteStore:
    return published(world.popularity, tmp_path / "store.db")


def started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, host: str) -> TestClient:
    threads = torch.get_num_threads()
    settings = ProcessSettings(store=f"sqlite:///{tmp_path / 'store.db'}", host=host, threads=threads)
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
