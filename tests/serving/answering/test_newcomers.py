"""New items and new users over HTTP, on every kind of store: an item is listed at once, and nobody gets nothing."""

import sys
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from starlette.testclient import TestClient

from l2rec.serving.publishing.publish import PublishOptions, publish
from l2rec.serving.recommender import Recommender
from l2rec.serving.records import LiveItem
from l2rec.serving.store.contract import Store
from l2rec.serving.store.opening import open_store
from tests.models.conftest import backbone  # noqa: F401  (the fixture)
from tests.serving.model import runs
from tests.serving.service import event, ids, listed, published, serving
from tests.trained import World

USERS = [f"u{n}" for n in range(40)]
NEW = LiveItem(item_id="new", title="red lamp", text="red lamp | red | lamp", attributes=("size=new",))
BODY = {"title": NEW.title, "text": NEW.text, "attributes": list(NEW.attributes)}


@pytest.fixture
def run(world: World, backbone: Path) -> Path:  # noqa: F811
    return runs.l2rec(world, backbone).folder.path


@pytest.fixture
def filled(store: Store, run: Path) -> Store:
    publish(run, store, PublishOptions(k=12))
    return store


def of(client: TestClient, user: str, **asked: object) -> tuple[str, list[str]]:
    told = listed(client, f"/v1/users/{quote(user, safe='')}/recommendations", deadline_ms=30_000, **asked)
    return told["source"], ids(told)


def test_a_new_item_is_in_every_kind_of_list_within_a_second_on_every_server(
    filled: Store, url: str, run: Path
) -> None:
    python = Recommender.load(run)
    python.live.apply([NEW])
    other = open_store(url)
    with serving(filled) as here, serving(other) as there:
        started = time.monotonic()
        assert here.put("/v1/items/new", json=BODY).json() == {"item_id": "new", "recommendable": True}
        at_home = time.monotonic() - started
        ahead = [of(here, user) for user in USERS]
        assert {source for source, _ in ahead} == {"cached"}
        assert 0 < sum("new" in found for _, found in ahead) < len(USERS)
        for user, (_, found) in zip(USERS, ahead, strict=True):
            expected = {one.item_id: one.score for one in python.recommend(user_id=user, k=31)}
            best = sorted(expected.values(), reverse=True)[:10]
            assert [expected[item] for item in found] == pytest.approx(best, abs=2e-3)  # vectors are kept in halves
        assert "new" in ids(here.post("/v1/recommendations", json={"history": ["i3"], "k": 31}).json())
        assert "new" in ids(here.post("/v1/recommendations", json={"text": "red lamp", "k": 31}).json())
        assert "new" in ids(listed(here, "/v1/items/i3/similar", k=30))
        assert of(here, "stranger", allow="new") == ("popular", ["new"])
        started = time.monotonic()
        here.put("/v1/items/twin", json=BODY)
        while of(there, "u5", allow="twin")[1] != ["twin"]:
            assert time.monotonic() - started < 20
            time.sleep(0.01)
        elsewhere = time.monotonic() - started
        assert ids(listed(there, "/v1/items/twin/similar", k=1)) == ["new"]
    other.close()
    sys.stdout.write(f"listed after {at_home * 1000:.0f} ms, on another server after {elsewhere * 1000:.0f} ms\n")
    assert max(at_home, elsewhere) < 5  # 1 where the machine is idle


@pytest.fixture(scope="module")
def client(world: World, backbone: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:  # noqa: F811
    run = runs.l2rec(world, backbone).folder.path
    with serving(published(run, tmp_path_factory.mktemp("newcomers") / "store.sqlite")) as client:
        yield client


words = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=60)
gate = settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])


@gate
@given(user=words, known=st.booleans(), did=st.none() | st.sampled_from(["i3", "i29"]) | words, k=st.integers(1, 40))
def test_any_user_gets_a_list(user: str, known: bool, did: str | None, k: int, client: TestClient) -> None:
    name = f"{user}!" if known else user
    if did is not None:
        report = client.post("/v1/events", json={"events": [event(f"{name} {did}", name, did)]})
        assert report.status_code == 200
    source, found = of(client, name, k=k)
    assert source in ("cached", "fresh", "newcomer", "popular")
    assert len(found) == len(set(found)) >= min(k, 30 - 12)


@gate
@given(
    history=st.lists(st.sampled_from(["i1", "i3", "i29"]) | words, max_size=12),
    text=st.none() | words.filter(str.strip),
    prompt=st.none() | words.filter(str.strip),
    k=st.integers(1, 40),
)
def test_any_question_gets_a_list(
    history: list[str], text: str | None, prompt: str | None, k: int, client: TestClient
) -> None:
    body = {"history": history, "text": text, "prompt": prompt, "k": k, "deadline_ms": 30_000}
    answer = client.post("/v1/recommendations", json=body)
    assert answer.status_code == 200, answer.text
    told = answer.json()
    known = {"i1", "i3", "i29"} & {*history}
    assert told["source"] == ("fresh" if known else "newcomer" if text or prompt else "popular")
    assert len(told["items"]) == min(k, 30 - len(known))


def test_a_list_made_ahead_keeps_its_end_from_an_item_that_ranks_lower(filled: Store, run: Path) -> None:
    python = Recommender.load(run)
    python.live.apply([NEW])
    with serving(filled) as client:
        client.put("/v1/items/new", json=BODY)
        for user in USERS[:12]:
            order = [one.item_id for one in python.recommend(user_id=user, k=31)]
            assert of(client, user, k=13)[1] == order[:13]
            denied = [item for item in order if item not in order[:4]]
            assert of(client, user, k=9, deny=order[:4])[1] == denied[:9]
