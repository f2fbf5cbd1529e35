"""A learner that is small enough to be trained in a test, with everything in it that a resume could lose."""

from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, dropout

from l2rec.config import ModelSettings
from l2rec.data.batches import case_batches
from l2rec.models._base import Retriever
from l2rec.types import Batch, Items, Loss
from tests.worlds import tiny_cases, tiny_items


class Config(ModelSettings):
    """Settings of the tiny model."""

    width: int = 8
    """Width of a vector."""
    dropout: float = 0.3
    """Share of the input that is dropped out."""
    drift: float = 0.01
    """How fast the buffer follows the batches; it makes the next loss depend on all before."""


class Tiny(Retriever):
    """Predicts the next item from the last one through a frozen matrix, with dropout and a drifting buffer."""

    def __init__(self, config: Config, items: Items, attributes: int = 0) -> None:
        super().__init__(config, items, attributes)
        self.tiny = config
        self.item = nn.Embedding(len(items), config.width)
        self.out = nn.Linear(config.width, config.width)
        self.unused = nn.Parameter(torch.ones(3))
        self.frozen = nn.Linear(config.width, config.width, bias=False).requires_grad_(False)
        self.register_buffer("drift", torch.zeros(config.width))
        self.seen_dtype: torch.dtype | None = None

    def _hidden(self, batch: Batch) -> Tensor:
        inputs = self.item(batch.items)
        if self.training:
            inputs = dropout(inputs, self.tiny.dropout)
        hidden = self.frozen(self.out(inputs))
        self.seen_dtype = hidden.dtype
        return torch.tanh(hidden) + self.drift

    def loss(self, batch: Batch) -> Loss:
        assert batch.targets is not None
        assert batch.target_mask is not None
        hidden = self._hidden(batch)[batch.target_mask]
        loss = cross_entropy(hidden.float() @ self.item.weight.T, batch.targets[batch.target_mask])
        with torch.no_grad():
            self.drift.lerp_(hidden.float().mean(0), self.tiny.drift)
        self.readings["drift"] = float(self.drift.norm())
        self.readings["losses"] = self.readings.get("losses", 0.0) + 1
        return Loss(loss, {"retrieval": loss.item()}, int(batch.target_mask.sum()))

    def user_vectors(self, batch: Batch) -> Tensor:
        last = (batch.lengths() - 1).clamp(min=0)
        return self._hidden(batch)[torch.arange(len(batch)), last]

    def item_vectors(self) -> Tensor:
        return self.item.weight


M = TypeVar("M", bound=Tiny)


def tiny(kind: type[M] = Tiny, **settings: float) -> M:  # type: ignore[assignment]
    """A fresh model of the little world of 30 items, always with the same weights."""
    torch.manual_seed(0)
    return kind(Config.model_validate({"history": 8, **settings}), tiny_items(30))


@dataclass
class Validation:
    """NDCG@10 over the cases of the little world, and chance consumed on the way."""

    calls: int = 0

    def __call__(self, model: Retriever) -> dict[str, float]:
        self.calls += 1
        torch.rand(7)
        cases, total = tiny_cases(users=40, items=30), 0.0
        for rows, batch in case_batches(cases.histories, length=8, batch_size=16, token_counts=model.token_counts):
            scores = model.scores(batch.to(next(model.parameters()).device)).cpu()
            target = scores.gather(1, cases.targets[rows, None])
            rank = (scores > target).sum(1)
            total += float(torch.where(rank < 10, 1 / torch.log2(rank + 2.0), 0.0).sum())
        return {"ndcg@10": total / len(cases)}
