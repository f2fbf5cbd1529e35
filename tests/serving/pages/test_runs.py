"""The page of runs: which folders stand in it, that it is drawn anew after an evaluation, and what it lets out."""

import re
import shutil
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from l2rec.errors import RunError
from l2rec.serving.pages.board import board, folders, plain
from tests.serving.pages.reading import Page, read
from tests.serving.service import published, serving
from tests.trained import World


def test_the_neighbours_of_a_run_with_seeds_are_the_other_models(world: World) -> None:
    expected = sorted(p.resolve() for p in (world.popularity, world.sasrec / "seed-0", world.sasrec / "seed-1"))
    assert folders(world.sasrec / "seed-0") == folders(world.popularity) == expected


def test_a_page_shows_rows_intervals_slices_and_curves(world: World, tmp_path: Path) -> None:
    with serving(published(world.sasrec / "seed-0", tmp_path / "store.sqlite")) as client:
        page = read(client, "/runs")
        rows = [text for text in page.texts["<th>"] if text in ("sasrec", "popularity")]
        assert rows[:2] == ["sasrec", "popularity"] or rows[:2] == ["popularity", "sasrec"]
        labels = " ".join(told.get("aria-label", "") for _, told in page.elements)
        assert "ndcg@10 with 95 % intervals: " in labels
        assert "training loss over epochs: sasrec, seed 0 from " in labels
        html = client.get("/runs").text
        assert not re.search(r"<style|\sstyle=|xlink|(?:src|href)=\"https?:", html)
        assert str(tmp_path) not in html


def test_a_run_that_nobody_evaluated_says_so(client: TestClient) -> None:
    assert "was evaluated. Evaluate it: l2rec evaluate RUN." in read(client, "/runs").said("card")


def test_a_damaged_neighbour_is_left_out_and_named(world: World, tmp_path: Path) -> None:
    shutil.copytree(world.popularity, tmp_path / "popularity")
    shutil.copytree(world.sasrec / "seed-0", tmp_path / "broken")
    (tmp_path / "broken" / "results.json").write_text("{")
    found = board(folders(tmp_path / "popularity"))
    assert found.left_out == ("broken: its results are damaged. Evaluate it again: l2rec evaluate --again.",)
    assert [row[0] for row in found.table.rows] == ["popularity"]
    with pytest.raises(RunError, match="expected at least one"):
        board([tmp_path / "broken"])


def test_a_chart_without_inline_style_looks_the_same() -> None:
    style = "font: 9px 'A B'; text-anchor: middle"
    svg = f'<svg><style>*{{a: b}}</style><path style="fill: none; stroke: var(--s0)"/><text style="{style}"/></svg>'
    expected = '<svg><path fill="none" stroke="var(--s0)"/><text font-size="9px" text-anchor="middle"/></svg>'
    assert str(plain(svg)) == expected
    Page(expected)
