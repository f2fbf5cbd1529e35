"""A release that is alive: its model on a thread of its own, and what is on the shelf."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from l2rec.serving.answering.batching import Batcher
from l2rec.serving.answering.choice import Listed, Question, chosen
from l2rec.serving.answering.shelf import Shelf, Tokens
from l2rec.serving.model.explain import Explanation, explain
from l2rec.serving.model.live import Ask, Live
from l2rec.serving.model.prefixes import Prefixes
from l2rec.serving.records import LiveItem, Release
from l2rec.serving.wishes import Filters, Wish

__all__ = ["Edition", "Engine", "Listed", "Question"]


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
    load: Callable[[Path, str], Live] = Live.load


class Edition:
    """A release with its model, as one server process holds it.

    Attributes:
        release: What was published.
        live: The model; touched on the batcher's thread alone.
        shelf: The catalogue at this moment.
        changes: Number of the last change of items that is on the shelf.
        mask_seen: Whether the run's protocol leaves items of the history out.
        batcher: The thread.
    """

    def __init__(self, release: Release, live: Live, changes: Sequence[LiveItem], engine: Engine) -> None:
        """Starts the thread.

        Args:
            release: What was published.
            live: Its run, as it was trained.
            changes: What changed of its items since.
            engine: How it is run.
        """
        self.release, self.live = release, live
        live.prefixes = Prefixes(engine.remembered)
        self.mask_seen = live.folder.settings.evaluation.mask_seen
        self.changes = 0
        self._tokens, self._changed = Tokens(live.catalogue.attributes), frozenset[int]()
        self._apply(changes)
        self.batcher = Batcher[Question, Listed](
            self._answered, largest=engine.largest, most=engine.most, sizes=engine.sizes
        )
        self._order = asyncio.Lock()

    @classmethod
    def load(cls, release: Release, changes: Sequence[LiveItem], engine: Engine) -> "Edition":
        """Returns a release that is alive.

        Raises:
            RunError: the run has gone or is not what was published.
        """
        live = engine.load(Path(release.run), engine.device)
        live.folder.refuse_other_weights(release.weights)
        return cls(release, live, changes, engine)

    async def ask(self, question: Question, seconds: float) -> Listed:
        """Returns the model's list; see `Batcher.ask` for what it raises."""
        return await self.batcher.ask(question, seconds)

    async def catch_up(self, changes: Callable[[int], Sequence[LiveItem]]) -> None:
        """Takes over what changed of the items since the last call.

        Args:
            changes: Reads the changes after a number from the store; called in a thread.
        """
        async with self._order:
            new = await asyncio.to_thread(changes, self.changes)
            if new:
                await self.batcher.between(lambda: self._apply(new))

    async def alike(self, number: int, k: int, filters: Filters, seconds: float = Wish.deadline) -> Listed:
        """Returns the items most like an item: by the cosine of the model's vectors, by tokens where it has none.

        See `Batcher.errand` for what it raises.
        """
        return await self.batcher.errand(lambda: self._alike(number, k, filters), seconds)

    async def explained(self, ask: Ask, numbers: Sequence[int], seconds: float = Wish.deadline) -> Explanation:
        """Returns why items have their scores; other questions wait meanwhile.

        See `Batcher.errand` for what it raises.
        """
        return await self.batcher.errand(lambda: explain(self.live, ask, numbers), seconds)

    def close(self) -> None:
        """Takes no more questions; what was accepted is answered. Returns at once."""
        self.batcher.stop()

    def _apply(self, changes: Sequence[LiveItem]) -> None:
        if changes:
            self.live.apply(changes)
            self.changes = max(change.number for change in changes)
        self.shelf = self._shelf(changes)

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

    def _shelf(self, changes: Sequence[LiveItem]) -> Shelf:
        catalogue = self.live.catalogue
        self._changed |= {catalogue.number(change.item_id) for change in changes if change.item_id in catalogue}
        deleted = frozenset(catalogue.deleted)
        added = np.array([n for n in range(catalogue.trained, len(catalogue)) if n not in deleted], dtype=np.int64)
        vectors = self._item_vectors()
        some = np.zeros((len(added), 0)) if vectors is None else vectors[torch.from_numpy(added)].float().cpu().numpy()
        rewritten = frozenset(filter(catalogue.is_rewritten, self._changed)) if self.live.can_grow else frozenset[int]()
        return Shelf(catalogue, len(catalogue), deleted, self._changed, self._tokens, added, some, rewritten)
