"""A run that makes rows: the lists, preference vectors and histories of many users at once."""

from typing import NamedTuple, Self

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy import ndarray
from torch import Tensor

from l2rec.data.batches import case_batches
from l2rec.evaluation.ranking import best
from l2rec.models import Learner, Recommender, Retriever
from l2rec.serving.folder import RunFolder
from l2rec.serving.index import SCORES, Cells, Exact, Found, Index, Pairs, index_of, ordered, recall
from l2rec.serving.publishing.audience import Audience, Users
from l2rec.serving.records import UserRow
from l2rec.types import Batch, Histories

MOST_TOKENS = 1 << 15
"""Positions of a batch in the model, at most."""
SAMPLE = 256
"""Users on whom faiss's cells are chosen, and as many others on whom its recall is measured."""


class _Asked(NamedTuple):
    """What a batch of users asks: their histories, their vectors, and what they may not get."""

    batch: Batch
    users: Float[Tensor, "B D"]
    seen: Pairs


class Lister:
    """A trained run that makes rows, the same for the same users in the same batches.

    Attributes:
        model: The model, in evaluation mode.
        k: Length of the lists.
        mask_seen: Whether what a history holds is left out of its list.
        index: What the lists are searched in; None where the model has no vectors.
    """

    def __init__(self, model: Recommender, k: int, kind: str = "auto", mask_seen: bool = True) -> None:
        """Makes the index.

        Args:
            model: A trained model, in evaluation mode, on its device.
            k: Length of the lists; the whole catalogue where that is shorter.
            kind: How the lists are searched.
            mask_seen: Whether what a history holds is left out of its list.

        Raises:
            SettingError: there is no such kind.
            MissingExtraError: faiss is wanted and not installed.
        """
        self.model = model
        self.device = next((p.device for p in model.parameters()), torch.device("cpu"))
        self.k = min(k, model.item_count)
        self.mask_seen = mask_seen
        self.index: Index | None = None
        if isinstance(model, Retriever):
            with torch.no_grad():
                self.index = index_of(model.item_vectors(), kind)

    @classmethod
    def load(cls, folder: RunFolder, k: int, kind: str = "auto", device: str = "cpu") -> Self:
        """Returns the lister of a run that was trained to the end; what is seen is left out as in its evaluation.

        Raises:
            RunError: the run is unfinished or its files were changed.
            MissingExtraError: faiss is wanted and not installed.
        """
        folder.refuse_unfinished()
        items, _ = folder.catalogue()
        return cls(folder.model(items, torch.device(device)), k, kind, folder.settings.evaluation.mask_seen)

    @property
    def search(self) -> str:
        """How the lists are searched, in words."""
        return "exact" if self.index is None else self.index.name

    @property
    def cells(self) -> int | None:
        """How many cells faiss looks at; None where the search is exact."""
        return self.index.probed if isinstance(self.index, Cells) else None

    def look_at(self, cells: int) -> None:
        """Sets how many cells faiss looks at, as `measure` chose them elsewhere; an exact search stays one."""
        if isinstance(self.index, Cells):
            self.index.probe(cells)

    def plan(self, audience: Audience, batch: int) -> list[Users]:
        """Returns the users of every batch; see `Audience.plan`.

        Args:
            audience: Who gets a row.
            batch: Users of a batch, at most; fewer where their scores would not fit `SCORES`.
        """
        count = self.model.item_count
        tokens = self.model.token_counts if isinstance(self.model, Learner) else torch.ones(count, dtype=torch.long)
        if not (isinstance(self.model, Retriever) and self.model.third is None):
            batch = max(1, min(batch, SCORES // count))
        return audience.plan(self.model.settings.history, tokens.cpu(), batch, MOST_TOKENS)

    def rows(self, audience: Audience, users: Users) -> list[tuple[str, bytes]]:
        """Returns the rows of some users, each with its outside id, as a store takes them."""
        histories = audience.part(users)
        numbers, scores, vectors = self.lists(histories)
        items, offsets = histories.items.numpy(), histories.offsets.numpy()
        attributes = histories.attributes.numpy()
        found = scores > -np.inf
        return [
            (
                audience.ids[user],
                UserRow(
                    numbers[row][found[row]],
                    scores[row][found[row]],
                    items[offsets[row] : offsets[row + 1]],
                    attributes[row],
                    vectors[row],
                    int(audience.upto[user]),
                ).to_bytes(),
            )
            for row, user in enumerate(users.tolist())
        ]

    def lists(self, histories: Histories) -> tuple[Int[ndarray, "B K"], Float[ndarray, "B K"], Float[ndarray, "B D"]]:
        """Returns the lists of some histories, their scores and the preference vectors, from one call of the model.

        A score of minus infinity is a place without an item. D = 0 where the model has no vectors.
        """
        asked = self._asked(histories)
        numbers, scores = self._found(asked, self.index)
        return numbers.cpu().numpy(), scores.float().cpu().numpy(), asked.users.float().cpu().numpy()

    def measure(self, audience: Audience) -> float | None:
        """Chooses how many cells faiss looks at, and returns the share of the exact lists that it then finds.

        The exact lists are those of the whole model, its third signal included. Chosen and measured on different
        users, drawn with one seed. None where the search is exact.
        """
        if not isinstance(self.index, Cells):
            return None
        drawn = np.random.default_rng(0).permutation(len(audience))[: 2 * SAMPLE]
        tuning, measuring = drawn[: max(1, len(drawn) // 2)], drawn[len(drawn) // 2 :]
        users = [self._asked(audience.part(some)).users for some in self._few(tuning)]
        self.index.tune(torch.cat(users), self.k)
        exact, shares = Exact(self.index.vectors), []
        for some in self._few(measuring):
            asked = self._asked(audience.part(some))
            shares += [recall(self._found(asked, self.index), self._found(asked, exact))] * len(some)
        return float(np.mean(shares))

    def _few(self, users: Users) -> list[Users]:
        """The users in parts whose scores fit `SCORES`, and whose histories fit the model."""
        parts = -(-len(users) // max(1, min(32, SCORES // self.model.item_count)))
        return np.array_split(users, parts)

    @torch.no_grad()
    def _asked(self, histories: Histories) -> _Asked:
        counts = torch.zeros(self.model.item_count, dtype=torch.long)  # all alike, so that the order stays
        length = self.model.settings.history
        [(_, batch)] = case_batches(histories, length=length, batch_size=len(histories), token_counts=counts)
        batch = batch.to(self.device)
        users = self.model.user_vectors(batch) if isinstance(self.model, Retriever) else torch.zeros(len(batch), 0)
        return _Asked(batch, users, self._seen(histories))

    def _seen(self, histories: Histories) -> Pairs:
        """What each row may not get, each pair once."""
        if not self.mask_seen:
            return torch.zeros(0, dtype=torch.long), torch.zeros(0, dtype=torch.long)
        rows = torch.arange(len(histories)).repeat_interleave(histories.lengths())
        pairs = torch.unique(rows * self.model.item_count + histories.items).to(self.device)
        return pairs // self.model.item_count, pairs % self.model.item_count

    @torch.no_grad()
    def _found(self, asked: _Asked, index: Index | None) -> Found:
        if index is None:
            return best(hidden(self.model.scores(asked.batch), asked.seen), self.k)
        third = self._third(asked.batch)
        if third is None:
            return index.search(asked.users, self.k, asked.seen)
        if isinstance(index, Exact):
            return best(hidden(asked.users @ index.vectors.T + third, asked.seen), self.k)
        return self._united(asked, index, third)

    def _united(self, asked: _Asked, index: Index, third: Float[Tensor, "B N"]) -> Found:
        """The best of the index's candidates and of the third signal's, by the sum of both.

        An item that is among the best of neither is lost, however high its sum.
        """
        third = hidden(third, asked.seen)
        numbers = (
            torch.cat((index.search(asked.users, self.k, asked.seen)[0], best(third, self.k)[0]), 1).sort(1).values
        )
        scores = torch.einsum("bd,bcd->bc", asked.users, index.vectors[numbers]) + third.gather(1, numbers)
        scores[:, 1:].masked_fill_(numbers[:, 1:] == numbers[:, :-1], -torch.inf)
        return ordered(numbers, scores, index.weight, self.k)

    def _third(self, batch: Batch) -> Float[Tensor, "B N"] | None:
        if not isinstance(self.model, Retriever) or self.model.third is None:
            return None
        return self.model.third_weight * self.model.third.scores(batch)


def hidden(scores: Float[Tensor, "B N"], pairs: Pairs) -> Float[Tensor, "B N"]:
    """Returns a copy of the scores with minus infinity at some pairs of row and item."""
    scores = scores.clone(memory_format=torch.contiguous_format)
    scores[pairs] = -torch.inf
    return scores
