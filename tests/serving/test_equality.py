"""One question, one answer: over HTTP, in Python, and where `l2rec evaluate` counts the rank of the target."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from starlette.testclient import TestClient

from l2rec.config import RunSettings, validated
from l2rec.data.columns import Columns
from l2rec.data.prepare import prepare
from l2rec.run import Options, Run, train
from l2rec.run.record import ranked
from l2rec.serving.app import ServeOptions
from l2rec.serving.recommender import Recommendation, Recommender
from l2rec.serving.wishes import Filters, Limits, Wish
from tests import worlds
from tests.models.conftest import backbone  # noqa: F401  (the fixture)
from tests.models.llm.little import SMALL
from tests.serving.model.runs import THIRD
from tests.serving.service import ids, listed, published, serving
from tests.trained import TRAINING

RED = Filters(deny=frozenset({"i20"}), deny_attributes=frozenset({"colour=red"}))
LAMPS = Filters(allow_attributes=frozenset({"thing=lamp", "thing=chair", "colour=blue", "colour=green"}))
WISHES = [
    Wish(7),
    Wish(30, mask_seen=False),
    Wish(9, filters=RED),
    Wish(5, filters=LAMPS),
    Wish(5, filters=Filters(allow=frozenset({"i1", "i2", "i21"}))),
    Wish(6, diversity=0.7),
    Wish(8, prompt="red lamp, no chair"),
    Wish(8, False, RED, 0.4, "a blue table"),
]

COMEDY = Filters(allow_attributes=frozenset({"genres=Comedy"}), deny_attributes=frozenset({"genres=Horror"}))
COMEDIES = [Wish(10, filters=COMEDY), Wish(10, diversity=0.5), Wish(10, None, COMEDY, 0.3)]


def asked(wish: Wish) -> dict[str, Any]:
    """A wish as HTTP says it."""
    filters = wish.filters
    groups = {"allow": filters.allow, "deny": filters.deny, "allow_attributes": filters.allow_attributes}
    given = {**groups, "deny_attributes": filters.deny_attributes}
    told: dict[str, Any] = {name: sorted(values) for name, values in given.items() if values}
    told |= {"k": wish.k, "diversity": wish.diversity, "deadline_ms": 30_000}
    told |= {} if wish.mask_seen is None else {"mask_seen": wish.mask_seen}
    return told | ({} if wish.prompt is None else {"prompt": wish.prompt})


def by_query(wish: Wish) -> dict[str, Any]:
    return {name: str(value).lower() if value in (True, False) else value for name, value in asked(wish).items()}


def same(told: dict[str, Any], expected: Sequence[Recommendation]) -> None:
    assert ids(told) == [one.item_id for one in expected]
    assert [item["title"] for item in told["items"]] == [one.title for one in expected]
    assert [item["score"] for item in told["items"]] == pytest.approx([one.score for one in expected], rel=1e-4)
    assert told["items"]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, backbone: Path) -> Path:  # noqa: F811
    """A little L2Rec that knows the age and the town of its users."""
    folder = tmp_path_factory.mktemp("known")
    log = worlds.write_log(folder / "log")
    rows = [f"u{n},{20 + n},{'north' if n % 3 else 'south'}\n" for n in range(40)]
    (log / "users.csv").write_text("user_id,age,town\n" + "".join(rows))
    model = {"name": "l2rec", **SMALL, **THIRD, "backbone": str(backbone)}
    data = prepare(log, folder / "prepared", columns=Columns(item_attributes=("colour", "thing")))
    values = {"data": str(data.folder), "model": model, "training": TRAINING | {"epochs": 2}}
    chosen = validated(RunSettings, values, "")
    return train(chosen, folder / "run", Options(device="cpu")).path


@pytest.fixture(scope="module")
def recommender(run: Path) -> Recommender:
    return Recommender.load(run)


@pytest.fixture
def client(run: Path, tmp_path: Path) -> Iterator[TestClient]:
    with serving(published(run, tmp_path / "store.sqlite")) as client:
        yield client


@pytest.mark.parametrize("wish", WISHES, ids=range(len(WISHES)))
def test_a_user_gets_one_list(wish: Wish, client: TestClient, recommender: Recommender) -> None:
    lists = set()
    for user in ("u0", "u5", "u39"):
        told = listed(client, f"/v1/users/{user}/recommendations", **by_query(wish))
        same(told, recommender.recommend(user_id=user, wish=wish))
        lists.add(tuple(ids(told)))
    assert len(lists) > 1 or wish.filters.allow


@pytest.mark.parametrize("wish", WISHES, ids=range(len(WISHES)))
@pytest.mark.parametrize("attributes", [None, [1.5, 0.0, 1.0], [-1.0, 1.0, 0.0]], ids=["none", "old", "young"])
def test_a_question_gets_one_list(
    wish: Wish, attributes: list[float] | None, client: TestClient, recommender: Recommender
) -> None:
    history = ["i3", "i10", "i2"]
    body = {"history": history, "attributes": attributes, **asked(wish)}
    same(client.post("/v1/recommendations", json=body).json(), recommender.recommend(
        history=history, attributes=attributes, wish=wish))  # fmt: skip


def test_attributes_and_words_alone_get_one_list(client: TestClient, recommender: Recommender) -> None:
    told = client.post("/v1/recommendations", json={"attributes": [1.5, 0.0, 1.0], "k": 30}).json()
    assert told["source"] == "newcomer"
    same(told, recommender.recommend(history=[], attributes=[1.5, 0.0, 1.0], k=30))
    told = client.post("/v1/recommendations", json={"text": "red lamp"}).json()
    assert told["source"] == "newcomer"
    same(told, recommender.recommend(text="red lamp"))
    same(told, recommender.recommend(history=[], wish=Wish(prompt="red lamp")))


def test_attributes_beside_a_history_count(client: TestClient, recommender: Recommender) -> None:
    bodies = ({"history": ["i3", "i10"], "attributes": given} for given in ([9.0, 0.0, 1.0], [-9.0, 1.0, 0.0]))
    old, young = (client.post("/v1/recommendations", json=body).json() for body in bodies)
    assert [item["score"] for item in old["items"]] != [item["score"] for item in young["items"]]


def test_a_wish_filters_varies_and_lists_what_was_seen(recommender: Recommender) -> None:
    history = ["i3", "i10", "i2"]
    order = [one.item_id for one in recommender.recommend(history=history, wish=Wish(30, mask_seen=False))]
    assert len(order) == 30
    tokens = dict(zip(recommender.item_ids.values, recommender.items.attributes, strict=True))
    red = Wish(30, filters=Filters(allow_attributes=frozenset({"colour=red"})))
    found = [one.item_id for one in recommender.recommend(history=history, wish=red)]
    assert found == [item for item in order if "colour=red" in tokens[item] and item not in history]
    varied = [one.item_id for one in recommender.recommend(history=history, wish=Wish(diversity=0.9))]
    plain = [one.item_id for one in recommender.recommend(history=history)]
    assert varied[0] == plain[0]
    assert varied != plain


@pytest.mark.slow
def test_on_the_sample_a_list_is_what_python_says_and_what_evaluate_ranks(tmp_path: Path) -> None:
    settings = {
        "data": "sample",
        "model": {"name": "sasrec", "history": 50, "width": 32, "layers": 1},
        "training": {"epochs": 1, "batch_size": 64, "learning_rate": 2e-3, "precision": "fp32"},
    }
    run = train(validated(RunSettings, settings, ""), tmp_path / "run", Options(device="cpu"))
    python = Recommender.load(run.path)
    cases = python.data.cases("test")
    ranks = ranked(python.model, cases, run.settings.evaluation)
    assert python.live.mask_seen
    users = torch.randperm(len(cases), generator=torch.Generator().manual_seed(0))[:50].tolist()
    found = 0
    store, wide = published(run.path, tmp_path / "store.sqlite", k=50), ServeOptions(limits=Limits(history=5000))
    with serving(store, wide) as client:
        for row in users:
            user = python.data.user_ids.id(int(cases.users[row]))
            told = listed(client, f"/v1/users/{user}/recommendations", k=50)
            assert told["source"] == "cached"
            same(told, python.recommend(user_id=user, k=50))
            for wish in COMEDIES:
                told = listed(client, f"/v1/users/{user}/recommendations", **by_query(wish))
                same(told, python.recommend(user_id=user, wish=wish))
            past = cases.histories.sequence(row).tolist()
            history = python.item_ids.ids(past)
            told = client.post("/v1/recommendations", json={"history": history, **asked(Wish(500))}).json()
            assert told["source"] == "fresh"
            same(told, python.recommend(history=history, k=500))
            target = int(cases.targets[row])
            first = int(ranks.above[row]) + 1
            names, name = ids(told), python.item_ids.id(target)
            assert target not in past
            assert (name in names) == (first <= len(names))
            if name in names:
                found += 1
                assert first <= names.index(name) + 1 <= first + int(ranks.tied[row])
    assert found > 10


def test_evaluate_counts_the_ranks_of_these_lists(run: Path, client: TestClient, recommender: Recommender) -> None:
    whole = Run.open(run)
    cases = recommender.data.cases("test")
    ranks = ranked(whole.recommender.model, cases, whole.settings.evaluation)
    for row in range(len(cases)):
        past, target = cases.histories.sequence(row).tolist(), int(cases.targets[row])
        if target in past:  # the protocol ranks it, a service does not show it again
            continue
        attributes = cases.histories.attributes[row].tolist()
        body = {"history": recommender.item_ids.ids(past), "attributes": attributes, **asked(Wish(30))}
        told = client.post("/v1/recommendations", json=body).json()
        assert told["source"] == "fresh"
        place = ids(told).index(recommender.item_ids.id(target))
        assert int(ranks.above[row]) <= place <= int(ranks.above[row] + ranks.tied[row])
