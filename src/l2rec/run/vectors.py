"""Vectors that learnt weights gave, for the next model that has the same weights and another third signal."""

from collections.abc import Callable
from hashlib import sha256

import torch
from torch import Tensor

from l2rec.models import Retriever
from l2rec.types import Batch


class Vectors:
    """Item vectors, and the user vectors of every batch that was asked for, made once.

    Each trial of a search for the third signal's weight is a model of its own, asked the same cases; the backbone
    reads the histories for the first of them alone. They are kept where the model is: cases times width numbers.
    """

    def __init__(self) -> None:
        """Knows no vector yet."""
        self._items: Tensor | None = None
        self._users: dict[bytes, Tensor] = {}

    def scorer(self, model: Retriever, device: torch.device) -> Callable[[Batch], Tensor]:
        """Returns the model's scores of a batch, `B N`, on its device.

        Args:
            model: In evaluation mode; what it has learnt is what the models before it had learnt.
            device: Where its weights lie.
        """
        if self._items is None:
            with torch.no_grad():
                self._items = model.item_vectors()
        items = self._items

        def scores(batch: Batch) -> Tensor:
            there, name = batch.to(device), _name(batch)
            if name not in self._users:
                self._users[name] = model.user_vectors(there)
            return model.scores_between(self._users[name], items, there)

        return scores


def _name(batch: Batch) -> bytes:
    """Tells a batch from every other by what a model reads of it."""
    read = (batch.items.masked_fill(~batch.mask, 0), batch.mask, batch.times.masked_fill(~batch.mask, 0))
    told = sha256(str(batch.items.shape).encode())
    for tensor in (*read, batch.attributes):
        told.update(tensor.cpu().contiguous().numpy().tobytes())
    return told.digest()
