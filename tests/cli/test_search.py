"""`l2rec search`: a table of trials, a file to train from, and budgets that `compare` holds against each other."""

import json
from pathlib import Path

import pytest

from l2rec.config import to_toml
from tests.cli.conftest import Call
from tests.trained import World


@pytest.fixture
def config(world: World, tmp_path: Path) -> Path:
    path = tmp_path / "floor.toml"
    path.write_text(to_toml({"data": str(world.prepared), "model": {"name": "ease"}}), encoding="utf-8")
    return path


def test_the_trials_go_to_stdout_the_best_first_and_words_to_stderr(config: Path, tmp_path: Path, call: Call) -> None:
    out = tmp_path / "found"
    said = call("search", config, "--trials", "3", "--out", out)
    assert said.code == 0, said.err
    head, *rows = said.out.splitlines()
    assert head.split()[:4] == ["trial", "state", "ndcg@10", "seconds"]
    assert "ridge" in head.split()
    values = [row.split()[2] for row in rows]
    assert values == sorted(values, reverse=True)
    assert [row.split()[3] == "best" for row in rows] == [True, False, False]
    assert len([line for line in said.err.splitlines() if line.startswith("trial ")]) == 3
    assert f"Next: l2rec train {out / 'best.toml'}" in said.err
    again = call("search", config, "--trials", "3", "--out", out, "--resume", "--json")
    assert again.json() == json.loads((out / "search.json").read_text())
    assert len(again.json()["trials"]) == 3


def test_rows_searched_with_unequal_budgets_are_refused_unless_labelled(
    config: Path, tmp_path: Path, call: Call
) -> None:
    for name, budget in (("one", ("--trials", "1")), ("same", ("--trials", "1")), ("more", ("--trials", "2"))):
        assert call("search", config, *budget, "--out", tmp_path / f"search-{name}").code == 0
        run = tmp_path / name
        assert call("train", tmp_path / f"search-{name}" / "best.toml", "--out", run).code == 0
        assert call("evaluate", run).code == 0
    report = ("--out", tmp_path / "report.html")
    assert call("compare", tmp_path / "one", tmp_path / "same", *report).code == 0
    said = call("compare", tmp_path / "one", tmp_path / "more", *report)
    assert said.code == 2
    assert "tuning: 1 trial (one) and 2 trials (more): unequal budgets, expected one for all rows." in said.err
    assert call("compare", tmp_path / "one", tmp_path / "more", *report, "--labelled").code == 0


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "--trials, --seconds: neither given. Pass one or both, the same for every model compared."),
        (["--trials", "1", "--set", "model.name=popularity"], "search.space: empty: popularity declares none."),
        (["--trials", "1", "--set", "model.rigde=1"], 'model.rigde: no such setting. Did you mean "ridge"?'),
    ],
)
def test_a_wrong_search_is_one_line(words: list[str], message: str, config: Path, tmp_path: Path, call: Call) -> None:
    said = call("search", config, "--out", tmp_path / "found", *words)
    assert said.code == 2
    assert message in said.err
    assert said.err.count("\n") == 1
    assert not (tmp_path / "found").exists()
