"""The stage: the release that a server process holds, and how the next one takes its place."""

import asyncio
from dataclasses import replace

from l2rec.errors import StoreError
from l2rec.serving.batching import StoppedError
from l2rec.serving.edition import Edition, Engine
from l2rec.serving.metrics import Metrics, Reading
from l2rec.serving.readymade import age_of
from l2rec.serving.records import LiveItem, Release
from l2rec.serving.store.contract import Store


class NotReadyError(StoreError):
    """No release has been loaded yet."""


class Stage:
    """Holds the current release of a store, alive.

    Attributes:
        store: Where releases, rows, events and items lie.
        metrics: What is counted.
        engine: How models are run.
        edition: The release that is served; None before the first.
    """

    def __init__(self, store: Store, engine: Engine | None = None, metrics: Metrics | None = None) -> None:
        """Notes where releases come from; `refresh` brings the first to life.

        Args:
            store: The store.
            engine: How models are run.
            metrics: What is counted.
        """
        self.store = store
        self.metrics = metrics or Metrics()
        self.engine = replace(engine or Engine(), sizes=self.metrics.batches.observe)
        self.edition: Edition | None = None
        self._turn = asyncio.Lock()
        self.metrics.watch(self._reading)

    @property
    def ready(self) -> Edition:
        """The release that is served.

        Raises:
            NotReadyError: there is none yet.
        """
        if self.edition is None:
            raise NotReadyError("no release is loaded yet. Publish a run, or wait until it is loaded.")
        return self.edition

    async def refresh(self) -> None:
        """Takes over a new release and new changes of items, where the store has any.

        The new model is brought to life in a thread beside the old one, which answers until it is replaced.

        Raises:
            StoreDownError: the store cannot be read.
            L2RecError: the new release cannot be loaded; the old one goes on.
        """
        self.metrics.note()
        async with self._turn:
            release = await asyncio.to_thread(self.store.current)
            old = self.edition
            if release is not None and (old is None or old.release.version != release.version):
                new = await asyncio.to_thread(self._loaded, release)
                self.metrics.note()  # what the old one counted to its end
                self.edition = new
                self.metrics.reloads.labels("done").inc()
                if old is not None:
                    old.close()
            if self.edition is not None:
                await self.edition.catch_up(self.store.items)

    async def put(self, item: LiveItem) -> bool:
        """Stores a change of an item and takes it over; returns whether the item can be recommended now.

        Raises:
            StoreDownError: the store cannot be written; nothing was changed.
        """
        await asyncio.to_thread(self.store.put_items, [item])
        edition = self.edition
        if edition is None:
            return False
        try:
            await edition.catch_up(self.store.items)
        except StoppedError:  # replaced just now: the next edition has read the change
            edition = self.ready
        number = edition.shelf.number(item.item_id)
        return number is not None and number not in edition.shelf.deleted

    def is_store_up(self) -> bool:
        """Returns whether the store can be read."""
        try:
            self.store.ping()
        except StoreError:
            return False
        return True

    def close(self) -> None:
        """Takes no more questions; what was accepted is answered."""
        if self.edition is not None:
            self.edition.close()

    def _loaded(self, release: Release) -> Edition:
        try:
            return Edition.load(release, self.store.items(), self.engine)
        except Exception:
            self.metrics.reloads.labels("failed").inc()
            raise

    def _reading(self) -> Reading:
        edition = self.edition
        if edition is None:
            return Reading()
        prefixes = edition.live.prefixes
        return Reading(float(len(edition.batcher)), age_of(edition.release), float(prefixes.size), prefixes.counts)
