"""Item-to-item links: the sparse table that three floors count, and the votes of a history along it."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float
from scipy.sparse import coo_array, csr_array, vstack
from torch import Tensor

from l2rec.types import Batch, Histories

Tables = dict[str, Tensor]
BLOCK = 1024
"""Rows of a table that are dense at a time."""


@dataclass(frozen=True)
class Votes:
    """How the items of a history vote.

    Attributes:
        last: Items that vote, counted from the end of the history.
        decay: Weight of a vote relative to that of the next younger item; the last item's weight is 1.
    """

    last: int
    decay: float

    def of(self, batch: Batch, items: int) -> csr_array:
        """Returns the weight of every item in every row, B x N; an item that occurs twice votes twice.

        An item beyond the catalogue, which came after the counting, holds its place in the history and has no vote.
        """
        mask = batch.mask.cpu()
        age = mask.sum(1, keepdim=True) - mask.cumsum(1)
        row, column = (mask & (age < self.last) & (batch.items.cpu() < items)).nonzero(as_tuple=True)
        weights = np.power(self.decay, age[row, column].numpy()).astype(np.float32)
        chosen = batch.items.cpu()[row, column].numpy()
        return coo_array((weights, (row.numpy(), chosen)), shape=(len(batch), items)).tocsr()


def empty_tables(items: int) -> Tables:
    """Returns the tables of a floor that has counted nothing: no link, no event."""
    crow = torch.zeros(items + 1, dtype=torch.int32)
    col, values = torch.zeros(0, dtype=torch.int32), torch.zeros(0)
    return {"links.crow": crow, "links.col": col, "links.values": values, "events": torch.zeros(items)}


def tables_of(links: csr_array, histories: Histories) -> Tables:
    """Returns N x N links as three tensors, in fp32, beside the number of events of every item."""
    links.sort_indices()
    return {
        "links.crow": torch.from_numpy(links.indptr.astype(np.int32)),
        "links.col": torch.from_numpy(links.indices.astype(np.int32)),
        "links.values": torch.from_numpy(links.data.astype(np.float32)),
        "events": torch.bincount(histories.items, minlength=links.shape[0]).float(),
    }


def links_of(tables: Tables) -> csr_array:
    """Returns the links of `tables_of` as the matrix that they were, row = the item that votes."""
    parts = (tables[f"links.{part}"].numpy() for part in ("values", "col", "crow"))
    items = len(tables["events"])
    return csr_array(tuple(parts), shape=(items, items))


def elected(votes: csr_array, tables: Tables, prior: float) -> Float[Tensor, "B N"]:
    """Returns the sum of the links that lead from a row's votes to each item, plus a prior for items without one.

    Args:
        votes: Weights of the items of each history, B x N.
        tables: What `tables_of` returned.
        prior: What the most popular item gets on top; the others get their share of it by events.
    """
    linked = torch.from_numpy((votes @ links_of(tables)).toarray())
    return linked + prior * tables["events"] / tables["events"].max().clamp(min=1)


def incidence(histories: Histories, items: int) -> csr_array:
    """Returns which user had which item, U x N, as ones."""
    users = np.repeat(np.arange(len(histories)), histories.lengths().numpy())
    ones = np.ones(len(users))
    had = coo_array((ones, (users, histories.items.numpy())), shape=(len(histories), items)).tocsr()
    had.data[:] = 1  # the conversion has added up the repeats
    return had


def strongest(blocks: Iterable[Float[Tensor, "_ N"]], items: int, keep: int) -> csr_array:
    """Returns the `keep` links of largest absolute value of every row; of equal ones, those to the lower numbers.

    Args:
        blocks: The rows in order, some at a time, so that the whole table need never be dense.
        items: N.
        keep: Links a row, at most.
    """
    kept = [csr_array((0, items), dtype=np.float32)]
    kept += [csr_array(block.where(_is_strongest(block.abs(), keep), 0.0).numpy()) for block in blocks]
    return csr_array(vstack(kept))


def _is_strongest(sizes: Float[Tensor, "block N"], keep: int) -> Bool[Tensor, "block N"]:
    if keep >= sizes.shape[1]:
        return torch.ones_like(sizes, dtype=torch.bool)
    least = sizes.topk(keep, dim=1).values[:, -1:]
    larger, equal = sizes > least, sizes == least
    return larger | (equal & (equal.cumsum(1, dtype=torch.int32) <= keep - larger.sum(1, keepdim=True)))
