"""The page of the service: counters as Prometheus has them, quantiles, releases, and a store that is down."""

import threading
import time
from pathlib import Path

import numpy as np
import pytest
from starlette.testclient import TestClient

from l2rec.serving.answering.edition import Engine
from l2rec.serving.app import ServeOptions
from l2rec.serving.folder import RunFolder
from l2rec.serving.model.live import Live
from l2rec.serving.pages.tally import Counts, Route, Tally, quantile
from l2rec.serving.pages.tally import read as tallied
from l2rec.serving.publishing.publish import PublishOptions, publish
from l2rec.serving.store.sqlite import SqliteStore
from tests.serving.pages.reading import read
from tests.serving.service import desk_of, event, serving
from tests.trained import World


def test_counters_are_those_of_the_server(client: TestClient) -> None:
    for user in ("u5", "u6", "nobody"):
        client.get(f"/v1/users/{user}/recommendations")
    client.get("/v1/users/u5/recommendations?k=0")
    client.post("/v1/recommendations", json={"history": ["i3"]})
    client.post("/v1/events", json={"events": [event("e", "u5", "i3")]})
    counts = tallied(desk_of(client).stage.metrics.text())
    found = {route.name: (route.requests, route.refused, route.failed) for route in counts.routes}
    lists = "/v1/users/{id:path}/recommendations"
    assert found == {lists: (4, 1, 0), "/v1/recommendations": (1, 0, 0), "/v1/events": (1, 0, 0)}
    assert counts.sources == {"cached": 2, "popular": 1, "fresh": 1}
    assert (counts.events, counts.batch, counts.queue) == (1, 1.0, 0)
    page = read(client, "/service")
    assert page.said("#latency-rows").startswith("/v1/users/{id}/recommendations4")
    assert "2 (50 %)" in page.said("#sources-card")
    assert "Too few events" in page.said("#drift-card")


def test_a_release_whose_model_is_loading_is_told_apart(store: SqliteStore) -> None:
    gate = threading.Event()

    def load(run: RunFolder, device: str) -> Live:
        assert gate.wait(30)
        return Live.load(run, device)

    with serving(store, ServeOptions(Engine(load=load), poll=0.02, early=True)) as client:
        assert "served, model loading" in read(client, "/service").said("#releases-rows")
        gate.set()
        until = time.monotonic() + 30
        while client.get("/readyz?model=live").status_code != 200 and time.monotonic() < until:
            time.sleep(0.02)
        told = read(client, "/service").said("#releases-rows")
        assert "served" in told
        assert "loading" not in told


def test_quantiles_lie_in_their_bucket() -> None:
    values = np.random.default_rng(0).exponential(0.02, 5000)
    bounds = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, float("inf")]
    buckets = [(bound, float((values <= bound).sum())) for bound in bounds]
    for share in (0.5, 0.9, 0.99):
        assert quantile(buckets, share) == pytest.approx(float(np.quantile(values, share)), rel=0.35)
    assert quantile([(1.0, 0.0), (float("inf"), 3.0)], 0.5) == 1.0
    assert quantile([(1.0, 0.0), (float("inf"), 0.0)], 0.5) == 0.0


def test_rates_are_between_looks() -> None:
    tally = Tally()
    for at, done in ((0.0, 0), (2.0, 10), (4.0, 10), (4.1, 40), (4.3, 25)):
        tally.look(Counts(at, (Route("/v1/events", done, 0, 0, 0.0, 0.0),), {}, 0, None, 0, {}))
    assert tally.rates() == pytest.approx([5.0, 0.0, 50.0])


def test_releases_and_drift_are_told(client: TestClient, store: SqliteStore) -> None:
    told = [event(f"e{n}", f"u{n % 7}", "i28") for n in range(60)]
    client.post("/v1/events", json={"events": told})
    page = read(client, "/service")
    release = store.current()
    assert release is not None
    assert page.said("#releases-rows").startswith(f"{release.version}servedl2rec")
    assert "Drift: users choose" in page.said("#drift-card")


def test_a_store_that_is_down_is_said(client: TestClient, store: SqliteStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(desk_of(client).stage, "is_store_up", lambda: False)
    page = read(client, "/service")
    assert page.said("state") == "downanswered from memory"
    assert "not known: the store is down" in page.said("#releases-rows")


def test_the_recall_of_every_release_is_shown(world: World, tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "recall.db")
    publish(world.sasrec / "seed-0", store, PublishOptions(k=5))
    near = publish(world.sasrec / "seed-0", store, PublishOptions(k=5, index="faiss"))
    store.switch(near.model_copy(update={"recall": 0.876}))
    with serving(store) as client:
        shown = read(client, "/service").said("#releases-rows")
    assert "faiss IVF1,Flat nprobe=10.876" in shown
    assert "exact1" in shown
