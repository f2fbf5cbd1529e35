"""Answers from a run folder: outside ids and titles in, outside ids and titles out."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import polars as pl
import torch
from jaxtyping import Float
from torch import Tensor

from l2rec.data.ids import Ids
from l2rec.data.prepared import Prepared
from l2rec.errors import SettingError
from l2rec.models import Recommender as Model
from l2rec.serving.answering.choice import Question, chosen
from l2rec.serving.answering.shelf import Shelf, Tokens
from l2rec.serving.folder import RunFolder
from l2rec.serving.model.live import Ask, Live
from l2rec.serving.model.loading import loaded
from l2rec.serving.model.traits import Attributes, Told, prompt_of, told, vector_of
from l2rec.serving.wishes import Limits, Wish
from l2rec.types import Histories, Items

_MOST = 2**31
_NO_LIMITS = Limits(k=_MOST, ids=_MOST, characters=_MOST, text=_MOST, seconds=_MOST)


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
        return cls(*loaded(path, device))

    def recommend(
        self,
        *,
        user_id: str | None = None,
        history: Sequence[str] | None = None,
        text: str | None = None,
        attributes: Attributes | None = None,
        k: int | None = None,
        wish: Wish | None = None,
    ) -> list[Recommendation]:
        """Returns the best items, best first, for exactly one of a user, a history or a text.

        The list is that of `l2rec serve` for the same question. Where the service makes do, this refuses: an unknown id
        and words that the model cannot read; and it asks the model even where nothing at all is known, where the
        service names what is popular.

        Args:
            user_id: A user of the run's data; everything that the data knows of the user is the history.
            history: Item ids, oldest first; may be empty.
            text: What is wanted, in words; only some models can read it.
            attributes: The user's attribute vector, A values, or values by name, beside a history or a text; without a
                history their words steer a model that reads.
            k: Length of the list; 10 where neither it nor a wish is given.
            wish: What is wanted of the list: its length, filters, diversity, a prompt beside a user or a history, and
                whether seen items are listed. Its deadline is not looked at.

        Raises:
            DataError: an id is unknown.
            ModelError: the model cannot read text.
            SettingError: none or several of the three are given, a length in two places, a prompt beside a text,
                attributes beside a user, unknown ones beside a history, not as many as the run's, or a value of the
                wish is out of range.
            RunError: `user_id` is given and the run's data has gone or changed.
        """
        if sum(asked is not None for asked in (user_id, history, text)) != 1:
            raise SettingError("recommend: pass exactly one of user_id, history and text.")
        wish = _wished(k, wish)
        if wish.prompt is not None and text is not None:
            raise SettingError("recommend: pass a prompt with a user or a history; a text is the whole question.")
        ask = self._ask(user_id, history, attributes, wish.prompt if text is None else text)
        masks = self.live.mask_seen if wish.mask_seen is None else wish.mask_seen
        question = Question(ask, wish.k, ask.history if masks else (), wish.filters, wish.diversity)
        [scores] = self.live.scores([ask])
        listed = chosen(scores, question, self._shelf(), self.live.item_vectors() if wish.diversity else None)
        catalogue = self.live.catalogue
        return [Recommendation(catalogue.id(n), catalogue.title(n), score) for n, score in zip(*listed, strict=True)]

    def _ask(
        self, user_id: str | None, history: Sequence[str] | None, attributes: Attributes | None, words: str | None
    ) -> Ask:
        if user_id is not None:
            if attributes is not None:
                raise SettingError(
                    "recommend: pass attributes with a history or a text; the data knows those of a user."
                )
            user = self.data.user_ids.number(user_id)
            return Ask(tuple(self._pasts.sequence(user).tolist()), self.data.train.attributes[user].numpy(), words)
        numbers, said = self.live.catalogue.numbers(history or ()), told(attributes, self.folder.manifest)
        if numbers and said.strange:
            raise SettingError(
                f"attributes: {said.strange[0]}: the run knows no such value. Leave it out, or say it in words."
            )
        vector = vector_of(said, self.live.model.attribute_count)
        prompt, about = prompt_of(Told() if numbers else said, self.live.can_read, words)
        return Ask(tuple(numbers), vector, prompt, about=about)

    def _shelf(self) -> Shelf:
        """The catalogue as it is now."""
        catalogue, trained = self.live.catalogue, self.items.attributes
        changed = (n for n, own in enumerate(catalogue.attributes) if n >= len(trained) or own is not trained[n])
        nothing = np.zeros(0, dtype=np.int64), np.zeros((0, 0))
        deleted = frozenset(catalogue.deleted)
        return Shelf(catalogue, len(catalogue), deleted, frozenset(changed), self._tokens, *nothing)

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

    @cached_property
    def _tokens(self) -> Tokens:
        return Tokens(self.items.attributes)


def _wished(k: int | None, wish: Wish | None) -> Wish:
    """The wish, or one of `k` places; as much as anybody may want, since nobody else waits."""
    if k is not None and k < 1:
        raise SettingError(f"recommend: k {k}: below 1. Ask for a list of 1 or more items.")
    if wish is None:
        return Wish() if k is None else Wish(k)
    if k is not None:
        raise SettingError(f"recommend: k {k} beside a wish of {wish.k} places. Say the length in the wish alone.")
    wish.check(_NO_LIMITS)
    return wish


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
