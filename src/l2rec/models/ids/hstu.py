"""HSTU: pointwise gated attention over item vectors with a bias for distance and time, and a softmax over items."""

from jaxtyping import Float
from torch import Tensor

from l2rec.models._space import Range, Space
from l2rec.models.ids._sequence import HEAD_SPACE, CausalModel, HeadSettings
from l2rec.nn.pointwise import PointwiseNetwork
from l2rec.types import Batch, Items


class Config(HeadSettings):
    """Settings of HSTU."""

    clock: bool = False
    """Whether the time between two events counts beside their distance, for data whose timestamps are seconds; a model
    that reads a clock must be asked with timestamps too."""


SPACE: Space = {**HEAD_SPACE, "model.layers": Range(low=1, high=6)}


class Model(CausalModel):
    """The sequence model of "Actions speak louder than words" (Zhai et al. 2024), at the size of its small rivals.

    With e the item table, p the positions counted from the oldest event that is read, and f the layers of
    `nn.pointwise`: `u_t = f(sqrt(D) e_1 + p_1, ..., sqrt(D) e_t + p_t)_t` and `score(j) = u_t . e_j`.

    Deviations: actions and item attributes are no part of the sequence, as the data have none. A last norm and dot
    products stand in place of cosines with a temperature, and a softmax over the whole catalogue in place of sampled
    negatives, as in all models of this room. The time bias is that between two events that are read; the authors' code
    takes the query's time from the event to come, which here is the target's. The stochastic shortening of long
    histories is left out, as is the fused kernel: both are for histories of thousands. Norms and maps have weights and
    biases of their own where the authors' have none, and output maps start smaller. `clock`, off by default, adds the
    time bias.
    """

    def __init__(self, config: Config, items: Items, attributes: int = 0) -> None:
        """See the base class."""
        super().__init__(config, items, attributes, places=config.history)
        self.clock = config.clock
        self.network = PointwiseNetwork(config.width, config.layers, config.heads, config.history, config.dropout)

    def states(self, batch: Batch) -> Float[Tensor, "B L D"]:
        """See the base class."""
        events = self.placed(self.events(batch.items, batch.mask))
        out: Tensor = self.network(events, batch.times if self.clock else None)
        return out
