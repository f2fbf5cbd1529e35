"""The stage: the release that a server process holds, and how the next one takes its place."""

import asyncio
from contextlib import suppress
from dataclasses import replace

from l2rec.errors import StoreDownError, StoreError
from l2rec.serving.answering.batching import StoppedError
from l2rec.serving.answering.draft import Draft
from l2rec.serving.answering.edition import Edition, Engine, LiveEdition
from l2rec.serving.answering.memory import Memory
from l2rec.serving.answering.readymade import age_of
from l2rec.serving.metrics import Metrics, Reading
from l2rec.serving.records import LiveItem, Release
from l2rec.serving.store.contract import Store


class NotReadyError(StoreError):
    """No release has been loaded yet."""


class Stage:
    """Holds the current release of a store, alive; before the first is, its lists made ahead where `early` is set.

    Attributes:
        store: Where releases, rows, events and items lie.
        metrics: What is counted.
        engine: How models are run.
        edition: The release that is served; None before the first.
        early: Whether the first release is served while its model is brought to life.
        memory: What the store says of users, and said last.
    """

    def __init__(
        self, store: Store, engine: Engine | None = None, metrics: Metrics | None = None, *, early: bool = False
    ) -> None:
        """Notes where releases come from; `refresh` brings the first to life.

        Args:
            store: The store.
            engine: How models are run.
            metrics: What is counted.
            early: See the class.
        """
        self.store, self.early = store, early
        self.metrics = metrics or Metrics()
        self.engine = replace(engine or Engine(), sizes=self.metrics.batches.observe)
        self.edition: Edition | None = None
        self.memory = Memory(store)
        self._turn, self._order, self._failed = asyncio.Lock(), asyncio.Lock(), ""
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

    @property
    def is_gone(self) -> bool:
        """Whether the store no longer has the rows of the release that is served."""
        return self.edition is not None and self.memory.gone == self.edition.release.version

    async def refresh(self) -> None:
        """Takes over new changes of items and then a new release, where the store has any.

        Raises:
            StoreDownError: the store cannot be read.
            L2RecError: the new release cannot be loaded; the old one goes on.
        """
        await self.keep_up()
        await self.take_over()

    async def keep_up(self) -> None:
        """Takes over new changes of items, and looks whether the store still has the rows of the release.

        Raises:
            StoreDownError: the store cannot be read.
        """
        self.metrics.note()
        edition = await self._catch_up()
        if edition is not None:
            self.memory.gone = await asyncio.to_thread(self._lost, edition.release.version)

    async def take_over(self) -> None:
        """Takes over a new release, where the store has one.

        The new model is brought to life in a thread beside the old one, which answers and hears of items until it is
        replaced; the new one has heard of all of them before its first answer. Where there is no old one and `early`
        is set, the release itself is served without its model meanwhile, unless it could not be loaded before.

        Raises:
            StoreDownError: the store cannot be read.
            L2RecError: the new release cannot be loaded; the old one goes on.
        """
        async with self._turn:
            release = await asyncio.to_thread(self.store.current)
            served = self.edition
            if release is None or (served is not None and served.is_live and served.release.version == release.version):
                return
            new, old = await self._brought(release), self.edition
            try:
                await new.catch_up(self.store.items)  # what came while it was loaded, which may be much
                async with self._order:
                    await new.catch_up(self.store.items)
                    self.metrics.note()  # what the old one counted to its end
                    self.edition = new
            except BaseException:
                new.close()
                raise
            self.metrics.reloads.labels("done").inc()
            if old is not None:
                old.close()

    async def open(self) -> None:
        """Serves the store's release without its model, where there is one, none is served, and `early` is set.

        Raises:
            StoreDownError: the store cannot be read.
            L2RecError: the release's run cannot be read.
        """
        async with self._turn:
            release = await asyncio.to_thread(self.store.current)
            if release is not None:
                await self._open(release)

    async def put(self, item: LiveItem) -> bool:
        """Stores a change of an item and takes it over; returns whether the item can be recommended now.

        Raises:
            StoreDownError: the store cannot be written, and nothing was changed; or it went down right after.
        """
        await asyncio.to_thread(self.store.put_items, [item])
        edition = self.edition
        with suppress(StoppedError):  # the server ends; the change is stored
            edition = await self._catch_up()
        if edition is None or not edition.is_live:
            return False
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

    async def _catch_up(self) -> Edition | None:
        """The edition, once it has heard of every change that was stored before; none takes its place meanwhile."""
        async with self._order:
            edition = self.edition
            if edition is not None:
                await edition.catch_up(self.store.items)
            return edition

    def _lost(self, version: str) -> str:
        """The same version where the store no longer has it, else nothing."""
        if self.store.done(version) or any(release.version == version for release in self.store.releases()):
            return ""
        return version

    async def _open(self, release: Release) -> None:
        if self.early and self.edition is None and release.version != self._failed:
            self.edition = await asyncio.to_thread(lambda: Draft.open(release, self.store.items()))

    async def _brought(self, release: Release) -> LiveEdition:
        """A release that was brought to life; where that fails, it is not served without its model either."""
        try:
            await self._open(release)
            return await asyncio.to_thread(self._loaded, release)
        except Exception as error:
            self.metrics.reloads.labels("failed").inc()
            if not isinstance(error, StoreDownError):
                self._failed = release.version
                if self.edition is not None and not self.edition.is_live:
                    self.edition.close()
                    self.edition = None
            raise

    def _loaded(self, release: Release) -> LiveEdition:
        served = self.edition
        known = served.folder if served is not None and served.release.version == release.version else None
        return Edition.load(release, self.store.items(), self.engine, known)

    def _reading(self) -> Reading:
        edition = self.edition
        if edition is None:
            return Reading()
        if not isinstance(edition, LiveEdition):
            return Reading(age=age_of(edition.release))
        prefixes = edition.live.prefixes
        return Reading(float(len(edition.batcher)), age_of(edition.release), float(prefixes.size), prefixes.counts)
