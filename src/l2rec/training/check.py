"""Everything that a training would stumble over at its first step, found before it: `train --check`."""

import math
import time
from dataclasses import dataclass

import torch
from torch import Tensor

from l2rec.config import TrainingSettings
from l2rec.errors import RunError
from l2rec.models._base import Learner
from l2rec.training.occasion import Occasion
from l2rec.training.seeds import sow
from l2rec.training.setup import Setup, batches_of, set_up
from l2rec.types import Batch, Histories, Loss


@dataclass(frozen=True)
class Checked:
    """What a training would be, had it begun.

    Attributes:
        device: Where it would compute.
        processes: How many processes would share a step.
        trainable: Parameters that would be learnt.
        frozen: Parameters that would not.
        steps_per_epoch: Steps of the first epoch; another may have a few more or fewer, as sequences are cut anew.
        steps: Steps of all epochs, early stop apart.
        padding: Share of the first epoch's token positions that hold padding.
        loss: The untrained model's loss on the batch with the most positions.
        forward_seconds: How long that took; a step takes about three times as long.
        memory: Bytes that one process would hold at once, by `weights`, `gradients`, `optimizer` and `activations`; the
            last as measured in that batch, all without what the allocator and the validation add.
    """

    device: str
    processes: int
    trainable: int
    frozen: int
    steps_per_epoch: int
    steps: int
    padding: float
    loss: float
    forward_seconds: float
    memory: dict[str, int]


def check(model: Learner, train: Histories, settings: TrainingSettings, occasion: Occasion) -> Checked:
    """Builds all that `fit` would, computes one loss, and leaves weights and folder as they were.

    Raises:
        RunError: `fit` would raise it before its first step, or the first loss is not finite.
        SettingError: a tracker is unknown.
        MissingExtraError: a tracker's package is not installed.
    """
    setup = set_up(model, train, settings, occasion)
    batches = batches_of(model, train, settings, setup, occasion.seed)
    largest = max(batches, key=lambda batch: _room(batch, model.token_counts))
    before = {name: tensor.clone() for name, tensor in model.state().items()}
    begun = time.perf_counter()
    loss, activations = _forward(setup, model, largest, occasion.seed)
    seconds = time.perf_counter() - begun
    model.load_state(before)
    if not math.isfinite(loss):
        raise RunError(f"first loss: {loss}: expected a finite number. Look at the model's settings and its backbone.")
    trainable = sum(p.numel() for p in model.parameters() if p.requires_grad)
    steps = math.ceil(len(batches) / settings.accumulate)
    return Checked(
        device=str(setup.processes.device),
        processes=setup.processes.size,
        trainable=trainable,
        frozen=sum(p.numel() for p in model.parameters()) - trainable,
        steps_per_epoch=steps,
        steps=steps * settings.epochs,
        padding=batches.padding_share(),
        loss=loss,
        forward_seconds=seconds,
        memory=_memory(model, activations),
    )


def _room(batch: Batch, token_counts: Tensor) -> int:
    return int((token_counts[batch.items] * batch.mask).sum(1).max()) * len(batch)


def _forward(setup: Setup, model: Learner, batch: Batch, seed: int) -> tuple[float, int]:
    """The loss, and the bytes of everything that its backward pass would have to find again."""
    known = {tensor.untyped_storage().data_ptr() for tensor in (*model.parameters(), *model.buffers())}
    kept: dict[int, Tensor] = {}

    def keep(tensor: Tensor) -> Tensor:
        place = tensor.untyped_storage().data_ptr()
        if place not in known:
            kept[place] = tensor
        return tensor

    rows, _ = setup.processes.shard(batch)
    model.train()
    sow(seed, 0, setup.processes.rank, setup.processes.device)
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        loss: Loss = setup.step.objective(rows)
    model.readings.clear()
    return loss.total.item(), _bytes(list(kept.values()))


def _memory(model: Learner, activations: int) -> dict[str, int]:
    gradients = sum(p.numel() * p.element_size() for p in model.parameters() if p.requires_grad)
    weights = _bytes([*model.parameters(), *model.buffers()])
    return {"weights": weights, "gradients": gradients, "optimizer": 2 * gradients, "activations": activations}


def _bytes(tensors: list[Tensor]) -> int:
    """Bytes of the memory behind the tensors, each stretch counted once."""
    stretches = {tensor.untyped_storage().data_ptr(): tensor.untyped_storage().nbytes() for tensor in tensors}
    return sum(stretches.values())
