"""The look at the store, again and again, for new releases and items; what goes wrong there stops nothing."""

import asyncio
import logging

from l2rec.errors import L2RecError, StoreDownError
from l2rec.serving.stage import Stage

_LOG = logging.getLogger(__name__)
_LONGEST = 10.0
"""Seconds between two attempts to load a release that cannot be loaded, at most."""


class Watch:
    """Takes over what the store has that is new.

    Attributes:
        pause: Seconds until the next look.
    """

    def __init__(self, stage: Stage, poll: float) -> None:
        """Keeps whose edition it renews.

        Args:
            stage: The stage.
            poll: Seconds between two looks.
        """
        self._stage, self._poll, self.pause = stage, poll, poll
        self._said = ""

    async def go_on(self) -> None:
        """Looks for ever."""
        while True:
            await asyncio.sleep(self.pause)
            await self.look()

    async def look(self) -> None:
        """Looks once; a failure is logged when it is a new one, and what cannot be loaded is tried less and less."""
        try:
            await self._stage.refresh()
        except StoreDownError as error:
            self._say(f"store: {error}")
            self.pause = self._poll
        except Exception as error:
            self._say(f"release: {error}", None if isinstance(error, L2RecError) else error)
            self.pause = min(_LONGEST, 2 * self.pause)
        else:
            self._said, self.pause = "", self._poll

    def _say(self, text: str, surprise: Exception | None = None) -> None:
        if text != self._said:
            _LOG.warning("%s", text, exc_info=surprise)
        self._said = text
