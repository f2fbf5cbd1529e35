"""EASE: the linear autoencoder over items that has a closed form."""

from collections.abc import Iterator

import numpy as np
import torch
from jaxtyping import Float
from pydantic import Field
from scipy.sparse import coo_array, csr_array
from torch import Tensor

from l2rec.config import ModelSettings
from l2rec.models._base import Counter
from l2rec.models._space import Range, Space
from l2rec.models.floors._links import BLOCK, Votes, elected, empty_tables, incidence, strongest, tables_of
from l2rec.types import Batch, Histories, Items


class Config(ModelSettings):
    """How stiff the autoencoder is, and how a history votes."""

    ridge: float = Field(default=250.0, gt=0)
    """L2 penalty on the weights, in users."""
    links: int = Field(default=500, ge=1)
    """Weights of largest absolute value that are kept of each item; bounds the file and the time of a score."""
    decay: float = Field(default=0.8, gt=0, le=1)
    """Vote of an item relative to that of the next younger one; 1 is the paper's rule without order."""
    prior: float = Field(default=1e-6, ge=0)
    """Score that popularity alone gives the most popular item; orders what no weight reaches."""


SPACE: Space = {
    "model.history": Range(low=1, high=50, log=True),
    "model.ridge": Range(low=1, high=3000, log=True),
    "model.decay": Range(low=0.5, high=1),
    "model.prior": Range(low=1e-6, high=0.1, log=True),
}


class Model(Counter):
    """Scores an item by the weights that lead to it from the items of the history.

    With X the U x M incidence of users and items that have a training event and P = (X'X + ridge I)^-1:
    `B_kj = -P_kj / P_jj`, `B_jj = 0` (Steck 2019, "Embarrassingly shallow autoencoders", eq. 8).

    Memory in fp32: 3 M^2 numbers where M <= U (1.8 GB at M = 12,000), U M + U^2 where users are fewer, since P is then
    made block by block from a U x U factor. Only `links` weights an item are kept.
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
        known = np.flatnonzero(np.bincount(histories.items.numpy(), minlength=self.item_count))
        had = csr_array(had[:, known]).astype(np.float32)  # a count is exact below 2^24
        few_users = had.shape[0] < had.shape[1]
        inverse = _InverseByUsers(had, self.config.ridge) if few_users else _InverseByItems(had, self.config.ridge)
        weights = strongest(_weights(inverse), len(known), self.config.links).tocoo()
        cells = (known[weights.row], known[weights.col])
        shape = (self.item_count, self.item_count)
        self.tables = tables_of(coo_array((weights.data, cells), shape=shape).tocsr(), histories)

    def scores(self, batch: Batch) -> Float[Tensor, "B N"]:
        """See the base class."""
        votes = self.votes.of(batch, self.item_count)
        return elected(votes, self.tables, self.config.prior).to(batch.items.device)


class _InverseByItems:
    """P by the Cholesky factor of the M x M matrix itself."""

    def __init__(self, had: csr_array, ridge: float) -> None:
        gram = torch.from_numpy((had.T @ had).toarray())
        gram.diagonal().add_(ridge)
        self.inverse: Tensor = torch.cholesky_inverse(torch.linalg.cholesky(gram))

    def diagonal(self) -> Float[Tensor, " M"]:
        return self.inverse.diagonal()

    def rows(self, start: int, stop: int) -> Float[Tensor, "block M"]:
        return self.inverse[start:stop]


class _InverseByUsers:
    """P by the identity `(X'X + rI)^-1 = (I - X'(XX' + rI)^-1 X) / r`, whose inverse is only U x U."""

    def __init__(self, had: csr_array, ridge: float) -> None:
        gram = torch.from_numpy((had @ had.T).toarray())
        gram.diagonal().add_(ridge)
        dense = torch.from_numpy(had.toarray())
        self.ridge = ridge
        self.half: Tensor = torch.linalg.solve_triangular(torch.linalg.cholesky(gram), dense, upper=False)

    def diagonal(self) -> Float[Tensor, " M"]:
        return (1 - self.half.square().sum(0)) / self.ridge

    def rows(self, start: int, stop: int) -> Float[Tensor, "block M"]:
        block = -self.half[:, start:stop].T @ self.half
        own = torch.arange(len(block))
        block[own, start + own] += 1
        return block / self.ridge


def _weights(inverse: _InverseByItems | _InverseByUsers) -> Iterator[Float[Tensor, "block M"]]:
    """Yields the rows of B, some at a time."""
    diagonal = inverse.diagonal()
    for start in range(0, len(diagonal), BLOCK):
        block = -inverse.rows(start, start + BLOCK) / diagonal
        own = torch.arange(len(block))
        block[own, start + own] = 0
        yield block
