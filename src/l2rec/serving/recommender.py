"""Answers from a run folder: outside ids and titles in, outside ids and titles out."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import polars as pl
import torch
from jaxtyping import Float
from numpy import ndarray
from torch import Tensor

from l2rec.data.ids import Ids
from l2rec.data.prepared import Prepared
from l2rec.errors import SettingError
from l2rec.evaluation.ranking import best
from l2rec.models import Recommender as Model
from l2rec.serving.folder import RunFolder
from l2rec.serving.model.live import Ask, Live
from l2rec.types import Histories, Items


@dataclass(frozen=True)
class Recommendation:
    """One place of a list.

    Attributes:
        item_id: The item's outside id.
        title: What a person is shown; the id where the catalogue has no title.
        score: The model's own score; comparable within one list only.
    """

    item_id: str
    title: str
    score: float


@dataclass(frozen=True)
class Recommender:
    """A trained run that answers; needs the run folder, and the prepared data only for `user_id`.

    Attributes:
        folder: The run.
        items: The catalogue.
        item_ids: The catalogue's outside ids.
        model: The trained model, in evaluation mode.
        device: Where it computes.
    """

    folder: RunFolder
    items: Items
    item_ids: Ids
    model: Model
    device: torch.device

    @classmethod
    def load(cls, path: str | Path, device: str = "cpu") -> "Recommender":
        """Returns the recommender of a run folder.

        Raises:
            RunError: the folder holds no finished run, or its files were changed.
        """
        folder = RunFolder.open(Path(path))
        folder.refuse_unfinished()
        items, item_ids = folder.catalogue()
        where = torch.device(device)
        return cls(folder, items, item_ids, folder.model(items, where), where)

    def recommend(
        self,
        *,
        user_id: str | None = None,
        history: Sequence[str] | None = None,
        text: str | None = None,
        prompt: str | None = None,
        k: int = 10,
    ) -> list[Recommendation]:
        """Returns the best items, best first, for exactly one of a user, a history or a text.

        Args:
            user_id: A user of the run's data; everything that the data knows of the user is the history.
            history: Item ids, oldest first; may be empty.
            text: What is wanted, in words; only some models can read it.
            prompt: What is wanted now, in words, beside a user or a history; only some models can read it.
            k: Length of the list.

        Raises:
            DataError: an id is unknown.
            ModelError: the model cannot read text.
            SettingError: none or several of the three are given, a prompt beside a text, or `k` is below 1.
            RunError: `user_id` is given and the run's data has gone or changed.
        """
        if sum(asked is not None for asked in (user_id, history, text)) != 1:
            raise SettingError("recommend: pass exactly one of user_id, history and text.")
        if k < 1:
            raise SettingError(f"recommend: k {k}: below 1. Ask for a list of 1 or more items.")
        if prompt is not None and text is not None:
            raise SettingError("recommend: pass a prompt with a user or a history; a text is the whole question.")
        numbers, people = self._past(user_id, history)
        scores = self.live.scores([Ask(tuple(numbers), people, prompt if text is None else text)])
        return self._listed(scores[0], numbers, k)

    def _past(
        self, user_id: str | None, history: Sequence[str] | None
    ) -> tuple[list[int], Float[ndarray, " A"] | None]:
        if user_id is None:
            return self.live.catalogue.numbers(history or ()), None
        user = self.data.user_ids.number(user_id)
        return self._pasts.sequence(user).tolist(), self.data.train.attributes[user].numpy()

    def scores(self, numbers: Sequence[int], attributes: Float[Tensor, " A"] | None = None) -> Float[Tensor, " N"]:
        """Returns the score of every item for a history of item numbers, oldest first; it may be empty.

        Args:
            numbers: The history.
            attributes: The user's attribute vector; zeros where not given.
        """
        people = None if attributes is None else attributes.numpy()
        return self.live.scores([Ask(tuple(numbers), people)])[0]

    @cached_property
    def live(self) -> Live:
        """The same run as what a service asks: in batches, with prompts, and with items that came later."""
        return Live(self.folder, self.items, self.item_ids, self.model, self.device)

    @cached_property
    def data(self) -> Prepared:
        """The prepared data that the run was trained on.

        Raises:
            RunError: it has gone or changed.
        """
        return self.folder.data()

    @cached_property
    def _pasts(self) -> Histories:
        return pasts(self.data)

    def _listed(self, scores: Float[Tensor, " N"], seen: Sequence[int], k: int) -> list[Recommendation]:
        if self.folder.settings.evaluation.mask_seen:
            scores = scores.index_fill(0, torch.tensor(sorted(set(seen)), dtype=torch.long), -torch.inf)
        order, values = best(scores[None], min(k, len(scores)))
        found = zip(order[0].tolist(), values[0].tolist(), strict=True)
        return [
            Recommendation(self.live.catalogue.id(number), self.live.catalogue.title(number), score)
            for number, score in found
            if score > -torch.inf
        ]


def pasts(prepared: Prepared) -> Histories:
    """Returns, by user number, everything that prepared data knows of every user, oldest first.

    Held-out events that no case asks for are among them.
    """
    names = ("train", "validation", "test")
    tables = [pl.read_parquet(prepared.folder / f"{name}.parquet") for name in names]
    columns = pl.col("user", "item", "timestamp").cast(pl.Int64)
    events = pl.concat([table.select(columns) for table in tables]).sort("user", maintain_order=True)
    user, item, time = (torch.tensor(events[name].to_numpy()) for name in ("user", "item", "timestamp"))
    lengths = torch.bincount(user, minlength=len(prepared.user_ids))
    offsets = torch.cat((torch.zeros(1, dtype=torch.long), lengths.cumsum(0)))
    return Histories(item, time, offsets, prepared.train.attributes)
