"""SASRec: a causal Transformer over learned item vectors, trained at every position with a softmax over items."""

from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from l2rec.models._space import Choices, Range, Space
from l2rec.models.ids._sequence import CausalModel, HeadSettings
from l2rec.nn.transformer import Transformer
from l2rec.types import Batch, Items


class Config(HeadSettings):
    """Settings of SASRec; on amazon-beauty-2014 three times the width and more dropout validate 4 % higher."""

    expansion: int = Field(default=4, ge=1)
    """Hidden width of the feed-forward half of a block, in widths."""


SPACE: Space = {
    "model.width": Choices(choices=(64, 128, 256)),
    "model.layers": Range(low=1, high=3),
    "model.heads": Choices(choices=(1, 2, 4)),
    "model.dropout": Range(low=0.1, high=0.7),
    "model.smoothing": Range(low=0, high=0.4),
    "training.batch_size": Choices(choices=(64, 128, 256)),
    "training.learning_rate": Range(low=2e-4, high=5e-3, log=True),
    "training.weight_decay": Range(low=0.01, high=5, log=True),
}


class Model(CausalModel):
    """Self-attentive sequential recommendation (Kang & McAuley 2018) with pre-norm blocks and one table of items.

    With e the item table, p the positions counted from the oldest event that is read, and f the Transformer:
    `u_t = f(sqrt(D) e_1 + p_1, ..., sqrt(D) e_t + p_t)_t` and `score(j) = u_t . e_j`.
    """

    def __init__(self, config: Config, items: Items, attributes: int = 0) -> None:
        """See the base class."""
        super().__init__(config, items, attributes, places=config.history)
        inner = config.expansion * config.width
        self.network = Transformer(config.width, config.layers, config.heads, inner, config.dropout)

    def states(self, batch: Batch) -> Float[Tensor, "B L D"]:
        """See the base class."""
        out: Tensor = self.network(self.placed(self.events(batch.items, batch.mask)))
        return out
