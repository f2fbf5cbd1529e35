"""The report's curves and maps are those of the log, of a resumed and of a killed run too."""

import json
from pathlib import Path
from typing import Any

import pytest

from l2rec.errors import RunError
from l2rec.evaluation.report import read_log


def written(folder: Path, *lines: dict[str, Any], tail: str = "") -> Path:
    path = folder / "log.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines) + tail, encoding="utf-8")
    return path


def step(number: int, epoch: int, loss: float, **readings: float) -> dict[str, Any]:
    return {
        "step": number,
        "epoch": epoch,
        "loss": loss,
        "readings": {n.replace("_", "/"): v for n, v in readings.items()},
    }


def check(number: int, epoch: int, ndcg: float) -> dict[str, Any]:
    return {"step": number, "epoch": epoch, "metrics": {"ndcg@10": ndcg}, "best": True}


def test_steps_are_spread_over_their_epochs(tmp_path: Path) -> None:
    path = written(tmp_path, step(10, 1, 4.0), step(20, 1, 3.0), check(20, 1, 0.1), step(40, 2, 2.0), check(40, 2, 0.2))
    found = read_log(path, "m")
    assert found.loss.label == "m"
    assert found.loss.points == ((0.5, 4.0), (1.0, 3.0), (2.0, 2.0))
    assert found.validation.points == ((1, 0.1), (2, 0.2))
    assert read_log(path, "m", "ndcg@5").validation.points == ()


def test_what_a_resumed_run_wrote_again_counts_once(tmp_path: Path) -> None:
    path = written(tmp_path, step(10, 1, 9.0), step(20, 1, 8.0), check(20, 1, 0.3), step(20, 1, 3.0), check(20, 1, 0.1))
    found = read_log(path, "m")
    assert found.loss.points == ((0.5, 9.0), (1.0, 3.0))
    assert found.validation.points == ((1, 0.1),)


def test_a_line_cut_off_by_a_kill_is_left_out_and_other_rubbish_refused(tmp_path: Path) -> None:
    assert read_log(written(tmp_path, step(1, 1, 2.0), tail='{"step": 2, "lo'), "m").loss.points == ((1.0, 2.0),)
    path = written(tmp_path, step(1, 1, 2.0), tail="rubbish\n")
    with pytest.raises(RunError, match=r"log\.jsonl line 2: 'rubbish': expected a JSON object\. Delete the line"):
        read_log(path, "m")
    with pytest.raises(RunError, match=r"line 1: '\[1\]': expected a JSON object"):
        read_log(written(tmp_path, tail="[1]\n"), "m")


def test_a_missing_log_is_said_with_its_path(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"log\.jsonl: no such file\. Train the run, or leave the curves out"):
        read_log(tmp_path / "log.jsonl", "m")


def test_an_infinite_loss_is_not_drawn(tmp_path: Path) -> None:
    path = written(tmp_path, step(1, 1, 2.0), step(2, 1, float("nan")), step(3, 1, float("inf")))
    assert len(read_log(path, "m").loss.points) == 1


def test_a_long_log_is_thinned_by_means(tmp_path: Path) -> None:
    path = written(tmp_path, *(step(n, 1, float(n)) for n in range(1, 1001)))
    points = read_log(path, "m").loss.points
    assert 200 <= len(points) <= 300
    assert points[0][1] == pytest.approx(2.5)


def test_expert_use_is_the_mean_of_the_last_epoch_in_natural_order(tmp_path: Path) -> None:
    def use(share: float) -> dict[str, float]:
        return {f"experts_semantic_block{b}_e{e}": share for b in (10, 2) for e in (1, 0)} | {
            "entropy_semantic_block2": 9
        }

    path = written(
        tmp_path, step(1, 1, 1.0, **use(0.9)), step(2, 2, 1.0, **use(0.2)), step(3, 2, 1.0, **use(0.4)), step(4, 3, 1.0)
    )
    (shares,) = read_log(path, "m").routing
    assert (shares.title, shares.rows, shares.columns) == ("semantic view", ("block2", "block10"), ("e0", "e1"))
    assert shares.values[0] == pytest.approx((0.3, 0.3))


def test_an_expert_that_a_block_lacks_leaves_its_cell_empty(tmp_path: Path) -> None:
    path = written(tmp_path, step(1, 1, 1.0, experts_behavioural_block0_e0=0.5, experts_behavioural_block1_e1=0.25))
    (shares,) = read_log(path, "m").routing
    assert shares.values == ((0.5, None), (None, 0.25))


def test_fusion_shares_go_from_short_to_long(tmp_path: Path) -> None:
    readings = {"acf/share": 0.5, "acf/share/21-10000": 0.3, "acf/share/3-5": 0.6, "acf/share/1-1": 0.8}
    path = written(tmp_path, {"step": 1, "epoch": 1, "loss": 1.0, "readings": readings})
    assert list(read_log(path, "m").fusion.items()) == [("1", 0.8), ("3-5", 0.6), ("21+", 0.3)]
