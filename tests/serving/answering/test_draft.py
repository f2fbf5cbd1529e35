"""A server that is up before its model: what it answers meanwhile, and what it says of itself."""

import asyncio
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from l2rec.errors import BackboneError, StoreDownError
from l2rec.serving.answering.desk import COMING, FILLED
from l2rec.serving.answering.draft import Draft
from l2rec.serving.answering.edition import Engine
from l2rec.serving.answering.stage import Stage
from l2rec.serving.app import ServeOptions
from l2rec.serving.folder import RunFolder
from l2rec.serving.model.live import Live
from l2rec.serving.publishing.publish import PublishOptions, publish
from l2rec.serving.recommender import Recommender
from l2rec.serving.store.sqlite import SqliteStore
from tests.models.conftest import backbone  # noqa: F401  (the fixture)
from tests.serving.model import runs
from tests.serving.service import event, ids, listed, published, serving
from tests.trained import World

USER = "/v1/users/u5/recommendations"
LIVE = "/readyz?model=live"


class Gate:
    """Loads a run once it is opened; refuses while it is broken."""

    def __init__(self) -> None:
        self.opened, self.tried, self.broken = threading.Event(), 0, False

    def load(self, run: RunFolder, device: str) -> Live:
        assert self.opened.wait(30)
        self.tried += 1
        if self.broken:
            raise BackboneError("model.backbone: cannot be loaded. Mend it.")
        return Live.load(run, device)

    def options(self) -> ServeOptions:
        return ServeOptions(Engine(load=self.load), poll=0.02, early=True)

    def let_through(self, client: TestClient) -> None:
        """Lets the model come to life and waits until it has."""
        self.opened.set()
        until(client, LIVE, 200)


def until(client: TestClient, path: str, status: int) -> None:
    deadline = time.monotonic() + 30
    while client.get(path).status_code != status:
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.fixture
def gate() -> Iterator[Gate]:
    """A gate that is shut; opened in the end, so that no thread waits on."""
    made = Gate()
    yield made
    made.opened.set()


@pytest.fixture
def store(world: World, tmp_path: Path) -> SqliteStore:
    return published(world.sasrec / "seed-0", tmp_path / "store.db")


def test_a_server_says_whether_its_model_is_alive(store: SqliteStore, gate: Gate) -> None:
    with serving(store, gate.options()) as client:
        told = client.get("/readyz")
        assert told.status_code == 200
        assert {"name": "sasrec", "model": "loading", "items": 30, "store": "up", "rows": "kept"}.items() <= (
            told.json().items()
        )
        later = client.get(LIVE)
        assert (later.status_code, later.headers["retry-after"]) == (503, "1")
        assert later.json()["error"].startswith("the model is being loaded")
        assert client.get("/readyz?model=dead").status_code == 422
        gate.let_through(client)
        assert client.get("/readyz").json() == {**told.json(), "model": "live"}
        assert client.get(LIVE).json()["model"] == "live"


def test_lists_made_ahead_are_answered_while_the_model_is_loaded_and_fresh_ones_after(
    store: SqliteStore, gate: Gate, world: World
) -> None:
    python = Recommender.load(world.sasrec / "seed-0")
    with serving(store, gate.options()) as client:
        ahead = listed(client, USER, k=6)
        assert ids(ahead) == [one.item_id for one in python.recommend(user_id="u5", k=6)]
        assert (ahead["source"], ahead["notes"]) == ("cached", [])
        denied, gone, seen = ids(ahead)[0], ids(ahead)[1], ids(ahead)[3]
        assert client.delete(f"/v1/items/{gone}").status_code == 200
        report = client.post("/v1/events", json={"events": [event("e1", "u5", seen)]})
        assert (report.status_code, report.json()) == (200, {"accepted": 1, "new": 1})
        meanwhile = listed(client, USER, k=3, deny=denied)
        assert (meanwhile["source"], meanwhile["notes"]) == ("cached", [COMING])
        assert ids(meanwhile) == [ids(ahead)[2], ids(ahead)[4], ids(ahead)[5]]
        gate.let_through(client)
        after = listed(client, USER, k=3, deny=denied)
        assert (after["source"], after["notes"], after["version"]) == ("fresh", [], ahead["version"])
        past = python.item_ids.ids(python._pasts.sequence(python.data.user_ids.number("u5")).tolist())
        expected = [one.item_id for one in python.recommend(history=[*past, seen], k=30)]
        assert ids(after) == [item for item in expected if item not in (denied, gone)][:3]


