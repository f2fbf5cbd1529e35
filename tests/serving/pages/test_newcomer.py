"""A newcomer's page: what can be said, what becomes of it, and what is wrong beside its field."""

import json
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from l2rec.serving.pages.newcomer import Trait, spoken, traits_of
from tests.serving.pages.reading import read
from tests.serving.service import desk_of

AGE = "age (0 is the average, 1 a standard deviation above)"


def test_a_sentence_gives_the_list_of_the_api(client: TestClient) -> None:
    page = read(client, "/newcomer?prompt=red+lamp&k=5")
    answer = client.post("/v1/recommendations", json={"prompt": "red lamp", "k": 5}).json()
    assert [" ".join(text.split()) for text in page.texts["title"]] == [item["title"] for item in answer["items"]]
    assert page.said("source") == "newcomer"
    assert read(client, "/newcomer").said("source") == "popular"
    wrong = read(client, "/newcomer?prompt=red&diversity=-1")
    assert wrong.said("#wrong-diversity") == "diversity: -1.0: expected 0 to 1. 0 is the order of the scores."


def test_what_can_be_said_has_the_names_of_the_prepared_data(client: TestClient, tmp_path: Path) -> None:
    manifest = desk_of(client).stage.ready.live.folder.manifest
    told = {"fingerprint": manifest.fingerprint, "user_columns": ["age", "gender=F", "gender=M"]}
    (tmp_path / "manifest.json").write_text(json.dumps(told))
    named = manifest.model_copy(update={"data": str(tmp_path), "attributes": 3})
    assert traits_of(named) == (Trait("trait0", AGE, (0,)), Trait("trait1", "gender", (1, 2), ("F", "M")))
    moved = named.model_copy(update={"fingerprint": "another"})
    assert [trait.label.split(" (")[0] for trait in traits_of(moved)] == [f"attribute {n}" for n in (1, 2, 3)]


TRAITS = (Trait("trait0", "age", (0,)), Trait("trait1", "gender", (1, 2), ("F", "M")))


@pytest.mark.parametrize(
    ("told", "vector", "wrong"),
    [
        ({}, None, {}),
        ({"trait0": ["1.5"], "trait1": ["M"]}, [1.5, 0.0, 1.0], {}),
        (
            {"trait0": ["old"], "trait1": ["F"]},
            [0.0, 1.0, 0.0],
            {"trait0": "age: 'old': expected a number. Correct it."},
        ),
        ({"trait0": ["nan"]}, None, {"trait0": "age: nan: expected -10 to 10. 0 is the average."}),
        ({"trait1": ["X"]}, None, {"trait1": "gender: 'X': not among the values. Choose one of them."}),
    ],
)
def test_what_is_said_becomes_a_vector(
    told: dict[str, list[str]], vector: list[float] | None, wrong: dict[str, str]
) -> None:
    said = spoken(told, TRAITS, 3)
    assert (said.vector, said.wrong) == (vector, wrong)
