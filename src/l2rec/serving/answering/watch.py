"""The look at the store, again and again, for new releases and items; what goes wrong there stops nothing."""

import asyncio
import logging
from collections.abc import Awaitable, Callable

from l2rec.errors import L2RecError, StoreDownError
from l2rec.serving.answering.stage import Stage

_LOG = logging.getLogger(__name__)
_LONGEST = 10.0
"""Seconds between two attempts to load a release that cannot be loaded, at most."""


class Watch:
    """Takes over what the store has that is new; items do not wait for a release that is loaded, or cannot be.

    Attributes:
        pause: Seconds until the next look for a release.
    """

    def __init__(self, stage: Stage, poll: float) -> None:
        """Keeps whose edition it renews.

        Args:
            stage: The stage.
            poll: Seconds between two looks.
        """
        self._stage, self._poll, self.pause = stage, poll, poll
        self._said: dict[str, str] = {}

    async def go_on(self) -> None:
        """Looks for ever, for items and for releases side by side."""
        await asyncio.gather(self._go_on_with_items(), self._go_on_with_releases())

    async def open(self) -> None:
        """Has the store's release served before its model is alive; the look for it follows at once."""
        await self._tried("release", self._stage.open)
        self.pause = 0.0

    async def look(self) -> None:
        """Looks once for both; a failure is logged when it is a new one, and stops neither."""
        await self.look_for_items()
        await self.look_for_a_release()

    async def look_for_items(self) -> None:
        """Keeps the release that is served up to date."""
        await self._tried("items", self._stage.keep_up)

    async def look_for_a_release(self) -> None:
        """Takes over a new release; one that cannot be loaded is tried less and less."""
        loaded = await self._tried("release", self._stage.take_over)
        self.pause = self._poll if loaded else min(_LONGEST, max(self._poll, 2 * self.pause))

    async def _go_on_with_items(self) -> None:
        while True:
            await asyncio.sleep(self._poll)
            await self.look_for_items()

    async def _go_on_with_releases(self) -> None:
        while True:
            await asyncio.sleep(self.pause)
            await self.look_for_a_release()

    async def _tried(self, what: str, work: Callable[[], Awaitable[None]]) -> bool:
        """Whether it could be done; a store that is down is no fault of what was tried, and is soon asked again."""
        try:
            await work()
        except StoreDownError as error:
            self._say(what, f"store: {error}")
            return True
        except Exception as error:
            self._say(what, f"{what}: {error}", None if isinstance(error, L2RecError) else error)
            return False
        self._said.pop(what, None)
        return True

    def _say(self, what: str, text: str, surprise: Exception | None = None) -> None:
        if text not in self._said.values():
            _LOG.warning("%s", text, exc_info=surprise)
        self._said[what] = text
