"""ItemKNN: the nearest neighbours of a history's items, by the cosine of who had them."""

from collections.abc import Iterator

import torch
from jaxtyping import Float
from pydantic import Field
from scipy.sparse import csr_array
from torch import Tensor

from l2rec.config import ModelSettings
from l2rec.models._base import Counter
from l2rec.models._space import Range, Space
from l2rec.models.floors._links import BLOCK, Votes, elected, empty_tables, incidence, strongest, tables_of
from l2rec.types import Batch, Histories, Items


class Config(ModelSettings):
    """How near two items are, and how a history votes."""

    neighbours: int = Field(default=200, ge=1)
    """Neighbours that each item of a history votes for."""
    shrink: float = Field(default=10.0, ge=0)
    """Users added to the denominator, so that a similarity that rests on few users is small."""
    popularity_power: float = Field(default=0.5, ge=0)
    """Power of an item's users in the denominator: 0.5 is the cosine, more leans to rare items."""
    decay: float = Field(default=0.8, gt=0, le=1)
    """Vote of an item relative to that of the next younger one; 1 is the classical rule without order."""
    prior: float = Field(default=1e-6, ge=0)
    """Score that popularity alone gives the most popular item; orders what no neighbour reaches."""


SPACE: Space = {
    "model.history": Range(low=1, high=50, log=True),
    "model.neighbours": Range(low=50, high=2000, log=True),
    "model.shrink": Range(low=0.1, high=100, log=True),
    "model.popularity_power": Range(low=0, high=1),
    "model.decay": Range(low=0.5, high=1),
    "model.prior": Range(low=1e-6, high=0.1, log=True),
}


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
        links = strongest(self._near(had), self.item_count, self.config.neighbours)
        self.tables = tables_of(links, histories)

    def _near(self, had: csr_array) -> Iterator[Float[Tensor, "block N"]]:
        """Yields the similarities of every item to all others, some items at a time."""
        owners, users = csr_array(had.T), torch.from_numpy(had.sum(0)).float()
        for start in range(0, self.item_count, BLOCK):
            shared = torch.from_numpy((owners[start : start + BLOCK] @ had).toarray()).float()
            popularity = torch.outer(users[start : start + BLOCK], users) ** self.config.popularity_power
            near = shared / (popularity + self.config.shrink).clamp(min=1e-9)  # 0 / 0 for an item that nobody had
            own = torch.arange(len(near))
            near[own, start + own] = 0
            yield near

    def scores(self, batch: Batch) -> Float[Tensor, "B N"]:
        """See the base class."""
        votes = self.votes.of(batch, self.item_count)
        return elected(votes, self.tables, self.config.prior).to(batch.items.device)
