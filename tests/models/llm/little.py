"""Little L2Rec models on the language model of the tests, and a few steps downhill."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from l2rec.config import validated
from l2rec.models.llm.l2rec import Config, Model
from l2rec.nn.router import SIGNALS
from l2rec.types import Batch, Items
from tests import worlds

SMALL: dict[str, Any] = {
    "views": "both",
    "fusion": "acf",
    "semantic": 4,
    "behavioural": 4,
    "history": 8,
    "dtype": "float32",
    "rank": 2,
    "tokens_per_item": 4,
    "item_tokens": 8,
    "projector_width": 8,
    "router_width": 3,
    "signals": SIGNALS,
    "dropout": 0.0,
    "id_dropout": 0.0,
    "smoothing": 0.0,
    "temperature": 0.2,
    "transition_weight": 0.0,
}
FORMS: dict[str, dict[str, Any]] = {
    "semantic": {"views": "semantic"},
    "behavioural": {"views": "behavioural"},
    "static": {"views": "behavioural", "signals": (), "behavioural": 2},
    "mean": {"fusion": "mean"},
    "gate-less": {"fusion": "gate-less"},
    "input": {"integration": "input"},
    "output": {"integration": "output"},
}
"""Settings under which the two views, or what joins them, are other than usual."""
SEQUENCES = [[3, 10, 2, 7, 22], [7, 22, 8], [1, 4, 13, 11], [6, 19, 28, 27]]


def made(backbone: Path | str, items: Items | None = None, attributes: int = 0, **more: Any) -> Model:
    torch.manual_seed(0)
    settings = validated(Config, SMALL | {"backbone": str(backbone)} | more, "model")
    return Model(settings, items or worlds.tiny_items(), attributes)


def steps(model: Model, count: int = 1, rate: float = 1e-2, batch: Batch | None = None) -> list[dict[str, float]]:
    """Takes some steps downhill and returns the parts of the loss."""
    optimizer = torch.optim.AdamW((p for p in model.parameters() if p.requires_grad), lr=rate)
    found = []
    for _ in range(count):
        optimizer.zero_grad()
        loss = model.train().loss(batch or worlds.training_batch_of(SEQUENCES))
        loss.total.backward()
        optimizer.step()
        assert loss.total.item() == pytest.approx(sum(loss.parts.values()), rel=1e-5)
        found.append(loss.parts)
    return found


@torch.no_grad()
def scores(model: Model, *histories: list[int]) -> Tensor:
    return model.eval().scores(worlds.batch_of(histories))
