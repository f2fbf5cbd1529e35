"""`l2rec ablate`: lists, trains, tabulates."""

from pathlib import Path

import pytest

from tests.cli.conftest import Call
from tests.trained import SASREC, World, settings, write_config


@pytest.fixture
def config(world: World, tmp_path: Path) -> Path:
    """The settings of a little SASRec with the third signal."""
    return write_config(tmp_path / "little.toml", settings(world, SASREC | {"transition_weight": 1.0}))


def test_a_dry_run_lists_rows_and_writes_nothing(config: Path, tmp_path: Path, call: Call) -> None:
    said = call("ablate", config, "--dry-run", "--out", tmp_path / "out", "--set", "model.transition_weight=0")
    assert said.code == 0, said.err
    assert [line.split()[0] for line in said.out.splitlines()] == ["row", "full", "share-10", "share-30"]
    assert "100.0%  training.share=0.1" in said.out
    assert said.err == "no-third-signal: no row: the full model is like this already.\n"
    assert not (tmp_path / "out").exists()


def test_the_table_goes_to_stdout_with_a_sentence_a_part(config: Path, tmp_path: Path, call: Call) -> None:
    words = ("ablate", config, "--only", "share-10", "--set", "training.epochs=1", "--out", tmp_path / "out")
    said = call(*words, "--device", "cpu")
    assert said.code == 0, said.err
    lines = said.out.splitlines()
    assert lines[0].startswith("validation, loo/full/unseen/expected-ties/@5,10,20: each row against the full model")
    assert [line.split()[0] for line in lines[1:4]] == ["row", "full", "share-10"]
    assert lines[5].startswith("100 % of the training users, against 10 %: ")
    assert said.err.endswith(f"Report: {tmp_path / 'out' / 'report.html'}\n")
    told = call(*words, "--json").json()
    assert [line["name"] for line in told["lines"]] == ["full", "share-10"]
    assert not list((tmp_path / "out").rglob("results.json"))


def test_what_cannot_be_is_refused_in_one_line(config: Path, call: Call) -> None:
    said = call("ablate", config, "--only", "shar-10")
    assert (said.code, said.err) == (2, 'l2rec: --only shar-10: no such row. Did you mean "share-10"?\n')
    assert call("ablate", config, "--seeds", "0,0").code == 2
    assert "no such file" in call("ablate", "nowhere.toml").err
