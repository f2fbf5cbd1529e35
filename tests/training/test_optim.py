"""The optimizer decays matrices only, and the learning rate follows its formula."""

import math

import pytest
import torch
from torch import nn

from l2rec.config import TrainingSettings
from l2rec.errors import RunError
from l2rec.training.optim import adamw, learning_rate
from tests.training.learner import tiny


def test_only_trainable_parameters_are_optimized_and_only_matrices_decay() -> None:
    model = tiny()
    optimizer = adamw(model, TrainingSettings(weight_decay=0.1))
    decay = {id(p): group["weight_decay"] for group in optimizer.param_groups for p in group["params"]}
    expected = {"item.weight": 0.1, "out.weight": 0.1, "out.bias": 0.0, "unused": 0.0}
    assert decay == {id(p): expected[name] for name, p in model.named_parameters() if name in expected}
    assert len(decay) == len(expected)


def test_the_first_step_is_that_of_adamw_written_out() -> None:
    layer = nn.Linear(3, 2)
    optimizer = adamw(layer, TrainingSettings(weight_decay=0.5, learning_rate=0.1))
    before = [layer.weight.detach().clone(), layer.bias.detach().clone()]
    torch.autograd.backward([layer(torch.ones(1, 3)).sum()])
    optimizer.step()  # gradients are 1: the first step of Adam is the learning rate itself
    torch.testing.assert_close(layer.weight.detach(), before[0] * (1 - 0.1 * 0.5) - 0.1)
    torch.testing.assert_close(layer.bias.detach(), before[1] - 0.1)


def test_a_model_without_a_trainable_parameter_is_refused() -> None:
    with pytest.raises(RunError, match=r"model: 0 trainable parameters, training needs 1 or more\. Unfreeze some"):
        adamw(nn.Linear(2, 2).requires_grad_(False), TrainingSettings())


@pytest.mark.parametrize(
    ("schedule", "share", "expected"),
    [
        ("constant", 0.05, 1.0),
        ("constant", 0.1, 2.0),
        ("constant", 1.0, 2.0),
        ("linear", 0.1, 2.0),
        ("linear", 0.55, 1.0),
        ("linear", 1.0, 0.0),
        ("cosine", 0.025, 0.5),
        ("cosine", 0.1, 2.0),
        ("cosine", 0.4, 1 + math.cos(math.pi / 3)),
        ("cosine", 0.55, 1.0),
        ("cosine", 1.0, 0.0),
    ],
)
def test_the_rate_rises_in_the_warm_up_and_then_follows_the_schedule(
    schedule: str, share: float, expected: float
) -> None:
    settings = TrainingSettings(learning_rate=2.0, warmup_share=0.1, schedule=schedule)
    assert learning_rate(settings, share) == pytest.approx(expected, abs=1e-12)


def test_warm_up_may_be_absent_or_everything() -> None:
    assert learning_rate(TrainingSettings(learning_rate=1.0, warmup_share=0.0, schedule="linear"), 0.0) == 1.0
    assert learning_rate(TrainingSettings(learning_rate=1.0, warmup_share=1.0, schedule="cosine"), 0.75) == 0.75
