"""Several processes train as one: the same losses and weights, whatever falls to whom."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from l2rec.errors import RunError
from l2rec.models._checkpoint import read_tensors
from l2rec.training.processes import Processes
from tests.training.jobs import train
from tests.training.test_resume import lines_but_times
from tests.worlds import training_batch_of

STILL = {"dropout": 0.0, "drift": 0.0}
TRAINING = {"epochs": 3, "learning_rate": 0.03, "precision": "fp32", "patience": 9, "checkpoint_every": 4}


def launched(scenarios: list[dict[str, Any]], processes: int) -> list[int]:
    """Runs the scenarios, without forks, in that many processes at once; returns their exit codes."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    place = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "WORLD_SIZE": str(processes), "OMP_NUM_THREADS": "1"}
    children = []
    for rank in range(processes):
        environment = (
            os.environ | place | {"RANK": str(rank), "LOCAL_RANK": str(rank), "LOCAL_WORLD_SIZE": place["WORLD_SIZE"]}
        )
        command = [sys.executable, "-m", "tests.training.jobs"]
        child = subprocess.Popen(
            command, env=environment, stdin=subprocess.PIPE, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert child.stdin is not None
        child.stdin.write(json.dumps(scenarios))
        child.stdin.close()
        child.stdin = None
        children.append(child)
    ends = [child.communicate(timeout=200) for child in children]
    codes = [child.returncode for child in children]
    assert all(code in (0, -9) for code in codes), ends[0][1] + ends[1][1]
    return codes


def test_two_processes_give_the_losses_and_weights_of_one(tmp_path: Path) -> None:
    plain = {"model": STILL}
    cases = {"one batch a step": {"batch_size": 6}, "three batches a step": {"batch_size": 4, "accumulate": 3}}
    alone, together = [], []
    for name, settings in cases.items():
        whole = TRAINING | settings
        half = whole | {"batch_size": settings["batch_size"] // 2}
        alone.append(plain | {"folder": str(tmp_path / "alone" / name), "training": whole})
        together.append(plain | {"folder": str(tmp_path / "together" / name), "training": half})
    for scenario in alone:
        train(scenario, None)
    assert launched(together, processes=2) == [0, 0]
    for name in cases:
        one, two = (lines_but_times(tmp_path / kind / name) for kind in ("alone", "together"))
        assert len(one) == len(two) > 3
        for before, after in zip(one, two, strict=True):
            assert before.keys() == after.keys()
            assert before["step"] == after["step"]
            if "loss" in before:
                assert after["loss"] == pytest.approx(before["loss"], rel=1e-5)
                assert after["parts"]["retrieval"] == pytest.approx(before["loss"], rel=1e-5)
                assert after["grad_norm"] == pytest.approx(before["grad_norm"], rel=1e-4)
                assert after["padding"] == before["padding"]
            else:
                assert after["metrics"] == pytest.approx(before["metrics"], abs=1e-4)
        weights = [read_tensors(tmp_path / kind / name / "returned.safetensors") for kind in ("alone", "together")]
        for key, tensor in weights[0].items():
            torch.testing.assert_close(weights[1][key], tensor, rtol=1e-4, atol=1e-5)


@pytest.mark.slow
def test_two_processes_that_were_killed_go_on_exactly(tmp_path: Path) -> None:
    scenario = {"model": {"drift": 0.0}, "training": TRAINING | {"batch_size": 4}}
    killed, whole = tmp_path / "killed", tmp_path / "whole"
    assert launched([scenario | {"folder": str(whole)}], processes=2) == [0, 0]
    assert launched([scenario | {"folder": str(killed), "kills": [["loss", 10]]}], processes=2) == [-9, -9]
    assert launched([scenario | {"folder": str(killed)}], processes=2) == [0, 0]
    assert (killed / "returned.safetensors").read_bytes() == (whole / "returned.safetensors").read_bytes()
    assert lines_but_times(killed) == lines_but_times(whole)


def test_every_row_falls_to_one_process_and_a_process_without_a_row_gets_one_that_does_not_count(
    tmp_path: Path,
) -> None:
    processes = Processes("cpu", tmp_path)
    batch = training_batch_of([[1, 2, 3], [4, 5], [6, 7, 8, 9]])
    processes.size = 2
    got, users = [], []
    for rank in range(2):
        processes.rank = rank
        rows, counts = processes.shard(batch)
        assert counts
        assert rows.users is not None
        got += rows.items[:, 0].tolist()
        users += rows.users.tolist()
    assert got == [1, 6, 4]
    assert users == [0, 2, 1]
    processes.size, processes.rank = 5, 4
    rows, counts = processes.shard(batch)
    assert not counts
    assert rows.items[:, 0].tolist() == [1]


def test_a_device_that_is_unknown_or_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r'device "abacus": torch knows no such device\. Pass cpu or cuda\.'):
        Processes("abacus", tmp_path)
    if not torch.cuda.is_available():
        with pytest.raises(
            RunError, match=r'device "cuda": torch .* sees no GPU here\. Pass cpu, or mend the driver\.'
        ):
            Processes("cuda", tmp_path)
