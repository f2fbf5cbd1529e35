"""The ablation: rows are runs, a killed one goes on, the test part waits to be asked for, and words say what helps."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest

from l2rec.data.prepared import Prepared, load
from l2rec.errors import RunError, SettingError
from l2rec.evaluation.comparison import Contrast
from l2rec.run import Options, Run
from l2rec.run import pipeline as runs
from l2rec.run.ablation import Ablation, Order, ablate, chosen, earned, listed
from l2rec.run.controls import Controls, Part, controls
from l2rec.run.record import validation
from tests.trained import SASREC, World, settings

THIRD = SASREC | {"transition_weight": 1.0}
_nothing: Callable[[str], None] = lambda _: None  # noqa: E731


@pytest.fixture(scope="module")
def found(world: World) -> Controls:
    """The four rows of a little SASRec with the third signal."""
    return controls(settings(world, THIRD), load(world.prepared))


def order(folder: Path, *only: str) -> Order:
    return Order(folder, "little.toml", only=only, options=Options(device="cpu"))


@pytest.fixture(scope="module")
def told(found: Controls, tmp_path_factory: pytest.TempPathFactory) -> tuple[Ablation, Path, list[str]]:
    """An ablation, its folder, and what was said on the way."""
    said: list[str] = []
    folder = tmp_path_factory.mktemp("ablation")
    return ablate(found, order(folder), said.append), folder, said


def values(run: Path) -> pl.Series:
    return pl.read_parquet(run / "validation.parquet").sort("user")["ndcg@10"]


def test_each_row_is_an_ordinary_run_beside_the_full_model(told: tuple[Ablation, Path, list[str]]) -> None:
    ablation, folder, _ = told
    assert [line.name for line in ablation.lines] == ["full", "share-10", "share-30", "no-third-signal"]
    full = values(folder / "full")
    for line in ablation.lines:
        run = Run.open(folder / line.name)
        assert run.manifest.settings["training"]["share"] == {"share-10": 0.1, "share-30": 0.3}.get(line.name, 1.0)
        assert line.value.mean == pytest.approx(values(run.path).mean())
        assert line.seconds == pytest.approx(run.manifest.seconds, abs=0.1)
        assert line.trainable == run.manifest.trainable
        if line.contrast is not None:
            assert line.contrast.against == "full"
            assert line.contrast.difference == pytest.approx((values(run.path) - full).mean())
            assert line.contrast.low <= line.contrast.difference <= line.contrast.high
            assert line.sentence == earned(line.words, line.contrast)
    assert ablation.lines[0].contrast is None


def test_holm_counts_the_rows(told: tuple[Ablation, Path, list[str]]) -> None:
    tests = sorted((line.contrast for line in told[0].lines if line.contrast), key=lambda test: test.p)
    assert tests[0].p_holm == pytest.approx(min(1, 3 * tests[0].p))


def test_table_and_report_hold_what_was_found(told: tuple[Ablation, Path, list[str]]) -> None:
    ablation, folder, _ = told
    assert Ablation.model_validate_json((folder / "ablation.json").read_text()) == ablation
    table, page = ablation.table(), (folder / "report.html").read_text(encoding="utf-8")
    assert table.caption.startswith("validation, loo/full/unseen/expected-ties/@5,10,20: ")
    assert [row[0] for row in table.rows] == [line.name for line in ablation.lines]
    assert all(len(row) == len(table.columns) for row in table.rows)
    assert "<h1>Ablation of little.toml</h1>" in page
    assert "What each part does" in page
    worse = sum(line.contrast is not None and line.contrast.verdict == "worse" for line in ablation.lines)
    assert f"Of 3 rows, {worse} shown to be worse than full, so that what differs helps there." in page
    assert "Differences to full: " in page
    assert all(line.sentence.split(" (")[0] in page for line in ablation.lines if line.sentence)
    assert "What users were shown" not in page, "those are of the test part"


def test_progress_says_what_is_left(told: tuple[Ablation, Path, list[str]]) -> None:
    said = told[2]
    assert said[0] == "1/4 full: training, 3 rows left after it"
    assert said[1].startswith("1/4 full: validation ndcg@10 .")
    assert said[4].startswith("3/4 share-30: training, 1 row left after it, about ")


def test_the_test_part_is_not_read_unless_asked_for(
    found: Controls, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    whole = Prepared.cases
    monkeypatch.setattr(Prepared, "cases", lambda self, part: asked.append(part) or whole(self, part))
    rows = order(tmp_path, "share-10")
    ablate(found, rows, _nothing)
    assert set(asked) == {"validation"}
    assert not list(tmp_path.rglob("results.json"))
    last = ablate(found, replace(rows, part="test"), _nothing)
    assert "test" in asked
    assert last.part == "test"
    assert last.lines[0].value == Run.open(tmp_path / "full").evaluate().metrics["ndcg@10"]


def test_what_is_finished_is_not_run_again(
    found: Controls, told: tuple[Ablation, Path, list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("l2rec.run.pipeline.plan", None)
    monkeypatch.setattr("l2rec.run.record.ranked", None)
    said: list[str] = []
    assert ablate(found, order(told[1]), said.append) == told[0]
    assert len(said) == 4
    assert all(line.endswith(", taken as it is") for line in said)
    assert ablate(found, order(told[1], "share-30"), _nothing) == told[0], "earlier rows stay in the table"


def test_a_row_that_was_killed_goes_on_to_the_same_table(
    found: Controls, told: tuple[Ablation, Path, list[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The power fails at the sixth validation: the second of the second row, its first epoch being on the disk."""
    calls: list[object] = []

    def failing(*arguments: object) -> dict[str, float]:
        calls.append(arguments)
        if len(calls) == 6:
            raise RuntimeError("power cut")
        return validation(*arguments)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(runs, "validation", failing)
        with pytest.raises(RuntimeError, match="power cut"):
            ablate(found, order(tmp_path), _nothing)
    finished = (tmp_path / "full" / "weights.safetensors").stat().st_mtime_ns
    assert list((tmp_path / "share-10" / "last").iterdir())
    again = ablate(found, order(tmp_path), _nothing)
    assert (tmp_path / "full" / "weights.safetensors").stat().st_mtime_ns == finished
    log = [json.loads(line) for line in (tmp_path / "share-10" / "log.jsonl").read_text().splitlines()]
    assert sum("metrics" in line for line in log) == 4, "the first epoch was not trained twice"
    without_time = {"lines": {n: {"seconds"} for n in range(4)}}
    assert again.model_dump(exclude=without_time) == told[0].model_dump(exclude=without_time)


