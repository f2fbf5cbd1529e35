"""GRU4Rec: a recurrent network over learned item vectors, trained at every position with a softmax over items."""

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor, nn

from l2rec.models._space import Range, Space
from l2rec.models.ids._sequence import SEQUENCE_SPACE, CausalModel, SequenceSettings
from l2rec.types import Batch, Items


class Config(SequenceSettings):
    """Settings of GRU4Rec."""

    layers: int = Field(default=1, ge=1)
    """Recurrent layers; the papers found one to be best."""


SPACE: Space = {**SEQUENCE_SPACE, "model.layers": Range(low=1, high=2)}


class Model(CausalModel):
    """Session-based recommendation with recurrent networks (Hidasi et al. 2016, Hidasi & Karatzoglou 2018).

    With e the item table and f the gated recurrent units: `u_t = norm f(sqrt(D) e_1, ..., sqrt(D) e_t)_t` and
    `score(j) = u_t . e_j`; the table that is read is the one that is asked, which the second paper calls constrained
    embedding.

    Deviations: the loss is the softmax over the whole catalogue at every position, in place of TOP1 or BPR-max over the
    other sessions' items and drawn ones, and batches are whole windows of users, in place of session-parallel ones
    whose state is carried on without a gradient. A norm stands after the network, and items have no bias of their own.
    A user's whole history is one session.
    """

    def __init__(self, config: Config, items: Items, attributes: int = 0) -> None:
        """See the base class."""
        super().__init__(config, items, attributes)
        self.network = nn.GRU(config.width, config.width, config.layers, batch_first=True)
        self.norm = nn.LayerNorm(config.width)

    def states(self, batch: Batch) -> Float[Tensor, "B L D"]:
        """See the base class."""
        events = self.placed(self.events(batch.items, batch.mask))
        with torch.autocast(events.device.type, enabled=False):  # a state that is rounded at every step drifts
            states: Tensor = self.network(events.float())[0]
        out: Tensor = self.norm(self.dropout(states))
        return out