def test_what_only_the_model_knows_is_refused_or_falls_down_the_chain(store: SqliteStore, gate: Gate) -> None:
    with serving(store, gate.options()) as client:
        for path in ("/v1/items/i3/similar", "/v1/users/u5/explanation", "/v1/users/u5/explanation?item_id=i3"):
            told = client.get(path)
            assert (told.status_code, told.headers["retry-after"]) == (503, "1")
            assert told.json()["error"].startswith("the model is being loaded")
        popular = listed(client, "/v1/users/nobody/recommendations")
        assert (popular["source"], popular["notes"]) == ("popular", [])
        asked = client.post("/v1/recommendations", json={"history": ["i3"], "k": 5}).json()
        assert (asked["source"], asked["notes"]) == ("popular", [COMING])
        assert ids(asked) == [item for item in ids(popular) if item != "i3"][:5]
        longer = listed(client, USER, k=20, mask_seen="false")
        assert (longer["source"], longer["notes"], len(longer["items"])) == ("cached", [COMING, FILLED], 20)
        assert client.get("/v1/items/nowhere/similar").status_code == 404
        assert client.get("/v1/users/nobody/explanation").status_code == 404
        pages = (
            "/",
            "/explore",
            "/explore?user=u5&why=1",
            "/explore?user=u5&add=i3&prompt=red",
            "/newcomer?prompt=red",
        )
        for page in (*pages, "/service", "/runs", "/metrics", "/healthz", "/openapi.json"):
            assert client.get(page).status_code == 200, page
        gate.opened.set()  # a server that ends waits for a model that is being loaded


def test_a_model_without_vectors_need_not_be_alive_to_tell_what_is_alike(
    world: World, tmp_path: Path, gate: Gate
) -> None:
    with serving(published(world.popularity, tmp_path / "counts.db"), gate.options()) as client:
        before = listed(client, "/v1/items/i3/similar", deny="i4")
        gate.let_through(client)
        after = listed(client, "/v1/items/i3/similar", deny="i4")
    assert {**after, "age": 0} == {**before, "age": 0}
    assert not {"i3", "i4"} & {*ids(before)}


def test_an_item_put_while_the_model_is_loaded_is_recommendable_once_it_is_alive(
    world: World,
    backbone: Path,  # noqa: F811
    tmp_path: Path,
    gate: Gate,
) -> None:
    store = published(runs.l2rec(world, backbone).folder.path, tmp_path / "store.db")
    body = {"title": "red lamp", "text": "red lamp 0", "attributes": ["colour=red", "size=new"]}
    with serving(store, gate.options()) as client:
        told = client.put("/v1/items/new", json=body)
        assert (told.status_code, told.json()) == (200, {"item_id": "new", "recommendable": False})
        assert client.get("/v1/items/new/similar").status_code == 503
        meanwhile = listed(client, USER, k=12)
        assert (meanwhile["source"], "new" in ids(meanwhile)) == ("cached", False)
        words = listed(client, USER, prompt="red lamp")
        assert (words["source"], words["notes"]) == ("cached", [COMING])
        newcomer = client.post("/v1/recommendations", json={"text": "red lamp", "k": 3}).json()
        assert (newcomer["source"], newcomer["notes"]) == ("popular", [COMING])
        gate.let_through(client)
        assert ids(listed(client, USER, allow_attributes="size=new")) == ["new"]
        assert "new" in ids(listed(client, USER, k=31, mask_seen="false"))
        assert listed(client, USER, prompt="red lamp")["source"] == "fresh"
        assert client.post("/v1/recommendations", json={"text": "red lamp"}).json()["source"] == "newcomer"
        assert client.put("/v1/items/newer", json=body).json()["recommendable"]


