"""`l2rec prepare` and `l2rec diagnose`: every setting has a flag, and complaints name flags."""

import inspect
import json
from pathlib import Path

import pytest

from l2rec.cli.prepare import LISTS, prepare
from l2rec.data.columns import Columns
from l2rec.data.prepared import load
from l2rec.data.splits import SplitSettings
from tests.cli.conftest import Call
from tests.trained import World


def test_every_setting_of_columns_and_split_has_its_flag() -> None:
    flags = set(inspect.signature(prepare).parameters)
    assert set(Columns.model_fields) <= flags
    assert set(SplitSettings.model_fields) - {"kind"} <= flags
    assert "split" in flags
    assert {n for n, f in Columns.model_fields.items() if "tuple" in str(f.annotation)} == set(LISTS)


def test_a_log_is_prepared_and_told_of(world: World, tmp_path: Path, call: Call) -> None:
    said = call("prepare", world.log, "--out", tmp_path / "out")
    assert said.code == 0
    assert said.err == ""
    assert "40 users (0 new), 30 items (1 new)" in said.out
    assert load(tmp_path / "out").manifest.fingerprint == load(world.prepared).manifest.fingerprint


def test_a_catalogue_that_does_not_match_is_visible(world: World, tmp_path: Path, call: Call) -> None:
    assert "items without" not in call("prepare", world.log, "--out", tmp_path / "whole").out
    (tmp_path / "log.csv").write_text("user_id,item_id,timestamp\na,x,1\na,y,2\n")
    (tmp_path / "items.csv").write_text("item_id,title\nX,Lamp\n")
    said = call("prepare", tmp_path / "log.csv", "--items-file", tmp_path / "items.csv", "--out", tmp_path / "out")
    assert "items without a row in the items table: 2 of 3\nitems without a text: 2 of 3" in said.out


def test_flags_reach_columns_and_split(world: World, tmp_path: Path, call: Call) -> None:
    rows = (world.log / "interactions.csv").read_text().replace("user_id,item_id,timestamp", "who,what,when")
    (tmp_path / "clicks.csv").write_text(rows + "u1,,3\n")
    words = ["--user", "who", "--item", "what", "--time", "when", "--k-core", 2, "--seed", 7, "--drop-bad-rows"]
    items = ["--items-file", world.log / "items.csv", "--text", "colour,thing", "--title", "title"]
    said = call("prepare", tmp_path / "clicks.csv", "--out", tmp_path / "out", *words, *items, "--json")
    assert said.code == 0, said.err
    told = said.json()
    assert told["columns"]["user"] == "who"
    assert told["columns"]["text"] == ["colour", "thing"]
    assert told["split"]["k_core"] == 2
    assert told["split"]["seed"] == 7
    assert told["counts"]["bad_rows"] == 1
    again = call("prepare", tmp_path / "clicks.csv", "--out", tmp_path / "b", *words, *items)
    assert "left out: 1 bad rows" in again.out


def test_a_temporal_split_is_asked_for_by_name(world: World, tmp_path: Path, call: Call) -> None:
    out = tmp_path / "out"
    said = call("prepare", world.log, "--out", out, "--split", "temporal", "--test-share", 0.2, "--cases", "all")
    assert said.code == 0, said.err
    assert load(out).split_name == "temporal-all"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--split", "random"], "--split: 'random': input should be 'loo' or 'temporal'. Pass another --split."),
        (["--k-core", "-1"], "--k-core: -1: input should be greater than or equal to 0. Pass another --k-core."),
        (["--user", "who"], 'no column "who"'),
        (["--test-from", "2020-01-01"], "a loo split has no cut"),
    ],
)
def test_a_wrong_flag_is_one_line_that_names_it(
    words: list[str], message: str, world: World, tmp_path: Path, call: Call
) -> None:
    said = call("prepare", world.log, "--out", tmp_path / "out", *words)
    assert said.code == 2
    assert message in said.err
    assert said.err.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_prepared_data_are_replaced_only_by_force(world: World, tmp_path: Path, call: Call) -> None:
    assert call("prepare", world.log, "--out", tmp_path / "out").code == 0
    said = call("prepare", world.log, "--out", tmp_path / "out")
    assert said.code == 2
    assert "already prepared. Pass --force" in said.err
    assert call("prepare", world.log, "--out", tmp_path / "out", "--force").code == 0


def test_the_diagnosis_is_told_in_words_and_saved(world: World, tmp_path: Path, call: Call) -> None:
    said = call("diagnose", world.prepared, "--out", tmp_path)
    assert said.code == 0
    assert "On the validation cases the transition heuristic reaches" in said.out
    assert "Warning: " in said.out
    kept = json.loads((tmp_path / "diagnosis.json").read_text())
    assert call("diagnose", world.prepared, "--out", tmp_path, "--json").json() == kept


def test_the_diagnosis_of_nothing_is_refused(tmp_path: Path, call: Call) -> None:
    assert "not a prepared folder" in call("diagnose", tmp_path).err
