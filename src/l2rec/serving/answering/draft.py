"""A release whose model is not alive yet: what was made ahead is answered, what only the model knows has to wait."""

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path

import torch

from l2rec import models
from l2rec.models import Growing, Retriever, TextReader
from l2rec.serving.answering.batching import ComingError, StoppedError
from l2rec.serving.answering.choice import Listed, Question, chosen
from l2rec.serving.answering.edition import Edition
from l2rec.serving.folder import RunFolder, model_config
from l2rec.serving.model.catalogue import Catalogue
from l2rec.serving.model.explain import Explanation
from l2rec.serving.model.live import Ask
from l2rec.serving.records import LiveItem, Release
from l2rec.serving.wishes import Filters, Wish


class Draft(Edition):
    """A release without its model: the catalogue, ids and texts of its run, and what its model's kind can do.

    Items that came after the training are known by id, title and attributes; none stands in a list made ahead.
    """

    is_live = False

    def __init__(self, release: Release, folder: RunFolder, changes: Sequence[LiveItem]) -> None:
        """Reads the run's catalogue.

        Args:
            release: What was published.
            folder: Its run.
            changes: What changed of its items since.

        Raises:
            RunError: the catalogue is missing or damaged.
            ModelError: no model has the run's name.
        """
        super().__init__(release, folder, Catalogue(*folder.catalogue()))
        name, config = model_config(folder.settings)
        kind = models.find(name).model
        self.width, self.window = folder.manifest.attributes, config.history
        self._has_vectors = issubclass(kind, Retriever)
        self._grows = self._has_vectors and issubclass(kind, Growing)
        self.can_read = self._has_vectors and issubclass(kind, TextReader)
        self._closed = False
        self._apply(changes)

    @classmethod
    def open(cls, release: Release, changes: Sequence[LiveItem]) -> "Draft":
        """Returns a release without its model.

        Raises:
            RunError: the run has gone, is not finished, or is not what was published.
        """
        folder = RunFolder.open(Path(release.run))
        folder.refuse_unfinished()
        folder.refuse_other_weights(release.weights)
        return cls(release, folder, changes)

    async def ask(self, question: Question, seconds: float) -> Listed:
        """See the base class; there is nobody to ask."""
        del question, seconds
        raise self._refusal()

    async def catch_up(self, changes: Callable[[int], Sequence[LiveItem]]) -> None:
        """See the base class."""
        async with self._order:
            new = await asyncio.to_thread(changes, self.changes)
            if new:
                self._apply(new)

    async def alike(self, number: int, k: int, filters: Filters, seconds: float = Wish.deadline) -> Listed:
        """See the base class; a model without vectors is not needed for it."""
        del seconds  # nobody waits
        if self._closed or self._has_vectors:
            raise self._refusal()
        shelf = self.shelf
        scores = torch.from_numpy(await asyncio.to_thread(shelf.kinship, number)).float()
        return chosen(scores, Question(Ask(), k, (number,), filters), shelf, None)

    async def explained(self, ask: Ask, numbers: Sequence[int], seconds: float = Wish.deadline) -> Explanation:
        """See the base class; there is nobody to ask."""
        del ask, numbers, seconds
        raise self._refusal()

    def close(self) -> None:
        """Takes no more questions: whoever asks again is answered by what took its place."""
        self._closed = True

    def _refusal(self) -> ComingError | StoppedError:
        if self._closed:
            return StoppedError("the model has come to life. Ask again.")
        return ComingError("the model is being loaded. Ask again in some seconds; /readyz?model=live tells when.")

    def _apply(self, changes: Sequence[LiveItem]) -> None:
        if changes:
            self._catalogue.take(self._catalogue.numbered(changes, self._grows))
            self._catalogue.wait(changes)
            self.changes = max(change.number for change in changes)
        self.shelf = self._shelved(changes, self._grows)