def test_a_rewritten_item_leaves_the_list_made_ahead_with_a_note_until_the_model_is_alive(
    world: World,
    backbone: Path,  # noqa: F811
    tmp_path: Path,
    gate: Gate,
) -> None:
    store = published(runs.l2rec(world, backbone).folder.path, tmp_path / "store.db")
    with serving(store, gate.options()) as client:
        before = listed(client, USER, k=3)
        assert before["notes"] == []
        assert (
            client.put(f"/v1/items/{ids(before)[0]}", json={"title": "Anew", "text": "blue chair"}).status_code == 200
        )
        told = listed(client, USER, k=3)
        assert (told["source"], told["notes"], ids(told)) == ("cached", [COMING], ids(before))
        assert told["items"][0]["title"] == "Anew"
        gate.let_through(client)
        assert listed(client, USER, k=3)["source"] == "fresh"


def test_a_model_that_cannot_be_loaded_makes_the_server_unready_and_is_said_once(
    store: SqliteStore, gate: Gate, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened, open_one = [], Draft.open
    monkeypatch.setattr(Draft, "open", lambda *given: opened.append(given) or open_one(*given))
    gate.broken = True
    with serving(store, gate.options()) as client:
        assert client.get("/readyz").json()["model"] == "loading"
        gate.opened.set()
        until(client, "/readyz", 503)
        tried = gate.tried
        while gate.tried < tried + 3:
            for path in ("/readyz", LIVE, USER):
                told = client.get(path)
                assert (told.status_code, told.headers["retry-after"]) == (503, "1")
                assert "no release is loaded yet" in told.json()["error"]
        report = client.post("/v1/events", json={"events": [event("e1", "u5", "i3")]})
        assert (report.status_code, report.json()["new"]) == (200, 1)
        assert 'l2rec_reloads_total{outcome="failed"}' in client.get("/metrics").text
        said = [record.getMessage() for record in caplog.records]
        assert said.count("release: model.backbone: cannot be loaded. Mend it.") == 1
        assert len(opened) == 1, "it is not put up again before it is alive"
        gate.broken = False
        until(client, LIVE, 200)
        assert listed(client, USER)["source"] == "fresh"


def test_a_later_release_is_answered_by_the_old_model_until_its_own_is_alive(
    store: SqliteStore, gate: Gate, world: World
) -> None:
    with serving(store, gate.options()) as client:
        gate.let_through(client)
        first = listed(client, USER)["version"]
        gate.opened.clear()
        second = publish(world.sasrec / "seed-1", store, PublishOptions(k=12)).version
        for _ in range(20):
            assert client.get(LIVE).json()["version"] == first
            fresh = client.post("/v1/recommendations", json={"history": ["i3"]}).json()
            assert (fresh["source"], fresh["version"]) == ("fresh", first)
            time.sleep(0.01)
        gate.opened.set()
        while listed(client, USER)["version"] != second:
            assert client.get(LIVE).status_code == 200


def test_a_store_that_goes_down_while_the_model_is_loaded_leaves_the_lists(store: SqliteStore) -> None:
    def down(run: RunFolder, device: str) -> Live:
        raise StoreDownError("gone")

    async def story() -> None:
        stage = Stage(store, Engine(load=down), early=True)
        await stage.open()
        with pytest.raises(StoreDownError):
            await stage.take_over()
        assert not stage.ready.is_live
        stage.close()

    asyncio.run(story())


BEFORE_THE_MODEL = """
import asyncio, sys
from l2rec.serving.app import create_app
from l2rec.serving.answering.stage import Stage
from l2rec.serving.store.opening import open_store
store = open_store(sys.argv[1])
create_app(store)
stage = Stage(store, early=True)
asyncio.run(stage.open())
late = {"transformers", "l2rec.evaluation.comparison", "matplotlib"}
print(stage.ready.shelf.count, sorted(late & sys.modules.keys()))
"""


def test_nothing_that_only_the_model_needs_is_imported_before_the_first_answer(
    world: World,
    backbone: Path,  # noqa: F811
    tmp_path: Path,
) -> None:
    published(runs.l2rec(world, backbone).folder.path, tmp_path / "store.db").close()
    words = [sys.executable, "-c", BEFORE_THE_MODEL, f"sqlite:///{tmp_path / 'store.db'}"]
    said = subprocess.run(words, capture_output=True, text=True, timeout=120, check=False)
    assert said.stdout == "30 []\n", said.stderr
