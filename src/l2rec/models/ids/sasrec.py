"""SASRec: a causal Transformer over learned item vectors, trained at every position with a softmax over items."""

from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from l2rec.models._space import Space
from l2rec.models.ids._sequence import HEAD_SPACE, CausalModel, HeadSettings
from l2rec.nn.transformer import Transformer
from l2rec.types import Batch, Items


class Config(HeadSettings):
    """Settings of SASRec; on amazon-beauty-2014 three times the width and more dropout validate 4 % higher."""

    expansion: int = Field(default=4, ge=1)
    """Hidden width of the feed-forward half of a block, in widths."""


SPACE: Space = HEAD_SPACE


class Model(CausalModel):
    """Self-attentive sequential recommendation (Kang & McAuley 2018) with pre-norm blocks and one table of items.

    With e the item table, p the positions counted from the oldest event that is read, and f the Transformer:
    `u_t = f(sqrt(D) e_1 + p_1, ..., sqrt(D) e_t + p_t)_t` and `score(j) = u_t . e_j`.

    Deviations: a softmax over the catalogue, smoothed, in place of a binary cross-entropy with one negative; positions
    are counted from the oldest event, not from the newest; norms stand before each half and before keys and values,
    too; the feed-forward half is four times as wide, with GELU; attention has several heads and a map behind them.
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
