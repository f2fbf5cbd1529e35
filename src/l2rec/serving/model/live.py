"""A run that is alive: one batched answer to many asks, and items that come, change and go while it serves."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path

import torch
from jaxtyping import Float
from numpy import ndarray
from torch import Tensor

from l2rec import models
from l2rec.data.batches import case_batches
from l2rec.data.ids import Ids
from l2rec.errors import ModelError, SettingError
from l2rec.models import Growing, Learner, PrefixReader, Recommender, Retriever, TextReader
from l2rec.nn.room import Room
from l2rec.serving.folder import RunFolder
from l2rec.serving.model.catalogue import Catalogue, read_of
from l2rec.serving.model.facts import Facts
from l2rec.serving.model.loading import loaded
from l2rec.serving.model.prefixes import Prefixes
from l2rec.serving.model.steering import Shares, Steer, parse, steered
from l2rec.serving.records import LiveItem
from l2rec.types import Batch, Histories, Items

__all__ = ["Ask", "Catalogue", "Live"]

_ROWS, _TOKENS = 256, 32_768
"""Asks of one forward pass, and positions of all of them, at most."""


@dataclass(frozen=True)
class Ask:
    """One question to the model.

    Attributes:
        history: Item numbers, oldest first; may be empty.
        attributes: The user's attribute vector, A values; None where nothing is known.
        prompt: What is wanted, in words. With a history it steers; without one it steers what anybody is shown if it
            rules something out or names what items state, and is the whole question otherwise.
        user_id: Whose history it is, so that the next ask reads on where this one stopped; nobody's where empty.
        about: Whether the prompt says who asks and not what is wanted, so that it is never the whole question.
    """

    history: tuple[int, ...] = ()
    attributes: Float[ndarray, " A"] | None = None
    prompt: str | None = None
    user_id: str = ""
    about: bool = False


class Live:
    """A trained run that answers; its methods are called from one thread at a time.

    Attributes:
        folder: The run.
        catalogue: What can be recommended, with later items.
        model: The trained model, in evaluation mode.
        device: Where it computes.
        mask_seen: Whether the run's protocol leaves items of the history out of a list.
        can_grow: Whether later items can be recommended.
        can_read: Whether an ask may have a prompt.
        prefixes: What it remembers of the users it read last; of nobody, unless given more bytes.
    """

    def __init__(
        self, folder: RunFolder, items: Items, item_ids: Ids, model: Recommender, device: torch.device
    ) -> None:
        """Takes what a run folder gives.

        Args:
            folder: The run.
            items: Its catalogue.
            item_ids: The catalogue's outside ids.
            model: Its model, on `device`.
            device: Where it computes.
        """
        self.folder = folder
        self.catalogue = Catalogue(items, item_ids)
        self.model = model.eval()
        self.device = device
        self.mask_seen = folder.settings.evaluation.mask_seen
        self.can_grow = isinstance(model, Growing) and isinstance(model, Retriever)
        self.can_read = isinstance(model, TextReader) and isinstance(model, Retriever) and model.can_read
        self.prefixes = Prefixes(0)
        self._room = Room()
        self._vectors: Tensor | None = None
        self._facts: Facts | None = None

    @classmethod
    def load(cls, run: str | Path | RunFolder, device: str = "cpu") -> "Live":
        """Returns a run, alive.

        Args:
            run: The run folder, or where it lies.
            device: Where it computes.

        Raises:
            RunError: the folder holds no finished run, or its files were changed.
        """
        return cls(*loaded(run, device))

    @torch.no_grad()
    def scores(self, asks: Sequence[Ask]) -> Float[Tensor, "B N"]:
        """Returns the score of every item for every ask, on the CPU; -inf for deleted items.

        Scores are comparable within one ask only.

        Raises:
            ModelError: an ask has a prompt and the model is none that reads.
            SettingError: a prompt is empty, the model was trained without what reads it, or an attribute vector has
                another length than the run's.
        """
        steers = {n: parse(ask.prompt) for n, ask in enumerate(asks) if ask.prompt is not None}
        self._refuse_unread([asks[n].prompt or "" for n in steers])
        questions = [n for n, steer in steers.items() if self._is_question(asks[n], steer)]
        others = sorted({*range(len(asks))} - {*questions})
        found = torch.zeros(len(asks), len(self.catalogue))
        if others:
            found[others] = self._history_scores([asks[n] for n in others])
        if questions:
            found[questions] = self._dots(self._reader.text_vectors(tuple(asks[n].prompt or "" for n in questions)))
        steering = sorted({*steers} - {*questions})
        for n, shares in zip(steering, self._shares([steers[n] for n in steering]), strict=True):
            found[n] = steered(found[n], shares)
        if self.catalogue.deleted:
            found[:, sorted(self.catalogue.deleted)] = -torch.inf
        return found

    @torch.no_grad()
    def vectors(self, asks: Sequence[Ask]) -> Float[Tensor, "B D"] | None:
        """Returns preference vectors to be multiplied with `item_vectors`, on the CPU; None where the model has none.

        They are those of the history, or of the prompt where there is no history. What the model's third signal adds
        to a score stands in no vector.

        Raises:
            ModelError: an ask has only a prompt and the model is none that reads.
            SettingError: a prompt is empty, the model was trained without what reads it, or an attribute vector has
                another length than the run's.
        """
        if not isinstance(self.model, Retriever):
            return None
        words = [n for n, ask in enumerate(asks) if ask.prompt is not None and not ask.history]
        others = sorted({*range(len(asks))} - {*words})
        found = torch.zeros(len(asks), self._known_vectors().shape[1])
        for rows, batch in self.batches([asks[n] for n in others]):
            found[[others[n] for n in rows]] = self.model.user_vectors(batch).float().cpu()
        if words:
            found[words] = self._read([asks[n].prompt or "" for n in words])
        return found

    @torch.no_grad()
    def item_vectors(self) -> Float[Tensor, "N D"] | None:
        """Returns the vectors of the catalogue, on `device`; made once, and anew only for items that change.

        None where the model has none.
        """
        if self._vectors is None and isinstance(self.model, Retriever):
            self._vectors = self.model.item_vectors()
        return self._vectors

    @property
    def facts(self) -> Facts:
        """What the items of the catalogue state in plain words; put together when first asked for."""
        if self._facts is None:
            self._facts = Facts(self.catalogue.titles, self.catalogue.attributes)
        return self._facts

    @torch.no_grad()
    def apply(self, changes: Sequence[LiveItem]) -> None:
        """Takes items that came, changed or went, in the order given; a later change of an item replaces an earlier.

        Where the model can grow, a new item can be recommended at once; elsewhere it waits, and of a known item the
        title and attributes change. A deleted item that is put again can be recommended again.
        """
        numbered = self.catalogue.numbered(changes, self.can_grow)
        anew = {n: item for n, item in sorted(numbered.items()) if self._reads_anew(n, item)}
        if anew and isinstance(self.model, Growing):
            items = list(anew.values())
            texts, titles = tuple(read_of(item) for item in items), tuple(item.title for item in items)
            attributes = tuple(item.attributes for item in items)
            zeros = torch.zeros(len(items), dtype=torch.long)
            vectors, at = self._known_vectors(), torch.tensor(list(anew), device=self.device)
            self.model.put_items(list(anew), Items(texts, titles, attributes, zeros))
            self.prefixes.forget(anew)
            self._vectors = self._room.put("vectors", vectors, at, self.model.some_vectors(at))
        self.catalogue.take(numbered)
        if self._facts is not None:
            for n in sorted(numbered):
                self._facts.put(n, self.catalogue.titles[n], self.catalogue.attributes[n])
        self.catalogue.wait(changes)

    def _reads_anew(self, number: int, item: LiveItem) -> bool:
        known = number < len(self.catalogue)
        return not known or (not item.deleted and self.catalogue.texts[number] != read_of(item))

    def _history_scores(self, asks: list[Ask]) -> Float[Tensor, "B N"]:
        found = torch.zeros(len(asks), len(self.catalogue))
        for rows, batch in self.batches(asks):
            if isinstance(self.model, Retriever) and isinstance(self.model, PrefixReader) and self.prefixes.limit:
                dots = self._read_on([asks[n] for n in rows], batch) @ self._known_vectors().T
                scores = torch.stack([*self.model.with_third({"own": dots}, batch).values()]).sum(0)
            elif isinstance(self.model, Retriever):
                scores = self.model.scores_by(batch, self._known_vectors())
            else:
                scores = self.model.scores(batch)
            found[rows] = scores.float().cpu()
        return found

    def _read_on(self, asks: list[Ask], batch: Batch) -> Float[Tensor, "B D"]:
        assert isinstance(self.model, PrefixReader)
        histories = [ask.history[-self.model.settings.history :] for ask in asks]
        users = [ask.user_id for ask in asks]
        return self.prefixes.vectors(self.model, "", users, histories, batch.attributes)

    def _dots(self, vectors: Float[Tensor, "B D"]) -> Float[Tensor, "B N"]:
        return (vectors.to(self.device) @ self._known_vectors().T).float().cpu()

    def _known_vectors(self) -> Float[Tensor, "N D"]:
        vectors = self.item_vectors()
        assert vectors is not None
        return vectors

    def _read(self, texts: list[str]) -> Float[Tensor, "B D"]:
        self._refuse_unread(texts)
        return self._reader.text_vectors(tuple(texts)).float().cpu()

    def _is_question(self, ask: Ask, steer: Steer) -> bool:
        """Whether a prompt alone is read as it stands: it rules nothing out and names nothing that items state."""
        return not (ask.history or ask.about or steer.unwanted) and self.facts.wanted(steer.wanted) is None

    def _shares(self, steers: list[Steer]) -> Iterator[Shares]:
        """What prompts say of every item; their texts are read together, and scored one prompt after another."""
        texts = list(dict.fromkeys(text for steer in steers for text in (steer.wanted, *steer.unwanted) if text))
        read = self._reader.described(tuple(texts)) if texts else torch.zeros(0, 0)
        for steer in steers:
            said = [text for text in (steer.wanted, *steer.unwanted) if text]
            rows = self._dots(read[[texts.index(text) for text in said]]) if said else torch.zeros(0, 0)
            yield Shares(
                rows[0] if steer.wanted else None,
                rows[-len(steer.unwanted) :] if steer.unwanted else None,
                self.facts.wanted(steer.wanted),
                self.facts.excluded(steer.unwanted),
                self.facts.left(steer.wanted),
                tuple(self.facts.left(text) for text in steer.unwanted),
            )

    @property
    def _reader(self) -> TextReader:
        if not (isinstance(self.model, TextReader) and isinstance(self.model, Retriever)):
            able = [name for name in models.names() if issubclass(models.find(name).model, TextReader)]
            raise ModelError(
                f"{self.folder.path}: {self.folder.manifest.model} cannot read text. "
                f"Pass a user or a history, or a run of a model that can: {', '.join(able) or 'none is installed'}."
            )
        return self.model

    def _refuse_unread(self, texts: list[str]) -> None:
        if any(not text.strip() for text in texts):
            raise SettingError("recommend: the text is empty. Say in words what is wanted.")
        if texts and not self.can_read:
            self._reader.text_vectors(tuple(texts[:1]))  # says why

    def batches(self, asks: Sequence[Ask]) -> list[tuple[list[int], Batch]]:
        """Returns the histories of the asks as batches of like length on `device`, each with its places in `asks`.

        Raises:
            SettingError: an attribute vector has another length than the run's.
        """
        length, width = self.model.settings.history, self.model.attribute_count
        kept = [ask.history[-length:] for ask in asks]
        offsets = torch.tensor([0, *accumulate(len(history) for history in kept)])
        items = torch.tensor([n for history in kept for n in history], dtype=torch.long)
        times = torch.tensor([place for history in kept for place in range(len(history))], dtype=torch.long)
        people = torch.zeros(len(asks), width)
        for row, ask in enumerate(asks):
            if ask.attributes is not None:
                people[row] = torch.from_numpy(_checked(ask.attributes, width))
        counts = torch.ones(len(self.catalogue), dtype=torch.long)
        if isinstance(self.model, Learner):
            counts = self.model.token_counts
        cut = case_batches(
            Histories(items, times, offsets, people),
            length=length,
            batch_size=_ROWS,
            token_counts=counts,
            max_tokens=_TOKENS,
        )
        return [(rows.tolist(), batch.to(self.device)) for rows, batch in cut]


def _checked(attributes: Float[ndarray, " _given"], width: int) -> Float[ndarray, " A"]:
    if attributes.shape != (width,):
        raise SettingError(f"attributes: {attributes.size} values: the run has {width}. Pass a vector of that length.")
    return attributes
