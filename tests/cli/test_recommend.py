"""`l2rec recommend`, `models` and `demo`: lists with titles, settings with meanings, one table."""

import json
import shutil
from pathlib import Path

import polars as pl

from l2rec.models import names
from l2rec.run import Run
from l2rec.serving.recommender import Recommender
from l2rec.serving.wishes import Filters, Wish
from tests.cli.conftest import Call
from tests.models.conftest import backbone  # noqa: F401  (the fixture)
from tests.serving.model import runs
from tests.trained import World, pinned_again, settings, write_config

L2REC = {"name": "l2rec", "views": "behavioural", "history": 4, "rank": 2, "projector_width": 8}


def test_a_list_has_places_ids_titles_and_scores(world: World, call: Call) -> None:
    said = call("recommend", world.sasrec / "seed-0", "--history", "i3, i10", "-k", 3)
    assert said.code == 0, said.err
    lines = said.out.splitlines()
    assert lines[0].split() == ["item", "title", "score"]
    assert [line.split()[0] for line in lines[1:]] == ["1", "2", "3"]
    told = call("recommend", world.sasrec / "seed-0", "--history", "i3,i10", "-k", 3, "--json").json()
    assert [one["item_id"] for one in told] == [line.split()[1] for line in lines[1:]]


def test_a_user_of_the_data_is_known_by_name(world: World, call: Call) -> None:
    assert len(call("recommend", world.popularity, "--user", "u3", "--json").json()) == 10
    assert 'user id "u3x": not among the 40 known' in call("recommend", world.popularity, "--user", "u3x").err


def test_exactly_one_question_is_asked(world: World, call: Call) -> None:
    for words in ([], ["--user", "u3", "--text", "lamp"]):
        said = call("recommend", world.popularity, *words)
        assert said.code == 2
        assert "pass exactly one of --user ID, --history ID,ID and --text WORDS" in said.err
    assert "popularity cannot read text" in call("recommend", world.popularity, "--text", "lamp").err


def test_a_prompt_and_filters_are_those_of_the_recommender(world: World, backbone: Path, call: Call) -> None:  # noqa: F811
    run = runs.l2rec(world, backbone).folder.path
    words, able = "red things, no lamps", Recommender.load(run)
    for asked, known in (
        (["--user", "u5"], {"user_id": "u5"}),
        (["--history", "i3,i10"], {"history": ["i3", "i10"]}),
        ([], {"history": []}),
    ):
        plain = call("recommend", run, *(asked or ["--history", ""]), "--json").json()
        filters = Filters(deny=frozenset({"i1", plain[0]["item_id"]}))
        denied = ["--deny", "i1", "--deny", plain[0]["item_id"]]
        found = call("recommend", run, *asked, "--prompt", words, *denied, "-k", 7, "--json").json()
        expected = able.recommend(**known, wish=Wish(7, filters=filters, prompt=words))  # type: ignore[arg-type]
        assert [(one["item_id"], one["score"]) for one in found] == [(one.item_id, one.score) for one in expected]
        assert [one["item_id"] for one in found] != [one["item_id"] for one in plain[:7]]
        assert expected == Run.open(run).recommend(**known, wish=Wish(7, filters=filters, prompt=words))  # type: ignore[arg-type]


def test_only_what_passes_the_filters_is_listed(world: World, tmp_path: Path, call: Call) -> None:
    shutil.copytree(world.popularity, tmp_path / "run")
    items = pl.read_parquet(tmp_path / "run/ids/items.parquet")
    colours = [[f"colour={title.split()[0]}", f"thing={title.split()[1]}"] for title in items["title"]]
    items.with_columns(attributes=pl.Series(colours)).write_parquet(tmp_path / "run/ids/items.parquet")
    asked = ("recommend", pinned_again(tmp_path / "run"), "--history", "i9", "-k", 30, "--json")
    told = call(*asked, "--allow", "i1", "--allow", "i4", "--allow", "i9").json()
    assert {one["item_id"] for one in told} == {"i1", "i4"}
    told = call(*asked, "--allow-attribute", "colour=red", "--allow-attribute", "colour=blue").json()
    assert {one["title"].split()[0] for one in told} == {"red", "blue"}
    fewer = call(*asked, "--allow-attribute", "colour=red", "--deny-attribute", "thing=lamp").json()
    assert [one for one in told if one["title"].startswith("red") and " lamp " not in one["title"]] == fewer
    assert 0 < len(fewer) < len([one for one in told if one["title"].startswith("red")])


def test_a_wish_that_cannot_be_met_is_refused(world: World, call: Call) -> None:
    for words, message in (
        (("--user", "u3", "--deny-attribute", "red"), 'deny_attributes: "red": no "="'),
        (("--prompt", "a red lamp"), "popularity cannot read text"),
        (("--text", "a lamp", "--prompt", "red"), "pass a prompt with a user or a history"),
    ):
        said = call("recommend", world.popularity, *words)
        assert (said.code, said.out) == (2, "")
        assert message in said.err


def test_every_model_is_listed_with_its_sentence(call: Call) -> None:
    told = {row["name"]: row["summary"] for row in call("models", "--json").json()}
    assert list(told) == names()
    assert all(len(summary.split()) > 2 for summary in told.values())
    assert "popularity" in call("models").out


def test_every_setting_of_a_model_says_what_it_is(call: Call) -> None:
    told = {row["setting"]: row for row in call("models", "sasrec", "--json").json()}
    assert told["width"] == {"setting": "width", "type": "int", "default": 128, "meaning": told["width"]["meaning"]}
    assert all(row["meaning"] for row in told.values())
    assert "'full', 'sampled'" in told["loss"]["type"]
    assert 'no such model. Did you mean "sasrec"?' in call("models", "sasrek").err


def test_the_demonstration_prints_table_lists_and_an_honest_sentence(world: World, tmp_path: Path, call: Call) -> None:
    (tmp_path / "configs").mkdir()
    write_config(tmp_path / "configs" / "popularity.toml", settings(world, {"name": "popularity"}))
    little = settings(world, L2REC)
    short = little.model_copy(update={"training": little.training.model_copy(update={"epochs": 1})})
    write_config(tmp_path / "configs" / "l2rec.toml", short)
    said = call("demo", "--configs", tmp_path / "configs", "--out", tmp_path / "out")
    assert said.code == 0, said.err
    assert said.out.count("What l2rec recommends:") == 3
    assert said.out.count("What the user chose next:") == 3
    assert "l2rec is " in said.out
    assert "carries no claim about L2Rec" in said.out
    assert (tmp_path / "out" / "report.html").is_file()
    assert len(json.loads((tmp_path / "out" / "l2rec" / "manifest.json").read_text())["backbone"]) == 64
    assert "2/2 l2rec: NDCG@10" in said.err
