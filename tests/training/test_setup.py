"""Before the first step everything stands ready, nothing is written, and what a dead process left is put right."""

from itertools import pairwise
from pathlib import Path

import pytest
import torch

from l2rec.config import TrainingSettings
from l2rec.models._checkpoint import read_tensors
from l2rec.training.occasion import Occasion
from l2rec.training.setup import Setup, batches_of, set_up
from tests.training.learner import Tiny, Validation, tiny
from tests.training.short import trained
from tests.worlds import tiny_histories

SETTINGS = TrainingSettings(epochs=2, batch_size=8, precision="fp32", learning_rate=0.03, patience=99)


def ready(folder: Path, model: Tiny, resume: bool = False) -> Setup:
    return set_up(model, tiny_histories(), SETTINGS, Occasion(folder, 0, Validation(), resume, device="cpu"))


def test_setting_up_writes_nothing_and_leaves_the_weights(tmp_path: Path) -> None:
    model = tiny()
    setup = ready(tmp_path / "run", model)
    assert not (tmp_path / "run").exists()
    assert setup.course.step == 0
    assert all(torch.equal(tensor, tiny().state()[name]) for name, tensor in model.state().items())


def test_a_resume_brings_back_weights_optimizer_readings_and_course(tmp_path: Path) -> None:
    whole = tiny()
    fitted = trained(tmp_path, whole, epochs=2)
    model = tiny()
    setup = ready(tmp_path, model, resume=True)
    (last,) = tmp_path.glob("last/*")
    weights = read_tensors(last / "weights.safetensors")
    assert all(torch.equal(tensor, weights[name]) for name, tensor in model.state().items())
    moments = read_tensors(last / "optimizer.safetensors")
    state = setup.optimizer.state[model.item.weight]
    assert set(state) == {"step", "exp_avg", "exp_avg_sq"}
    assert all(torch.equal(state[kind], moments[f"{kind} item.weight"]) for kind in state)
    assert float(state["step"]) == setup.course.step == fitted.steps
    assert model.unused not in setup.optimizer.state
    assert setup.course.stopped == "epochs"


def test_what_a_dead_process_left_behind_goes_and_the_best_weights_it_did_not_write_come(tmp_path: Path) -> None:
    trained(tmp_path, tiny(), validate=lambda _: {"ndcg@10": 1.0}, epochs=1)
    before = (tmp_path / "weights.safetensors").read_bytes()
    (tmp_path / "weights.safetensors").unlink()
    (tmp_path / ".weights.safetensors.torn").write_bytes(b"half")
    (tmp_path / "last/00000099-0009.partial").mkdir()
    model = tiny()
    settings = SETTINGS.model_copy(update={"epochs": 1})
    occasion = Occasion(tmp_path, 0, Validation(), resume=True, device="cpu")
    set_up(model, tiny_histories(), settings, occasion).tidy(model, tmp_path)
    assert (tmp_path / "weights.safetensors").read_bytes() == before
    assert not list(tmp_path.glob(".weights*"))
    assert [path.suffix for path in (tmp_path / "last").iterdir()] == [""]


def test_weights_that_are_not_the_best_do_not_replace_them(tmp_path: Path) -> None:
    model = tiny()
    setup = ready(tmp_path, model)
    setup.course.judge({"ndcg@10": 0.5})
    setup.course.step += 1
    setup.save_best(model, tmp_path)
    assert not (tmp_path / "weights.safetensors").exists()
    setup.course.judge({"ndcg@10": 0.6})
    setup.save_best(model, tmp_path)
    assert (tmp_path / "weights.safetensors").exists()


@pytest.mark.parametrize("processes", [1, 3])
def test_a_batch_holds_the_rows_of_all_processes(tmp_path: Path, processes: int) -> None:
    model = tiny()
    setup = ready(tmp_path, model)
    setup.processes.size = processes
    batches = batches_of(model, tiny_histories(), SETTINGS, setup, seed=0)
    assert max(len(batch) for batch in batches) == 8 * processes


def pairs(setup: Setup, **changed: float) -> list[tuple[int, int]]:
    """What is asked after what in the epoch that is under way, with some settings changed."""
    found = []
    for batch in batches_of(tiny(), tiny_histories(), SETTINGS.model_copy(update=changed), setup, seed=0):
        assert batch.targets is not None
        assert batch.target_mask is not None
        at = batch.target_mask
        found += list(zip(batch.items[at].tolist(), batch.targets[at].tolist(), strict=True))
    return sorted(found)


def test_the_settings_turn_sequences_round_and_anew_in_every_epoch(tmp_path: Path) -> None:
    setup = ready(tmp_path, tiny())
    forth = pairs(setup)
    assert pairs(setup, turned=1.0) == sorted((later, earlier) for earlier, later in forth)
    some = pairs(setup, turned=0.5)
    assert some not in (forth, pairs(setup, turned=1.0))
    setup.course.epoch = 1
    assert pairs(setup, turned=0.5) != some


def test_the_settings_leave_out_what_is_not_recent(tmp_path: Path) -> None:
    setup, train = ready(tmp_path, tiny()), tiny_histories()
    newest = [train.sequence(row).tolist()[-3:] for row in range(len(train))]
    assert max(train.lengths()) > 3
    expected = sorted(pair for events in newest for pair in pairwise(events))
    assert pairs(setup, recent=3) == expected
    assert pairs(setup, recent=3, turned=1.0) == sorted((later, earlier) for earlier, later in expected)
    assert pairs(setup, recent=1000) == pairs(setup)
