"""The README keeps its word: its commands exist, its blocks run on a little world, its links lead somewhere."""

import json
import re
import runpy
import shlex
import tomllib
from importlib import util
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from starlette.testclient import TestClient

from l2rec.cli.app import app, main
from l2rec.config import EvaluationSettings, RunSettings, validated
from l2rec.evaluation.metrics import means
from l2rec.models import Counter
from l2rec.run.record import ranked
from l2rec.serving.process import application
from tests import worlds

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
RESULTS = (ROOT / "docs" / "results.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    """Returns the code blocks of a language, in their order."""
    return re.findall(rf"^```{language}\n(.*?)^```$", README, re.DOTALL | re.MULTILINE)


def commands() -> list[list[str]]:
    """Returns every line of the shell blocks as words."""
    lines = "\n".join(blocks("sh")).splitlines()
    return [shlex.split(line, comments=True) for line in lines if line.strip()]


def test_every_command_of_the_readme_exists() -> None:
    known = {command.name for command in app.registered_commands}
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for words in commands():
        assert words[1] in (known if words[0] == "l2rec" else targets), words
    assert {words[1] for words in commands() if words[0] == "l2rec"} >= known - {"demo"}
    assert {"demo", "test", "check"} <= targets


def test_every_make_target_and_path_that_is_named_exists() -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for name in re.findall(r"`make ([a-z]+)`", README):
        assert name in targets
    for link in re.findall(r"\]\((?!https?:)([^)#]+)", README):
        assert (ROOT / link).exists(), link


@pytest.mark.parametrize(
    ("page", "mark", "runs"),
    [
        (README, "results", "scientific"),
        (README, "beauty", "beauty"),
        (RESULTS, "share-10", "scientific-share-10"),
    ],
)
def test_a_table_of_results_is_what_the_kept_ranks_give(page: str, mark: str, runs: str) -> None:
    """Means and spread over seeds by hand, from the ranks beside the code; intervals are the table's own."""
    table = page.split(f"<!-- {mark}:start -->")[1].split(f"<!-- {mark}:end -->", maxsplit=1)[0]
    told = [[cell.strip() for cell in line.split("|")[1:-1]] for line in table.splitlines() if line.startswith("| ")]
    rows = {row[0]: row[1:4] for row in told[2:]}
    kept = ROOT / "bench" / "results" / "runs" / runs
    assert set(rows) == {folder.name for folder in kept.iterdir()}
    for folder in kept.iterdir():
        frames = [pl.read_parquet(path) for path in sorted(folder.rglob("ranks.parquet"))]
        recall = bare(float(np.mean([frame["recall@10"].mean() for frame in frames])))
        gains = np.array([frame["ndcg@10"].to_numpy().mean() for frame in frames])
        spread = f" ± {bare(float(gains.std(ddof=1)))}" if len(frames) > 1 else ""
        assert rows[folder.name] == [str(len(frames)), recall, bare(float(gains.mean())) + spread]
        for frame in frames:
            place = frame.filter(pl.col("tied") == 0)["above"].to_numpy() + 1
            gain = np.where(place <= 10, 1 / np.log2(place + 1), 0.0)
            assert gain == pytest.approx(frame.filter(pl.col("tied") == 0)["ndcg@10"].to_numpy())


def bare(value: float) -> str:
    """Four decimals without the leading zero."""
    return f"{value:.4f}"[1:]


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the log and the TOML file that the README names."""
    worlds.write_log(tmp_path / "my-log", users=40)
    [toml] = blocks("toml")
    validated(RunSettings, tomllib.loads(toml), "")
    (tmp_path / "sasrec.toml").write_text(toml.replace("epochs = 10", "epochs = 1"))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("L2REC_CACHE", str(tmp_path / "cache"))
    return tmp_path


def test_the_python_lines_run_and_are_six_at_most(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code = blocks("python")[0]
    assert len([line for line in code.splitlines() if line.strip()]) <= 6
    exec(compile(code, "README.md", "exec"), {})
    estimate, titles = capsys.readouterr().out.splitlines()
    assert re.search(r"mean=0\.\d+ low=0\.\d+ high=0\.\d+", estimate)
    assert titles.count("'") == 10
    assert (place / "runs" / "mine" / "results.json").is_file()


@pytest.mark.slow
def test_the_shell_lines_run_in_their_order(
    place: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    answers: list[Any] = []

    def answered(*_: object, **__: object) -> None:
        with TestClient(application()) as client:
            answers.append(client.get("http://localhost/v1/users/u3/recommendations").json())

    monkeypatch.setenv("L2REC_SERVE", "")  # taken back at the end
    monkeypatch.setattr("uvicorn.run", answered)  # which would go on for ever
    for words in commands():
        if words[0] != "l2rec":
            continue
        run(*words[1:])
    assert (place / "report.html").is_file()
    [told] = answers
    assert (told["source"], len(told["items"])) == ("cached", 10)
    assert "Traceback" not in capsys.readouterr().err


def run(*words: str) -> None:
    """Runs a command and sees it end well."""
    with pytest.raises(SystemExit) as ended:
        main(words)
    assert not ended.value.code, words


def written(path: Path) -> ModuleType:
    """Returns the model of the README as a module."""
    path.write_text(blocks("python")[1], encoding="utf-8")
    spec = util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_model_of_the_readme_is_ten_lines_and_learns(tmp_path: Path) -> None:
    module = written(tmp_path / "successor.py")
    body = blocks("python")[1].split("class Model")[1]
    assert len([line for line in body.splitlines() if line.strip()]) <= 11, "ten, and the class's sentence"
    items = worlds.tiny_items(30)
    model = module.Model(module.Config(), items)
    assert isinstance(model, Counter)
    model.count(worlds.tiny_histories(users=200, items=30))
    batch = worlds.batch_of([[4, 7], []])
    assert torch.isfinite(model.scores(batch)).all()
    found = means(ranked(model, worlds.tiny_cases(users=200, items=30), EvaluationSettings(mask_seen=False)), (1,))
    assert found["recall@1"] > 0.5


def test_the_demonstrations_place_is_marked() -> None:
    assert README.count("<!-- demo:start -->") == README.count("<!-- demo:end -->") == 1
    assert README.index("<!-- demo:start -->") < README.index("<!-- demo:end -->")


def test_the_readme_has_what_the_gpu_program_kept() -> None:
    shown = runpy.run_path(str(ROOT / "bench" / "gpu_show.py"))
    found = json.loads((ROOT / "bench" / "results" / "gpu.json").read_text(encoding="utf-8"))
    block = README.split("<!-- gpu:start -->")[1].split("<!-- gpu:end -->", maxsplit=1)[0]
    assert block.strip() == shown["summary"](found)
    card = shown["summary"](found | {"small": False, "device": "Some card"})
    assert "Some card" in card
    assert (
        f"| training, experts: tokens a second | {found['speed']['ways']['experts']['tokens_per_second']:,.0f} |"
        in card
    )
    lost = found["speed"]["throughput_lost_against"]["plain LoRA"]
    assert f"| training, throughput lost against plain LoRA | {lost:.0%} | at most 15 % |" in card
    for width, told in found["search"]["by_width"].items():
        assert f"items, width {width} | {told['search']:.1f} s, {told['ratio']:.2f} times" in card
    assert len({line.count("|") for line in card.splitlines() if line.startswith("|")}) == 1


def test_the_results_have_the_bands_that_were_kept() -> None:
    bands = runpy.run_path(str(ROOT / "bench" / "bands.py"))
    kept = json.loads((ROOT / "bench" / "results" / "bands.json").read_text(encoding="utf-8"))
    cells = [bands["Cell"](**cell) for cell in kept["cells"]]
    block = RESULTS.split("<!-- bands:start -->")[1].split("<!-- bands:end -->", maxsplit=1)[0]
    assert block.strip() == "\n\n".join(bands["table"](cells, kept["against"], band) for band in ("new", "tail"))
    rows = {path.name for path in (ROOT / "bench" / "results" / "runs" / "scientific-share-10").iterdir()}
    assert rows == {cell.row for cell in cells}
