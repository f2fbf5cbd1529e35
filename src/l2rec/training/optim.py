"""AdamW over what may be trained, and the learning rate as a pure function of how far the training has come."""

import math

import torch
from torch import nn

from l2rec.config import TrainingSettings
from l2rec.errors import RunError


def adamw(model: nn.Module, settings: TrainingSettings) -> torch.optim.AdamW:
    """Returns AdamW (Loshchilov & Hutter 2019) over the trainable parameters, in one fused kernel where there is one.

    Weight decay pulls on matrices only: a bias, a scale or a gate has no reason to be near zero.

    Raises:
        RunError: every parameter of the model is frozen.
    """
    trainable = [p for p in model.parameters() if p.requires_grad]
    if not trainable:
        raise RunError(
            "model: 0 trainable parameters, training needs 1 or more. Unfreeze some in the model's settings."
        )
    groups = [
        {"params": [p for p in trainable if p.ndim >= 2], "weight_decay": settings.weight_decay},
        {"params": [p for p in trainable if p.ndim < 2], "weight_decay": 0.0},
    ]
    fused = all(p.is_floating_point() and p.device.type in ("cpu", "cuda", "mps") for p in trainable)
    return torch.optim.AdamW([g for g in groups if g["params"]], lr=settings.learning_rate, fused=fused)


def learning_rate(settings: TrainingSettings, share: float) -> float:
    """Returns the learning rate when `share` of all planned steps is done.

    It rises in a line from 0 to the peak during the warm-up, then follows the schedule, which ends at 0 unless it is
    constant. As nothing but `share` counts, there is no scheduler whose state a checkpoint would have to keep.

    Args:
        settings: Peak, warm-up and schedule.
        share: From 0 to 1; the middle of a step, so that neither the first nor the last one is wasted on a rate of 0.
    """
    if share < settings.warmup_share:
        return settings.learning_rate * share / settings.warmup_share
    left = (1 - share) / (1 - settings.warmup_share) if settings.warmup_share < 1 else 0.0
    course = {"constant": 1.0, "linear": left, "cosine": 0.5 * (1 - math.cos(math.pi * left))}
    return settings.learning_rate * course[settings.schedule]
