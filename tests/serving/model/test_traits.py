"""Attributes of a newcomer: a vector and words, told with or without the run's data, over HTTP and from Python."""

import json
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from l2rec.errors import ModelError, SettingError
from l2rec.serving.answering.desk import DEAF
from l2rec.serving.folder import RunFolder
from l2rec.serving.manifest import Manifest
from l2rec.serving.model.live import Ask, Live
from l2rec.serving.model.steering import standard
from l2rec.serving.model.traits import (
    STRANGE,
    WORDLESS,
    Attributes,
    Told,
    check_attributes,
    prompt_of,
    told,
    user_columns,
    vector_of,
)
from l2rec.serving.recommender import Recommender
from l2rec.serving.records import LiveItem
from l2rec.serving.wishes import Limits, Wish
from tests.models.conftest import backbone  # noqa: F401  (the fixture)
from tests.serving.model import runs
from tests.serving.service import ids, published, serving
from tests.trained import World

COLUMNS = ["age", "gender=F", "gender=M", "favourite_genre=Film Noir"]
GEMS = [
    LiveItem(item_id=f"gem{n}", title=f"odd piece {n}", text=f"odd piece {n}", attributes=("thing=gem",))
    for n in range(3)
]


@pytest.fixture
def manifest(world: World, tmp_path: Path) -> Manifest:
    """A run whose data knows of its users' age, gender and genre."""
    found = RunFolder.open(world.popularity).manifest
    said = {"fingerprint": found.fingerprint, "user_columns": COLUMNS}
    (tmp_path / "manifest.json").write_text(json.dumps(said))
    return found.model_copy(update={"data": str(tmp_path), "attributes": len(COLUMNS)})


@pytest.mark.parametrize(
    ("attributes", "expected"),
    [
        (None, Told()),
        ([], Told(())),
        ([1.5, 0.0, 1.0, 1.0], Told((1.5, 0.0, 1.0, 1.0), "gender M, favourite genre Film Noir")),
        ([1.5, 0.0, 0.0, 0.0], Told((1.5, 0.0, 0.0, 0.0))),
        ({"gender": "F"}, Told((0.0, 1.0, 0.0, 0.0), "gender F")),
        ({"gender": "M", "age": "25"}, Told((0.0, 0.0, 1.0, 0.0), "gender M, age 25", ("age",))),
        ({"genre": ["Horror", "Comedy"]}, Told(None, "genre Horror, genre Comedy", ("genre",))),
        ({"war_films": "No", "horror": "yes"}, Told(None, "no war films, horror", ("war_films", "horror"))),
        ({}, Told()),
    ],
)
def test_attributes_come_to_a_vector_and_words(
    attributes: Attributes | None, expected: Told, manifest: Manifest
) -> None:
    assert told(attributes, manifest) == expected


def test_names_are_those_of_the_data_that_the_run_was_trained_on(manifest: Manifest, tmp_path: Path) -> None:
    assert user_columns(manifest) == tuple(COLUMNS)
    for update in ({"fingerprint": "another"}, {"attributes": 3}, {"data": str(tmp_path / "gone")}):
        moved = manifest.model_copy(update=update)
        assert user_columns(moved) == ()
        assert told([0.0, 1.0, 0.0, 0.0], moved) == Told((0.0, 1.0, 0.0, 0.0))
        assert told({"gender": "F"}, moved) == Told(None, "gender F", ("gender",))


def test_what_the_model_does_not_hear_is_noted() -> None:
    said = Told((1.0,), "gender F")
    assert said.unheard(True, False) == said.unheard(True, True) == said.unheard(False, False) == ()
    assert Told((1.0,)).unheard(True, False) == (WORDLESS,)
    assert Told((0.0,)).unheard(True, False) == Told((1.0,)).unheard(True, True) == ()
    assert Told(None, "genre Horror", ("genre",)).unheard(True, True) == (STRANGE,)


