"""`bench/bands.py`: bands are those of what each run was trained on, and one row is tested against all others."""

import json
import runpy
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from l2rec.config import TrainingSettings
from l2rec.data.prepared import load
from l2rec.data.share import shared
from l2rec.run import Run, train
from tests.run.test_share import with_less, with_share
from tests.trained import World, settings

PROGRAM = Path(__file__).parents[2] / "bench" / "bands.py"
MAIN = runpy.run_path(str(PROGRAM))["main"]
SHARE = 0.3


@pytest.fixture
def runs(world: World, tmp_path: Path) -> Path:
    """Two floors with two seeds of three tenths of the users, one with one seed, one of all, one held back from."""
    for name, seeds in {"popularity": (0, 1), "itemknn": (0, 1), "transition": (1,)}.items():
        for seed in seeds:
            chosen = with_share(settings(world, {"name": name}, seed), SHARE)
            train(chosen, tmp_path / "runs" / name / f"seed-{seed}").evaluate()
    train(settings(world, {"name": "ease"}), tmp_path / "runs" / "ease").evaluate()
    cut = with_less(settings(world, {"name": "itemknn"}), TrainingSettings(share=SHARE, held_back=1))
    train(cut, tmp_path / "runs" / "cut").evaluate()
    return tmp_path / "runs"


def found(world: World, runs: Path, tmp_path: Path) -> dict[tuple[str, str], dict[str, Any]]:
    out = tmp_path / "bands.json"
    given = [str(runs), "--data", str(world.prepared), "--against", "itemknn", "--out", str(out)]
    assert MAIN(given) == 0
    told = json.loads(out.read_text(encoding="utf-8"))
    assert told["share"] == SHARE
    return {(cell["row"], cell["band"]): cell for cell in told["cells"]}


def test_an_item_is_new_where_no_chosen_user_has_it(
    world: World, runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cells = found(world, runs, tmp_path)
    data = load(world.prepared)
    targets = data.cases("test").targets.numpy()
    new = np.stack([shared(data, SHARE, seed).items.counts.numpy()[targets] == 0 for seed in (0, 1)])
    assert 0 < new.sum() < new.size
    assert (new[0] != new[1]).any(), "another seed has other new items"
    values = np.stack([value(runs / "itemknn" / f"seed-{seed}") for seed in (0, 1)])
    expected = [values[new[:, case], case].mean() for case in range(len(targets)) if new[:, case].any()]
    cell = cells["itemknn", "new"]
    assert (cell["cases"], cell["seeds"], cell["difference"]) == (len(expected), 2, None)
    assert cell["mean"] == pytest.approx(np.mean(expected))
    assert cell["low"] <= cell["mean"] <= cell["high"]
    printed = capsys.readouterr().out
    assert "| new items | seeds | cases | ndcg@10 |" in printed
    assert printed.endswith("Trained on another share or without the last events, so without a row here: cut, ease.\n")


def test_a_page_gets_new_and_tail_items(world: World, runs: Path, tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("before\n<!-- here:start -->\nold\n<!-- here:end -->\nafter\n", encoding="utf-8")
    given = [str(runs), "--data", str(world.prepared), "--against", "itemknn", "--page", str(page), "--mark", "here"]
    assert MAIN(given) == 0
    text = page.read_text(encoding="utf-8")
    assert text.startswith("before\n<!-- here:start -->\n| new items | seeds |")
    assert text.endswith("<!-- here:end -->\nafter\n")
    assert [line.split("|")[1].strip() for line in text.splitlines() if "seeds" in line] == ["new items", "tail items"]
    assert MAIN([*given[:-1], "there"]) == 2


def test_a_row_is_compared_over_the_seeds_that_both_have(world: World, runs: Path, tmp_path: Path) -> None:
    cells = found(world, runs, tmp_path)
    data = load(world.prepared)
    new = shared(data, SHARE, 1).items.counts.numpy()[data.cases("test").targets.numpy()] == 0
    gain = value(runs / "itemknn" / "seed-1")[new] - value(runs / "transition" / "seed-1")[new]
    cell = cells["transition", "new"]
    assert cell["difference"][0] == pytest.approx(gain.mean())
    assert cell["cases"] == new.sum()
    tested = [c for c in cells.values() if c["p"] is not None]
    assert len({c["row"] for c in tested}) == 2
    assert all(0 < c["p"] <= 1 and c["verdict"] for c in tested)


@pytest.mark.parametrize(
    ("folder", "against", "told"),
    [
        ("runs", "hstu", "no row is called hstu. It has ease, itemknn, popularity, transition."),
        ("none", "itemknn", "no such folder"),
    ],
)
def test_what_is_not_there_is_said(
    world: World, runs: Path, folder: str, against: str, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert MAIN([str(runs.parent / folder), "--data", str(world.prepared), "--against", against]) == 2
    assert told in capsys.readouterr().err


def value(run: Path) -> np.ndarray:
    """The metric of every case, in their order."""
    frame: pl.DataFrame = Run.open(run).measured().frame
    return frame.sort("case")["ndcg@10"].to_numpy()
