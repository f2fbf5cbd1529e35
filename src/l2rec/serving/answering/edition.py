"""A release as a server process holds it, and one that is alive: its model on a thread of its own."""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy import ndarray
from torch import Tensor

from l2rec.serving.answering.batching import Batcher
from l2rec.serving.answering.choice import Listed, Question, chosen
from l2rec.serving.answering.shelf import Shelf, Tokens
from l2rec.serving.folder import RunFolder
from l2rec.serving.model.catalogue import Catalogue
from l2rec.serving.model.explain import Explanation, explain
from l2rec.serving.model.live import Ask, Live
from l2rec.serving.model.prefixes import Prefixes
from l2rec.serving.records import LiveItem, Release
from l2rec.serving.wishes import Filters, Wish

__all__ = ["Edition", "Engine", "Listed", "LiveEdition", "Question"]


Vectors = Callable[[Int[ndarray, " M"]], Float[ndarray, "M D"]]
"""From item numbers to their vectors."""


@dataclass(frozen=True)
class Engine:
    """How a model is run.

    Attributes:
        device: Where it computes.
        largest: Questions of a batch, at most.
        most: Questions that may wait.
        remembered: Bytes for what the model has read of the users who asked last, so that it need only read on.
        sizes: Called with the size of every batch.
        load: Brings a run to life on a device.
    """

    device: str = "cpu"
    largest: int = 32
    most: int = 256
    remembered: int = 512 * 2**20
    sizes: Callable[[int], None] = lambda _: None
    load: Callable[[RunFolder, str], Live] = Live.load


class Edition(ABC):
    """A release, as one server process holds it.

    Attributes:
        is_live: Whether its model answers.
        release: What was published.
        folder: Its run.
        shelf: The catalogue at this moment.
        changes: Number of the last change of items that is on the shelf.
        mask_seen: Whether the run's protocol leaves items of the history out.
        can_read: Whether its model reads prompts.
        width: Values of a user's attribute vector.
        window: Items of a history that its model reads, the last ones.
    """

    is_live: ClassVar[bool]
    shelf: Shelf
    can_read: bool
    width: int
    window: int

    def __init__(self, release: Release, folder: RunFolder, catalogue: Catalogue) -> None:
        """Keeps what was published; whoever inherits puts it on a shelf.

        Args:
            release: What was published.
            folder: Its run.
            catalogue: The run's items.
        """
        self.release, self.folder = release, folder
        self.mask_seen = folder.settings.evaluation.mask_seen
        self.changes = 0
        self._catalogue, self._tokens, self._changed = catalogue, Tokens(catalogue.attributes), frozenset[int]()
        self._order = asyncio.Lock()

    @staticmethod
    def load(
        release: Release, changes: Sequence[LiveItem], engine: Engine, folder: RunFolder | None = None
    ) -> "LiveEdition":
        """Returns a release that is alive.

        Args:
            release: What was published.
            changes: What changed of its items since.
            engine: How it is run.
            folder: Its run, where it has been opened already.

        Raises:
            RunError: the run has gone or is not what was published.
        """
        live = engine.load(folder or RunFolder.open(Path(release.run)), engine.device)
        live.folder.refuse_other_weights(release.weights)
        return LiveEdition(release, live, changes, engine)

    @abstractmethod
    async def ask(self, question: Question, seconds: float) -> Listed:
        """Returns the model's list; see `Batcher.ask` for what it raises.

        Raises:
            ComingError: the model is not alive yet.
        """

    @abstractmethod
    async def catch_up(self, changes: Callable[[int], Sequence[LiveItem]]) -> None:
        """Takes over what changed of the items since the last call.

        Args:
            changes: Reads the changes after a number from the store; called in a thread.
        """

    @abstractmethod
    async def alike(self, number: int, k: int, filters: Filters, seconds: float = Wish.deadline) -> Listed:
        """Returns the items most like an item: by the cosine of the model's vectors, by tokens where it has none.

        See `Batcher.errand` for what it raises.

        Raises:
            ComingError: the model is not alive yet.
        """

    @abstractmethod
    async def explained(self, ask: Ask, numbers: Sequence[int], seconds: float = Wish.deadline) -> Explanation:
        """Returns why items have their scores; other questions wait meanwhile.

        See `Batcher.errand` for what it raises.

        Raises:
            ComingError: the model is not alive yet.
        """

    @abstractmethod
    def close(self) -> None:
        """Takes no more questions; what was accepted is answered. Returns at once."""

    def _shelved(self, changes: Sequence[LiveItem], grows: bool, vectors: Vectors | None = None) -> Shelf:
        """The catalogue as it is after some changes.

        Args:
            changes: What has been changed in it.
            grows: Whether the model reads later and rewritten items.
            vectors: Gives the vectors of later items; where None, none of them can be placed in a list made ahead.
        """
        catalogue = self._catalogue
        self._changed |= {catalogue.number(change.item_id) for change in changes if change.item_id in catalogue}
        deleted = frozenset(catalogue.deleted)
        later = range(catalogue.trained, len(catalogue)) if vectors is not None else ()
        added = np.array([n for n in later if n not in deleted], dtype=np.int64)
        some = np.zeros((0, 0)) if vectors is None else vectors(added)
        rewritten = frozenset(filter(catalogue.is_rewritten, self._changed)) if grows else frozenset[int]()
        return Shelf(catalogue, len(catalogue), deleted, self._changed, self._tokens, added, some, rewritten)


