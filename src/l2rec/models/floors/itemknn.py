"""ItemKNN: the nearest neighbours of a history's items, by the cosine of who had them."""

import numpy as np
from jaxtyping import Float
from pydantic import Field
from scipy.sparse import csr_array, diags_array
from torch import Tensor

from l2rec.config import ModelSettings
from l2rec.models._base import Counter
from l2rec.models.floors._links import Votes, elected, empty_tables, incidence, strongest, tables_of
from l2rec.types import Batch, Histories, Items


class Config(ModelSettings):
    """How near two items are, and how a history votes."""

    neighbours: int = Field(default=200, ge=1)
    """Neighbours that each item of a history votes for."""
    shrink: float = Field(default=10.0, ge=0)
    """Users added to the denominator, so that a similarity that rests on few users is small."""
    popularity_power: float = Field(default=0.5, ge=0)
    """Power of an item's users in the denominator: 0.5 is the cosine, more leans to rare items."""
    decay: float = Field(default=1.0, gt=0, le=1)
    """Vote of an item relative to that of the next younger one; 1 is the classical rule without order."""
    prior: float = Field(default=1e-6, ge=0)
    """Score that popularity alone gives the most popular item; orders what no neighbour reaches."""


class Model(Counter):
    """Scores an item by its similarity to the items of the history.

    With G the users that two items share and g the users of one: `S_kj = G_kj / (g_k^p g_j^p + shrink)`, of which the
    largest of each row k are kept (Deshpande & Karypis 2004, with shrinkage).
    """

    def __init__(self, config: Config, items: Items, attributes: int = 0) -> None:
        """See the base class."""
        super().__init__(config, items, attributes)
        self.config = config
        self.votes = Votes(config.history, config.decay)
        self.tables = empty_tables(len(items))

    def count(self, histories: Histories) -> None:
        """See the base class."""
        had = incidence(histories, self.item_count)
        shared = csr_array(had.T @ had)
        users = shared.diagonal()
        near = csr_array(shared - diags_array(users))
        near.eliminate_zeros()
        row = np.repeat(np.arange(self.item_count), np.diff(near.indptr))
        near.data /= (users[row] * users[near.indices]) ** self.config.popularity_power + self.config.shrink
        self.tables = tables_of(strongest(near, self.config.neighbours), histories)

    def scores(self, batch: Batch) -> Float[Tensor, "B N"]:
        """See the base class."""
        votes = self.votes.of(batch, self.item_count)
        return elected(votes, self.tables, self.config.prior).to(batch.items.device)
