"""Windowed popularity: every history gets the items with the most training events in the last window."""

from typing import Literal

import torch
from jaxtyping import Bool, Float
from pydantic import Field
from torch import Tensor

from l2rec.config import ModelSettings
from l2rec.models._base import Counter
from l2rec.models._space import Choices, Range, Space
from l2rec.types import Batch, Histories, Items


class Config(ModelSettings):
    """How long the window is, and by whose clock; `history` is not read."""

    share: float = Field(default=0.1, gt=0, le=1)
    """Share of the training events that lie in the window."""
    clock: Literal["data", "user"] = "data"
    """Whose latest events count: `data`, of all events by timestamp; `user`, of each user's own, for data whose
    timestamps are only positions."""


SPACE: Space = {
    "model.clock": Choices(choices=("data", "user")),
    "model.share": Range(low=0.01, high=1, log=True),
}


class Model(Counter):
    """Scores an item by its events in the window; events before it only break ties."""

    def __init__(self, config: Config, items: Items, attributes: int = 0) -> None:
        """See the base class."""
        super().__init__(config, items, attributes)
        self.config = config
        self.tables = {"events": torch.zeros(len(items))}

    def count(self, histories: Histories) -> None:
        """See the base class."""
        recent = self._recent_by_time(histories) if self.config.clock == "data" else self._recent_by_user(histories)
        ever = torch.bincount(histories.items, minlength=self.item_count).double()
        last = torch.bincount(histories.items[recent], minlength=self.item_count).double()
        self.tables = {"events": (last + ever / (ever.sum() + 1)).float()}

    def _recent_by_time(self, histories: Histories) -> Bool[Tensor, " M"]:
        """Every event not older than the last one that the share reaches; equal times stay together."""
        events = len(histories.times)
        if events == 0:
            return torch.zeros(0, dtype=torch.bool)
        youngest_left_out = int((1 - self.config.share) * events)
        return histories.times >= histories.times.sort().values[youngest_left_out]

    def _recent_by_user(self, histories: Histories) -> Bool[Tensor, " M"]:
        """The last events of each user, as many as the share says, rounded up."""
        lengths = histories.lengths()
        age = histories.offsets[1:].repeat_interleave(lengths) - torch.arange(len(histories.items))
        return age <= (self.config.share * lengths).ceil().long().repeat_interleave(lengths)

    def scores(self, batch: Batch) -> Float[Tensor, "B N"]:
        """See the base class."""
        return self.tables["events"].to(batch.items.device).expand(len(batch), -1).clone()