def test_a_folder_of_other_settings_is_refused(world: World, told: tuple[Ablation, Path, list[str]]) -> None:
    other = controls(settings(world, THIRD | {"width": 32}), load(world.prepared))
    with pytest.raises(RunError, match=r"full: model\.width was 16 and now is 32"):
        ablate(other, order(told[1]), _nothing)
    with pytest.raises(RunError, match=r"full: made without --seeds\. Call it so again, or pass --out"):
        ablate(other, replace(order(told[1]), seeds=(0,)), _nothing)


def test_a_row_above_the_full_model_is_tested_against_it_too(found: Controls, tmp_path: Path) -> None:
    """The full model has a tenth of the data, and its control has all: what the full model has more harms it."""
    whole, tenth = found.rows[:2]
    swapped = Controls((replace(tenth, part=whole.part), replace(whole, part=Part("whole", "hunger"))), {})
    full, better = ablate(swapped, order(tmp_path), _nothing).lines
    assert full.contrast is None
    assert better.contrast is not None
    assert (better.contrast.against, better.contrast.verdict) == ("full", "better")
    assert better.sentence.startswith("Hunger: harms: the row without it is better (whole +")


def test_several_seeds_are_one_row(found: Controls, tmp_path: Path) -> None:
    rows = replace(order(tmp_path, "share-10"), seeds=(0, 1))
    lines = ablate(found, rows, _nothing).lines
    assert [line.seeds for line in lines] == [(0, 1), (0, 1)]
    with pytest.raises(RunError, match=r"full: made with --seeds\. Call it so again, or pass --out"):
        ablate(found, order(tmp_path), _nothing)
    means = [values(tmp_path / "share-10" / f"seed-{seed}").mean() for seed in (0, 1)]
    assert lines[1].value.mean == pytest.approx(sum(map(float, means)) / 2)  # type: ignore[arg-type]


def test_rows_are_chosen_by_name(found: Controls) -> None:
    assert [c.part.name for c in chosen(found, ["share-30"])] == ["full", "share-30"]
    assert chosen(found, []) == list(found.rows)
    with pytest.raises(SettingError, match=r'--only share-31: no such row\. Did you mean "share-30"\?'):
        chosen(found, ["share-31"])
    with pytest.raises(SettingError, match=r"--only rank-4: no row of these settings: because\."):
        chosen(replace(found, left_out={"rank-4": "because."}), ["rank-4"])


def test_the_list_shows_sizes_and_settings(found: Controls) -> None:
    rows = list(listed(found.rows))
    size = f"{found.rows[0].trainable:,}"
    assert rows[0] == ("full", size, "100.0%", "")
    assert rows[1] == ("share-10", size, "100.0%", "training.share=0.1")


@pytest.mark.parametrize(
    ("verdict", "words"),
    [
        (
            "worse",
            "The shared experts: helps (no-shared-experts -.0100 ndcg@10, 95 % interval -.0200 to +.0010, p .300",
        ),
        ("not shown", "The shared experts: not shown to help (no-shared-experts -.0100"),
        ("better", "The shared experts: harms: the row without it is better (no-shared-experts -.0100"),
    ],
)
def test_the_sentence_says_what_a_part_earns(verdict: str, words: str) -> None:
    numbers = {"difference": -0.01, "low": -0.02, "high": 0.001, "p": 0.2, "p_holm": 0.3}
    test = Contrast(label="no-shared-experts", against="full", metric="ndcg@10", verdict=verdict, **numbers)
    assert earned("the shared experts", test).startswith(words)
