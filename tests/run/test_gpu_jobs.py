"""What `bench/gpu.py --parts tables` runs: every kind of table by the ordinary commands, no weights learnt twice."""

import io
import sys
from collections.abc import Iterator
from contextlib import redirect_stdout
from pathlib import Path
from types import ModuleType

import pytest

from l2rec.cli.app import main
from l2rec.config import RunSettings
from l2rec.run import Run
from tests.trained import SASREC, World, settings, write_config

BENCH = Path(__file__).parents[2] / "bench"


@pytest.fixture
def tables(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """`gpu_tables` in a place with a folder of configs; its commands run in this process."""
    monkeypatch.syspath_prepend(BENCH)
    monkeypatch.chdir(tmp_path)
    import gpu_tables

    def said(words: list[str]) -> tuple[int, str]:
        out = io.StringIO()
        with redirect_stdout(out), pytest.raises(SystemExit) as ended:
            main(words)
        return int(ended.value.code or 0), out.getvalue()

    monkeypatch.setattr(gpu_tables, "_said", said)
    little = tmp_path / "configs" / "little"
    little.mkdir(parents=True)
    for name, model in {
        "a-transition": SASREC | {"transition_weight": 4.0, "transition": {"history": 3}},
        "b": SASREC,
        "c": SASREC | {"width": 8},
    }.items():
        write_config(little / f"{name}.toml", with_epochs(settings(world, model), 1))
    floor = f'data = "{world.prepared}"\n[model]\nname = "popularity"\n'
    (little / "popularity.toml").write_text(floor, encoding="utf-8")
    yield gpu_tables
    for name in ("gpu_tables", "gpu_jobs"):
        sys.modules.pop(name, None)


def with_epochs(chosen: RunSettings, epochs: int) -> RunSettings:
    return chosen.model_copy(update={"training": chosen.training.model_copy(update={"epochs": epochs})})


def test_a_row_with_the_floor_has_the_weights_of_the_row_without(tables: ModuleType, tmp_path: Path) -> None:
    asked = tables.Tables(("little",), "0,1", "cpu", tmp_path / "runs", only=("a-transition", "b", "c"))
    found = tables.measure(asked)["little"]
    assert found["failed"] == found["against"] == {}
    assert len(found["commands"]) == 7
    assert "bands" not in found
    assert {row["origin"]["label"] for row in found["comparison"]["rows"]} == {"a-transition", "b", "c"}
    for seed in (0, 1):
        source = Run.open(tmp_path / "runs" / "little" / "a-transition" / f"seed-{seed}").manifest.source
        assert source is not None
        assert Path(source.path).parts[-2:] == ("b", f"seed-{seed}")
    again = tables.measure(asked)["little"]
    assert again["comparison"] == found["comparison"], "a second call takes what is there"


def test_a_subject_is_compared_with_every_row_and_on_new_and_tail_items(tables: ModuleType, tmp_path: Path) -> None:
    labels = ("popularity", "b", "c")
    asked = tables.Tables(
        ("little",), "0", "cpu", tmp_path / "runs", only=labels, subjects=("none", "c", "b"), bands={"little": "b"}
    )
    found = tables.measure(asked)["little"]
    assert found["failed"] == {}
    assert list(found["against"]) == ["c", "b"]
    for subject, told in found["against"].items():
        pairs = [{line["label"], line["against"]} for line in told["contrasts"]]
        assert all({subject, other} in pairs for other in {*labels} - {subject})
    assert {cell["row"] for cell in found["bands"]["cells"]} == {*labels}
    assert found["bands"]["against"] == "b"


def test_a_share_and_an_ablation_are_tables_too(tables: ModuleType, tmp_path: Path) -> None:
    share = tables.Share("little", 0.5, {"popularity": None, "b": (2, 1), "a-transition": (2, 1)})
    ablation = tables.Ablation("little/b.toml", ("training.share=0.5",), "share-30")
    runs = tmp_path / "runs"
    asked = tables.Tables(("half", "parts"), "0", "cpu", runs, shares={"half": share}, ablations={"parts": ablation})
    found = tables.measure(asked)
    assert {name: table["failed"] for name, table in found.items()} == {"half": {}, "parts": {}}
    rows = {row["origin"]["label"]: row["origin"]["share"] for row in found["half"]["comparison"]["rows"]}
    assert rows == {"popularity": 0.5, "b": 0.5, "a-transition": 0.5}
    assert Run.open(runs / "half" / "b" / "seed-0").settings.training.epochs == 2
    assert {line["name"] for line in found["parts"]["ablation"]["lines"]} == {"full", "share-30"}


def test_what_fails_is_told_and_the_rest_goes_on(tables: ModuleType, tmp_path: Path) -> None:
    asked = tables.Tables(("little",), "0", "cpu", tmp_path / "runs", ("model.width=0",), ("b", "popularity"))
    found = tables.measure(asked)["little"]
    assert found["failed"] == {"b": "l2rec train ended with 2"}
    assert [row["origin"]["label"] for row in found["comparison"]["rows"]] == ["popularity"]
    with pytest.raises(SystemExit, match=r"no config in configs/none\. Pass a folder"):
        tables.measure(tables.Tables(("little", "none"), "0", "cpu", tmp_path / "runs"))


def test_every_table_of_the_results_can_be_made() -> None:
    sys.path.insert(0, str(BENCH))
    try:
        import gpu_jobs
    finally:
        sys.path.remove(str(BENCH))
    kept = {path.name for path in (BENCH / "results" / "runs").iterdir()}
    folders = {path.name for path in (BENCH.parent / "configs").iterdir()}
    assert kept - {"scientific-ablation"} <= folders | gpu_jobs.SHARES.keys() | gpu_jobs.ABLATIONS.keys()
    for share in gpu_jobs.SHARES.values():
        assert all((BENCH.parent / "configs" / share.configs / f"{row}.toml").is_file() for row in share.rows)
