"""Runs: the model that is served beside its neighbours, with intervals, slices and curves."""

import asyncio
import threading
from pathlib import Path
from typing import TYPE_CHECKING

from fastapi import APIRouter, Response

from l2rec.serving.answering.desk import Desk
from l2rec.serving.pages.rendering import PageRoute, page

if TYPE_CHECKING:
    from l2rec.serving.pages.board import Board

_State = tuple[tuple[Path, int], ...]


class Runs:
    """The page of runs; its charts are drawn once for every change of a result."""

    def __init__(self, desk: Desk) -> None:
        """Keeps whose release is shown."""
        self.desk = desk
        self._drawing = threading.Lock()  # matplotlib's settings belong to the process
        self._state: _State = ()
        self._board: "Board | None" = None

    async def look(self) -> Response:
        """The page."""
        run = Path(self.desk.stage.ready.release.run)
        shown = await asyncio.to_thread(self._drawn, run)
        return page("runs", {"here": "runs", "board": shown, "served": run.name, "family": run.parent.name})

    def _drawn(self, run: Path) -> "Board | None":
        """The board of a run and its neighbours; None where none was evaluated."""
        from l2rec.serving.pages.board import RESULTS, board, folders  # brings SciPy and what draws: not at the start

        with self._drawing:
            state = tuple((place, (place / RESULTS).stat().st_mtime_ns) for place in folders(run))
            if state != self._state:
                self._board = board([place for place, _ in state]) if state else None
                self._state = state
            return self._board

    def router(self) -> APIRouter:
        """Returns the route."""
        router = APIRouter(route_class=PageRoute, include_in_schema=False)
        router.add_api_route("/runs", self.look, methods=["GET"])
        return router
