"""The service as a whole: what a list says, that an event is in the next one, and that Python says the same."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from l2rec.evaluation.ranking import rank
from l2rec.serving.publishing.publish import PublishOptions, publish
from l2rec.serving.recommender import Recommender
from l2rec.serving.store.contract import Store
from tests.serving.service import event, ids, listed, serving
from tests.trained import World


@pytest.fixture(scope="module")
def recommender(world: World) -> Recommender:
    return Recommender.load(world.sasrec / "seed-0")


@pytest.fixture
def store(store: Store, world: World) -> Store:
    """A store with a release, once for each kind."""
    publish(world.sasrec / "seed-0", store, PublishOptions(k=12))
    return store


@pytest.fixture
def client(store: Store) -> Iterator[TestClient]:
    with serving(store) as client:
        yield client


def test_a_list_made_ahead_is_what_python_says(client: TestClient, recommender: Recommender) -> None:
    for user in ("u0", "u5", "u39"):
        told = listed(client, f"/v1/users/{user}/recommendations", k=7)
        expected = recommender.recommend(user_id=user, k=7)
        assert ids(told) == [one.item_id for one in expected]
        assert [item["title"] for item in told["items"]] == [one.title for one in expected]
        assert [item["score"] for item in told["items"]] == pytest.approx([one.score for one in expected], abs=1e-5)
        assert (told["source"], told["notes"]) == ("cached", [])
        assert told["age"] >= 0


def test_an_acknowledged_event_is_in_the_next_answer(client: TestClient, recommender: Recommender) -> None:
    before = listed(client, "/v1/users/u5/recommendations")
    item = ids(before)[0]
    told = client.post("/v1/events", json={"events": [event("e1", "u5", item)]})
    assert (told.status_code, told.json()) == (200, {"accepted": 1, "new": 1})
    after = listed(client, "/v1/users/u5/recommendations")
    past = recommender.item_ids.ids(recommender._pasts.sequence(recommender.data.user_ids.number("u5")).tolist())
    expected = recommender.recommend(history=[*past, item])
    assert (after["source"], after["age"]) == ("fresh", 0)
    assert ids(after) == [one.item_id for one in expected]
    assert item not in ids(after)
    again = client.post("/v1/events", json={"events": [event("e1", "u5", item), event("e2", "u5", "nowhere")]})
    assert again.json() == {"accepted": 2, "new": 1}
    assert ids(listed(client, "/v1/users/u5/recommendations")) == ids(after)


def test_a_stateless_question_is_what_python_says(client: TestClient, recommender: Recommender) -> None:
    history = ["i3", "i10", "i2"]
    told = client.post("/v1/recommendations", json={"history": history, "k": 5}).json()
    expected = recommender.recommend(history=history, k=5)
    assert ids(told) == [one.item_id for one in expected]
    assert [item["score"] for item in told["items"]] == pytest.approx([one.score for one in expected], abs=1e-5)
    assert told["source"] == "fresh"
    strange = client.post("/v1/recommendations", json={"history": ["i3", "?", "i10", "i2"], "k": 5}).json()
    assert (ids(strange), strange["notes"]) == (ids(told), ["1 unknown items of the history were left out"])


def test_nobody_is_unknown(client: TestClient, store: Store) -> None:
    release = store.current()
    assert release is not None
    told = listed(client, "/v1/users/somebody new/recommendations", k=30)
    assert told["source"] == "popular"
    assert len(told["items"]) == 30
    assert ids(told)[:3] == [f"i{n}" for n in _numbers(client, release.popular[:3])]
    assert client.post("/v1/recommendations", json={}).json()["source"] == "popular"
    client.post("/v1/events", json={"events": [event("n1", "somebody new", "i3")]})
    assert listed(client, "/v1/users/somebody new/recommendations")["source"] == "fresh"


def _numbers(client: TestClient, numbers: tuple[int, ...]) -> list[str]:
    catalogue = client.app.state.desk.stage.ready.live.catalogue  # type: ignore[attr-defined]
    return [catalogue.id(number).removeprefix("i") for number in numbers]


def test_the_ranks_of_evaluate_are_those_of_the_service(client: TestClient, recommender: Recommender) -> None:
    data, model = recommender.data, recommender.model
    cases = data.cases("test")
    ranks = rank(
        model.scores,
        cases,
        history=model.settings.history,
        token_counts=model.token_counts,  # type: ignore[union-attr, arg-type]
        settings=recommender.folder.settings.evaluation,
    )
    for row in range(len(cases)):
        history = data.item_ids.ids(cases.histories.sequence(row).tolist())
        told = client.post("/v1/recommendations", json={"history": history, "k": 20}).json()
        best = ranks.lists[row][ranks.listed()[row]].tolist()
        # The protocol ranks a target that the user has had before; a service does not show it again.
        repeated = {int(cases.targets[row])} & set(cases.histories.sequence(row).tolist())
        expected = data.item_ids.ids(number for number in best if number not in repeated)
        assert ids(told)[: len(expected)] == expected


def test_every_route_stands_in_the_table_of_the_docs(client: TestClient) -> None:
    docs = (Path(__file__).parents[2] / "docs" / "serving.md").read_text(encoding="utf-8")
    told = set(re.findall(r"^\| `([A-Z]+ /\S+)` \|", docs, re.MULTILINE))
    paths = client.get("/openapi.json").json()["paths"]
    routes = {f"{method.upper()} {path.replace('{id}', 'ID')}" for path, methods in paths.items() for method in methods}
    assert told == routes | {"GET /openapi.json"}
