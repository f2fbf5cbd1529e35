"""The loop learns, keeps the best weights, stops when it should, and says what went wrong."""

import math
import os
import signal
from pathlib import Path

import pytest
import torch

from l2rec.config import TrainingSettings
from l2rec.errors import RunError
from l2rec.models._checkpoint import read_tensors
from l2rec.training.loop import Occasion, fit
from l2rec.training.optim import learning_rate
from l2rec.types import Batch, Loss
from tests.training.learner import Tiny, Validation, tiny
from tests.training.short import QUICK, batches_of, given, lines, trained
from tests.worlds import histories_of, tiny_histories


def test_training_learns_what_follows_what(tmp_path: Path) -> None:
    model = tiny(dropout=0.0)
    before = Validation()(model.eval())["ndcg@10"]
    fitted = trained(tmp_path, model, epochs=15)
    assert fitted.best_metrics["ndcg@10"] > before + 0.3
    assert fitted.stopped == "epochs"
    assert fitted.steps == sum(len(batches_of(model, epoch)) for epoch in range(15))


def test_the_weights_are_those_of_a_loop_written_out(tmp_path: Path) -> None:
    settings = TrainingSettings.model_validate(QUICK | {"weight_decay": 0.1, "clip_norm": 0.5, "warmup_share": 0.3})
    fast, slow = tiny(dropout=0.0), tiny(dropout=0.0)
    fit(fast, tiny_histories(), settings, Occasion(tmp_path, 0, given([1.0, 2.0, 3.0]), device="cpu"))
    matrices, vectors = [slow.item.weight, slow.out.weight], [slow.out.bias, slow.unused]
    groups = [{"params": matrices, "weight_decay": 0.1}, {"params": vectors, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, foreach=False)
    for epoch in range(3):
        batches = batches_of(slow, epoch)
        for number in range(len(batches)):
            optimizer.zero_grad()
            torch.autograd.backward([slow.loss(batches[number]).total])
            torch.nn.utils.clip_grad_norm_(slow.parameters(), 0.5)
            for group in optimizer.param_groups:
                group["lr"] = learning_rate(settings, (epoch + (number + 0.5) / len(batches)) / 3)
            optimizer.step()
    for name, tensor in slow.state().items():
        torch.testing.assert_close(fast.state()[name], tensor, rtol=1e-4, atol=1e-6)


def test_bf16_computes_products_in_bf16_and_fp32_does_not(tmp_path: Path) -> None:
    model = tiny()
    trained(tmp_path / "a", model, given([1.0]), epochs=1, precision="bf16")
    assert model.seen_dtype is torch.bfloat16
    assert {p.dtype for p in model.parameters()} == {torch.float32}
    trained(tmp_path / "b", model, given([1.0]), epochs=1, precision="fp32")
    assert model.seen_dtype is torch.float32


@pytest.mark.parametrize(("has", "used"), [(True, torch.bfloat16), (False, torch.float32)])
def test_automatic_precision_is_what_the_device_of_the_training_has(
    has: bool, used: torch.dtype, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("l2rec.nn.arithmetic.has_bf16", lambda kind: has and kind == "cpu")
    model = tiny()
    trained(tmp_path, model, given([1.0]), epochs=1, precision="auto")
    assert model.seen_dtype is used


def test_the_best_weights_are_kept_and_those_of_a_later_epoch_are_not(tmp_path: Path) -> None:
    seen = []

    def validate(model: Tiny) -> dict[str, float]:
        seen.append(model.out.weight.detach().clone())
        assert not model.training
        assert not torch.is_grad_enabled()
        return {"ndcg@10": [0.1, 0.5, 0.5, 0.4][len(seen) - 1], "recall@10": float(len(seen))}

    model = tiny()
    fitted = trained(tmp_path, model, validate, epochs=4)
    assert (fitted.best_epoch, fitted.best_metrics) == (2, {"ndcg@10": 0.5, "recall@10": 2.0})
    assert torch.equal(model.out.weight, seen[1])
    assert torch.equal(read_tensors(tmp_path / "weights.safetensors")["out.weight"], seen[1])
    (last,) = tmp_path.glob("last/*/weights.safetensors")
    assert torch.equal(read_tensors(last)["out.weight"], seen[3])
    assert [line["best"] for line in lines(tmp_path) if "metrics" in line] == [True, True, False, False]


def test_training_stops_after_as_many_validations_without_a_gain_as_patience_says(tmp_path: Path) -> None:
    values = [0.3, 0.2, 0.4, 0.4, 0.1, 0.9]
    fitted = trained(tmp_path, tiny(), given(values), epochs=9, patience=2)
    assert (fitted.stopped, fitted.best_epoch) == ("patience", 3)
    assert lines(tmp_path)[-1]["epoch"] == 5


def test_validation_comes_every_few_epochs_and_after_the_last(tmp_path: Path) -> None:
    trained(tmp_path, tiny(), given([0.1, 0.2, 0.3]), epochs=5, evaluate_every=2)
    assert [line["epoch"] for line in lines(tmp_path) if "metrics" in line] == [2, 4, 5]


def test_time_that_is_up_ends_the_training_with_a_validation(tmp_path: Path) -> None:
    fitted = trained(tmp_path, tiny(), given([0.1]), evaluate_every=3, max_seconds=1e-9)
    assert (fitted.stopped, fitted.best_epoch) == ("seconds", 1)


@pytest.mark.parametrize(("number", "beyond"), [(signal.SIGINT, -2), (signal.SIGINT, 0), (signal.SIGTERM, 3)])
def test_an_interrupt_ends_the_step_writes_a_checkpoint_and_says_how_to_go_on(
    tmp_path: Path, number: int, beyond: int
) -> None:
    step = len(batches_of(tiny(), 0)) + beyond

    class Interrupted(Tiny):
        losses = 0

        def loss(self, batch: Batch) -> Loss:
            self.losses += 1
            if self.losses == step:
                os.kill(os.getpid(), number)
            return super().loss(batch)

    handlers = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    model = tiny(Interrupted)
    where = rf"last: interrupted at step {step} \(epoch {1 if beyond <= 0 else 2}\); a checkpoint is written\."
    with pytest.raises(RunError, match=where + r" Go on from it with the same command and --resume\."):
        trained(tmp_path / "a", model, checkpoint_every=100)
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == handlers
    trained(tmp_path / "a", tiny(), resume=True, checkpoint_every=100)
    trained(tmp_path / "b", tiny(), checkpoint_every=100)
    assert (tmp_path / "a/weights.safetensors").read_bytes() == (tmp_path / "b/weights.safetensors").read_bytes()


@pytest.mark.parametrize(
    ("precision", "has", "advice"),
    [
        ("fp32", True, r"start anew\.$"),
        ("bf16", False, r'try training\.precision="fp32"'),
        ("auto", True, r'try training\.precision="fp32"'),
        ("auto", False, r"start anew\.$"),
    ],
)
def test_a_loss_that_is_not_finite_is_refused_and_the_weights_stay(
    tmp_path: Path, precision: str, has: bool, advice: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("l2rec.nn.arithmetic.has_bf16", lambda _: has)

    class Exploding(Tiny):
        losses = 0
        kept: torch.Tensor

        def loss(self, batch: Batch) -> Loss:
            self.losses += 1
            loss = super().loss(batch)
            if self.losses < 5:
                return loss
            self.kept = self.out.weight.detach().clone()
            return Loss(loss.total * math.nan, loss.parts, loss.weight)

    model = tiny(Exploding)
    message = (
        r"step 3 \(epoch 1, batch 4\): loss nan, gradient norm nan: expected .* training\.learning_rate \(0\.03\).*"
    )
    with pytest.raises(RunError, match=message + advice):
        trained(tmp_path, model, accumulate=2, precision=precision)
    assert torch.equal(model.out.weight, model.kept)


@pytest.mark.parametrize("metrics", [{"recall@10": 0.1}, {"ndcg@10": math.nan}])
def test_a_validation_without_a_finite_ndcg_is_refused(tmp_path: Path, metrics: dict[str, float]) -> None:
    with pytest.raises(RunError, match=r"validation: ndcg@10 is (None|nan), a finite number is needed .* Add 10 to"):
        trained(tmp_path, tiny(), lambda _: metrics)


def test_a_training_part_without_a_pair_of_events_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"training part: 3 sequences, none of 2 events or more, .* lower --k-core"):
        fit(tiny(), histories_of([[1], [], [2]]), TrainingSettings(), Occasion(tmp_path, 0, Validation(), device="cpu"))


def test_frozen_weights_stay_and_the_log_of_a_dead_run_without_a_checkpoint_is_cut(tmp_path: Path) -> None:
    (tmp_path / "log.jsonl").write_text("half a li")
    model = tiny()
    before = model.frozen.weight.detach().clone()
    trained(tmp_path, model)
    assert torch.equal(model.frozen.weight, before)
    assert lines(tmp_path)[0]["epoch"] == 1
