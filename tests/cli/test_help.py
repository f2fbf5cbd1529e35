"""The generated page: every command, every setting, and a gate that notices an old one."""

import shutil
from pathlib import Path

import pytest

from l2rec.cli import help as pages
from l2rec.cli import readme, show
from l2rec.cli.app import app
from l2rec.evaluation.leaderboard import bounds, number, signed
from l2rec.models import names
from l2rec.run import Run
from l2rec.run.tables import compared
from tests.trained import World


@pytest.fixture(scope="module")
def page() -> str:
    return pages.page()


def test_the_page_has_every_command_and_every_model(page: str) -> None:
    for command in app.registered_commands:
        assert f"### l2rec {command.name}\n" in page
    assert "### l2rec keys create\n" in page
    assert ["keys", "revoke"] in list(pages.every_command())
    for name in names():
        assert f'### [model] name = "{name}"\n' in page
    assert "### [tuning]\n" in page
    assert "| `learning_rate` | `float` | `0.001` | Peak learning rate of AdamW. |" in page
    assert page == pages.page()


def test_an_old_page_is_noticed(
    page: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pages, "page", lambda: page)
    path = tmp_path / "help.md"
    assert pages.main([str(path), "--check"]) == 1
    assert pages.main([str(path)]) == 0
    assert pages.main(["--check", str(path)]) == 0
    path.write_text(page + "old\n", encoding="utf-8")
    assert pages.main(["--check", str(path)]) == 1
    assert capsys.readouterr().err.endswith("help.md: not up to date. Run: make docs\n")


def test_a_table_of_runs_is_put_between_its_marks(world: World, tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("above\n<!-- demo:start -->\nold\n<!-- demo:end -->\nbelow\n", encoding="utf-8")
    words = [str(page), "demo", str(world.popularity), str(world.sasrec)]
    assert readme.main(words) == readme.main(words) == 0
    lines = page.read_text(encoding="utf-8").splitlines()
    assert lines[:2] == ["above", "<!-- demo:start -->"]
    assert lines[-2:] == ["<!-- demo:end -->", "below"]
    assert "old" not in lines
    assert "Tuning budget of every row: not said." in lines
    assert lines[2].startswith("log, test: loo/full/unseen/expected-ties")
    assert [line.split("|")[1].strip() for line in lines if line.startswith("|")] == [
        "model",
        "---",
        "sasrec",
        "popularity",
    ]


def test_a_page_without_marks_is_left_alone(world: World, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = tmp_path / "page.md"
    page.write_text("nothing\n", encoding="utf-8")
    assert readme.main([str(page), "demo", str(world.popularity)]) == 2
    assert "<!-- demo:start --> ... <!-- demo:end -->: expected once in the page" in capsys.readouterr().err
    assert page.read_text(encoding="utf-8") == "nothing\n"
    with pytest.raises(SystemExit, match="2"):
        readme.main([str(page)])
    assert "the following arguments are required: mark, runs" in capsys.readouterr().err


def test_a_table_in_a_pipe_is_plain_and_never_cut(capsys: pytest.CaptureFixture[str]) -> None:
    show.show_table(("name", "value"), [("a [b] " + "c" * 200, "1")])
    head, row = capsys.readouterr().out.splitlines()
    assert row.split() == ["a", "[b]", "c" * 200, "1"]
    assert head.startswith("name")
    assert head.endswith("value")


def test_numbers_stand_on_the_right_and_words_on_the_left(capsys: pytest.CaptureFixture[str]) -> None:
    show.show_table(("a", "b", "c"), [("x", "1", "y"), ("xx", "10", "yy")], words=(0, -1))
    assert capsys.readouterr().out.splitlines() == ["a    b  c", "x    1  y", "xx  10  yy"]


def test_every_row_is_put_against_one(world: World, tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("<!-- rivals:start -->\n<!-- rivals:end -->\n", encoding="utf-8")
    third = shutil.copytree(world.popularity, tmp_path / "third")
    runs = [world.popularity, world.sasrec, third]
    assert readme.main([str(page), "rivals", "--against", "third", *map(str, runs)]) == 0
    table = [line.split("|")[1:-1] for line in page.read_text(encoding="utf-8").splitlines() if line.startswith("|")]
    cells = [[cell.strip() for cell in row] for row in table[2:]]
    against_the_baseline, of_others = compared(runs, against=["third"]).contrasts[1:]
    assert (against_the_baseline.label, against_the_baseline.against) == ("third", "sasrec")
    assert [row[:2] for row in cells] == [["sasrec", "third"], ["popularity", "third"]]
    assert cells[0][2] == signed(-against_the_baseline.difference)
    assert cells[0][3] == f"[{signed(-against_the_baseline.high)}, {signed(-against_the_baseline.low)}]"
    assert cells[1][2] == signed(of_others.difference)
    assert "Tuning budget of every row: not said." in page.read_text(encoding="utf-8")


def test_slices_are_a_column_each_and_empty_ones_none(world: World, tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("<!-- slices:start -->\n<!-- slices:end -->\n", encoding="utf-8")
    assert readme.main([str(page), "slices", "--slices", str(world.popularity), str(world.sasrec)]) == 0
    table = [line.split("|")[1:-1] for line in page.read_text(encoding="utf-8").splitlines() if line.startswith("|")]
    slices = Run.open(world.popularity).measured().results.slices
    there = [f"{name}, {found.cases:,} cases" for name, found in slices.items() if found.cases]
    assert [cell.strip() for cell in table[0]] == ["model", *there]
    assert len(there) < len(slices)
    rows = {row[0].strip(): [cell.strip() for cell in row[1:]] for row in table[2:]}
    expected = [found.metrics["ndcg@10"] for found in slices.values() if found.cases]
    assert rows["popularity"] == [f"{number(each.mean)} {bounds(each)}" for each in expected]
    assert set(rows) == {"popularity", "sasrec"}


def test_what_lists_are_like_beyond_being_right_is_a_row_a_model(world: World, tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("<!-- lists:start -->\n<!-- lists:end -->\n", encoding="utf-8")
    assert readme.main([str(page), "lists", "--beyond", str(world.popularity), str(world.sasrec)]) == 0
    table = [line.split("|")[1:-1] for line in page.read_text(encoding="utf-8").splitlines() if line.startswith("|")]
    assert [cell.strip() for cell in table[0][:3]] == ["model", "coverage@10", "gini@10"]
    rows = {row[0].strip(): [cell.strip() for cell in row[1:]] for row in table[2:]}
    found = Run.open(world.popularity).measured().results.beyond
    assert rows["popularity"][0] == f"{found['coverage@10']:.3f}"
    assert set(rows) == {"popularity", "sasrec"}