class LiveEdition(Edition):
    """A release with its model.

    Attributes:
        live: The model; touched on the batcher's thread alone.
        batcher: The thread.
    """

    is_live = True

    def __init__(self, release: Release, live: Live, changes: Sequence[LiveItem], engine: Engine) -> None:
        """Starts the thread.

        Args:
            release: What was published.
            live: Its run, as it was trained.
            changes: What changed of its items since.
            engine: How it is run.
        """
        super().__init__(release, live.folder, live.catalogue)
        self.live, self.can_read = live, live.can_read
        live.prefixes = Prefixes(engine.remembered)
        self._apply(changes)
        self.batcher = Batcher[Question, Listed](
            self._answered, largest=engine.largest, most=engine.most, sizes=engine.sizes
        )

    @property
    def width(self) -> int:  # type: ignore[override]
        """See the base class."""
        return self.live.model.attribute_count

    @property
    def window(self) -> int:  # type: ignore[override]
        """See the base class."""
        return self.live.model.settings.history

    async def ask(self, question: Question, seconds: float) -> Listed:
        """See the base class."""
        return await self.batcher.ask(question, seconds)

    async def catch_up(self, changes: Callable[[int], Sequence[LiveItem]]) -> None:
        """See the base class."""
        async with self._order:
            new = await asyncio.to_thread(changes, self.changes)
            if new:
                await self.batcher.between(lambda: self._apply(new))

    async def alike(self, number: int, k: int, filters: Filters, seconds: float = Wish.deadline) -> Listed:
        """See the base class."""
        return await self.batcher.errand(lambda: self._alike(number, k, filters), seconds)

    async def explained(self, ask: Ask, numbers: Sequence[int], seconds: float = Wish.deadline) -> Explanation:
        """See the base class."""
        return await self.batcher.errand(lambda: explain(self.live, ask, numbers, self.batcher.refuse_late), seconds)

    def close(self) -> None:
        """See the base class."""
        self.batcher.stop()

    def _apply(self, changes: Sequence[LiveItem]) -> None:
        if changes:
            self.live.apply(changes)
            self.changes = max(change.number for change in changes)
        self.shelf = self._shelved(changes, self.live.can_grow, self._some_vectors)

    def _alike(self, number: int, k: int, filters: Filters) -> Listed:
        vectors = self._item_vectors()
        if vectors is None:
            scores = torch.from_numpy(self.shelf.kinship(number)).float()
        else:
            units = torch.nn.functional.normalize(vectors.float(), dim=1)
            scores = (units @ units[number]).cpu()
        return self._cut(scores, Question(Ask(), k, (number,), filters))

    def _answered(self, questions: Sequence[Question]) -> list[Listed]:
        """Called on the thread: one forward call for all, then each list by itself."""
        scores = self.live.scores([question.ask for question in questions])
        return [self._cut(scores[row], question) for row, question in enumerate(questions)]

    def _cut(self, scores: Float[Tensor, " N"], question: Question) -> Listed:
        return chosen(scores, question, self.shelf, self._item_vectors() if question.diversity else None)

    def _item_vectors(self) -> Float[Tensor, "N D"] | None:
        vectors = self.live.item_vectors()
        return None if vectors is None else vectors.detach()

    def _some_vectors(self, numbers: Int[ndarray, " M"]) -> Float[ndarray, "M D"]:
        vectors = self._item_vectors()
        if vectors is None:
            return np.zeros((len(numbers), 0))
        return np.asarray(vectors[torch.from_numpy(numbers)].float().cpu().numpy())
