"""Item transitions: what came soon after what, normalised by degree, voted by the last items of a history."""

from collections.abc import Sequence
from itertools import chain

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Float
from pydantic import Field
from scipy.sparse import coo_array, csr_array, diags_array, hstack
from torch import Tensor

from l2rec.config import ModelSettings
from l2rec.models._base import Counter
from l2rec.models._space import Range, Space
from l2rec.models.floors._links import Votes, elected, empty_tables, tables_of
from l2rec.nn.words import words_of
from l2rec.types import Batch, Histories, Items


class Config(ModelSettings):
    """How transitions are counted and how a history votes."""

    history: int = Field(default=10, ge=1, le=10_000)
    """Items of a history that vote, counted from its end."""
    window: int = Field(default=5, ge=1)
    """Largest distance, in events of one user, at which two items are linked; the weight is 1 / distance."""
    reverse: float = Field(default=0.3, ge=0)
    """Weight of a link against the order of time, relative to one along it."""
    decay: float = Field(default=0.7, gt=0, le=1)
    """Vote of an item relative to that of the next younger one."""
    out_power: float = Field(default=0.3, ge=0)
    """Power of the weight that leaves an item, by which its links are divided."""
    in_power: float = Field(default=0.05, ge=0)
    """Power of the weight that reaches an item, by which the links to it are divided."""
    attribute_weight: float = Field(default=0.1, ge=0)
    """Weight of the cosine of IDF-weighted attributes, relative to a transition score of 1."""
    title_weight: float = Field(default=0.1, ge=0)
    """Weight of the cosine of the IDF-weighted words of the titles, relative to a transition score of 1."""
    prior: float = Field(default=1e-6, ge=0)
    """Score that popularity alone gives the most popular item; orders what no link reaches."""


SPACE: Space = {
    "model.history": Range(low=2, high=50, log=True),
    "model.window": Range(low=1, high=10),
    "model.reverse": Range(low=0, high=1),
    "model.decay": Range(low=0.5, high=1),
    "model.out_power": Range(low=0, high=1),
    "model.in_power": Range(low=0, high=0.5),
    "model.attribute_weight": Range(low=0, high=0.5),
    "model.title_weight": Range(low=0, high=0.5),
    "model.prior": Range(low=1e-6, high=0.1, log=True),
}


class Model(Counter):
    """Scores an item by the transitions that lead to it and by the attributes that it shares with the history.

    With C the counts, o and i their row and column sums, w the votes, f and g the normalised IDF vectors of attributes
    and of titles: `score(h, j) = sum_k w_k (C_kj / (o_k^a i_j^b) + c f_k . f_j + d g_k . g_j)`, plus the prior of
    popularity.
    """

    def __init__(self, config: Config, items: Items, attributes: int = 0) -> None:
        """See the base class."""
        super().__init__(config, items, attributes)
        self.config = config
        self.votes = Votes(config.history, config.decay)
        words = tuple(tuple(words_of(title)) for title in items.titles)
        sides = ((config.attribute_weight, items.attributes), (config.title_weight, words))
        described = [weight**0.5 * idf_vectors(tokens) for weight, tokens in sides if weight]
        self.features = csr_array(hstack([csr_array((len(items), 0), dtype=np.float32), *described]))
        self.tables = empty_tables(len(items))

    def count(self, histories: Histories) -> None:
        """See the base class."""
        counts = transitions(histories, self.item_count, self.config.window, self.config.reverse)
        leave = _inverse_power(np.asarray(counts.sum(1), dtype=np.float64), self.config.out_power)
        reach = _inverse_power(np.asarray(counts.sum(0), dtype=np.float64), self.config.in_power)
        self.tables = tables_of(csr_array(diags_array(leave) @ counts @ diags_array(reach)), histories)

    def scores(self, batch: Batch) -> Float[Tensor, "B N"]:
        """See the base class."""
        votes = self.votes.of(batch, self.item_count)
        scores = elected(votes, self.tables, self.config.prior)
        if self.features.nnz:
            scores += torch.from_numpy((votes @ self.features @ self.features.T).toarray())
        return scores.to(batch.items.device)


def transitions(histories: Histories, items: int, window: int, reverse: float) -> csr_array:
    """Returns the N x N counts of one item soon after another, each pair weighted by 1 / its distance.

    Args:
        histories: The training part.
        items: N.
        window: Largest distance.
        reverse: What a pair adds to the link against the order of time.
    """
    owner = np.repeat(np.arange(len(histories)), histories.lengths().numpy())
    events = histories.items.numpy()
    counts = csr_array((items, items))
    for distance in range(1, window + 1):
        same = owner[distance:] == owner[:-distance]
        earlier, later = events[:-distance][same], events[distance:][same]
        weights = np.full(len(earlier), 1 / distance)
        forth = coo_array((weights, (earlier, later)), shape=(items, items)).tocsr()
        counts = csr_array(counts + forth + reverse * forth.T)
    return counts


def idf_vectors(described: Sequence[Sequence[str]]) -> csr_array:
    """Returns each item's tokens as a unit vector weighted by log(N / items that have it); zero where it has none.

    Args:
        described: Tokens of every item; one that is given twice counts once.
    """
    tokens = [sorted(set(own)) for own in described]
    numbers = {token: n for n, token in enumerate(sorted(set(chain.from_iterable(tokens))))}
    owner = np.repeat(np.arange(len(tokens)), [len(own) for own in tokens])
    column = np.array([numbers[token] for token in chain.from_iterable(tokens)], dtype=np.int64)
    idf = np.log(len(tokens) / np.maximum(np.bincount(column, minlength=len(numbers)), 1))
    vectors = coo_array((idf[column], (owner, column)), shape=(len(tokens), len(numbers))).tocsr()
    vectors.eliminate_zeros()
    norms = np.sqrt(vectors.multiply(vectors).sum(1))
    return csr_array(diags_array(_inverse_power(norms, 1.0)) @ vectors).astype(np.float32)


def _inverse_power(values: npt.NDArray[np.float64], power: float) -> npt.NDArray[np.float64]:
    """Returns value^-power, and 0 where the value is 0."""
    return np.where(values > 0, np.where(values > 0, values, 1.0) ** -power, 0.0)