def test_words_of_a_user_stand_beside_what_is_wanted_and_are_marked_where_they_are_all() -> None:
    said, strange = Told((1.0,), "gender F"), Told(None, "genre Horror", ("genre",))
    assert prompt_of(said, True) == ("gender F", True)
    assert prompt_of(said, True, "a lamp", None) == ("a lamp. gender F", False)
    assert prompt_of(said, False) == (None, False)
    assert prompt_of(strange, False) == ("genre Horror", True)
    assert prompt_of(Told(), True) == (None, False)
    assert prompt_of(Told(), True, "") == ("", False)


def test_a_vector_is_as_long_as_the_run_s() -> None:
    assert vector_of(Told(), 2) is vector_of(Told(()), 0) is None
    vector = vector_of(Told((1.0, 0.5)), 2)
    assert vector is not None
    assert vector.tolist() == [1.0, 0.5]
    with pytest.raises(SettingError, match=r"^attributes: 1 values: the run has 2\. Send that many, or none\.$"):
        vector_of(Told((1.0,)), 2)


@pytest.mark.parametrize("values", [{"": "x"}, {"a": ""}, {"a": ["x"] * 5}, {"a": "x" * 40}, {"a": "\ud800"}])
def test_values_by_name_have_limits(values: dict[str, str | list[str]]) -> None:
    check_attributes({"genre": ["Horror", "Comedy"], "age": "25"})
    with pytest.raises(SettingError, match=r"^attributes: "):
        check_attributes(values, Limits(ids=4, text=30))


def test_what_is_said_of_a_user_leans_and_is_never_the_whole_question(live: Live) -> None:
    plain, about, wanted = live.scores([Ask(), Ask(prompt="red lamp", about=True), Ask(prompt="red lamp")])
    read = live.model.described(("red lamp",)) @ live.item_vectors().T  # type: ignore[operator, union-attr]
    assert about.tolist() == pytest.approx((standard(plain) + standard(read[0])).tolist(), abs=1e-4)
    assert about.tolist() != pytest.approx(wanted.tolist(), abs=1e-2)


def asked(client: TestClient, **body: object) -> tuple[list[str], str, list[str]]:
    answer = client.post("/v1/recommendations", json={"k": 3, "deadline_ms": 30_000, **body})
    assert answer.status_code == 200, answer.text
    given = answer.json()
    return ids(given), given["source"], given["notes"]


def test_attributes_without_a_history_steer_over_http_as_in_python(
    world: World,
    backbone: Path,  # noqa: F811
    tmp_path: Path,
) -> None:
    run = runs.l2rec(world, backbone).folder.path
    python = Recommender.load(run)
    python.live.apply(GEMS)
    gems, lamps = {"thing": "gem"}, {"wants": "a red lamp"}
    with serving(published(run, tmp_path / "store.sqlite")) as client:
        for item in GEMS:
            client.put(f"/v1/items/{item.item_id}", json=item.model_dump(include={"title", "text", "attributes"}))
        assert asked(client)[1] == "popular"
        assert {*asked(client, attributes=gems)[0]} == {"gem0", "gem1", "gem2"}
        for attributes in (gems, lamps):
            here = [one.item_id for one in python.recommend(history=[], attributes=attributes, k=3)]
            assert asked(client, attributes=attributes) == (here, "newcomer", [])
            with_text = [one.item_id for one in python.recommend(text="green chair", attributes=attributes, k=3)]
            assert asked(client, attributes=attributes, text="green chair") == (with_text, "newcomer", [])
        plain = asked(client, history=["i3"])
        assert asked(client, history=["i3"], attributes=gems) == (plain[0], "fresh", [STRANGE])
        assert client.post("/v1/recommendations", json={"attributes": {"thing": ""}}).status_code == 422
    with pytest.raises(
        SettingError, match=r"^attributes: thing: the run knows no such value\. Leave it out, or say it "
    ):
        python.recommend(history=["i3"], attributes=gems)


def test_a_model_that_reads_nothing_says_so(world: World, tmp_path: Path) -> None:
    run = world.sasrec / "seed-0"
    with serving(published(run, tmp_path / "store.sqlite")) as client:
        assert asked(client, attributes={"genre": "Horror"})[1:] == ("popular", [DEAF])
    with pytest.raises(ModelError, match=r"sasrec cannot read text"):
        Recommender.load(run).recommend(history=[], attributes={"genre": "Horror"}, wish=Wish(3))
