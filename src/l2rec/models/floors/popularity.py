"""Popularity: every history gets the items with the most training events."""

import torch
from jaxtyping import Float
from torch import Tensor

from l2rec.config import ModelSettings
from l2rec.models._base import Counter
from l2rec.types import Batch, Histories, Items


class Config(ModelSettings):
    """Popularity has nothing to set; `history` is not read."""


class Model(Counter):
    """Scores an item by the number of its training events, whatever the history."""

    def __init__(self, config: Config, items: Items, attributes: int = 0) -> None:
        """See the base class."""
        super().__init__(config, items, attributes)
        self.tables = {"events": torch.zeros(len(items))}

    def count(self, histories: Histories) -> None:
        """See the base class."""
        self.tables = {"events": torch.bincount(histories.items, minlength=self.item_count).float()}

    def scores(self, batch: Batch) -> Float[Tensor, "B N"]:
        """See the base class."""
        return self.tables["events"].to(batch.items.device).expand(len(batch), -1).clone()
