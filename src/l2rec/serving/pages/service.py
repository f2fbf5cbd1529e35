"""Service: releases, throughput, latency, where answers come from, and whether taste has drifted."""

import asyncio
import time
from datetime import UTC, datetime

import numpy as np
from fastapi import APIRouter, Response

from l2rec.errors import L2RecError
from l2rec.serving.answering.desk import Desk
from l2rec.serving.answering.edition import Edition
from l2rec.serving.answering.readymade import age_of
from l2rec.serving.pages.drift import EVENTS, Drift, drift
from l2rec.serving.pages.rendering import PageRoute, page
from l2rec.serving.pages.tally import Tally, read
from l2rec.serving.records import Release

_FRESH = 10.0
"""Seconds that a drift is shown before it is computed again."""
SOURCES = ("fresh", "cached", "newcomer", "popular")


class Service:
    """The page of the service; it asks for itself anew every two seconds."""

    def __init__(self, desk: Desk) -> None:
        """Keeps whose service it is."""
        self.desk = desk
        self._tally = Tally()
        self._drift: tuple[float, str, Drift | None] = (0.0, "", None)

    async def look(self) -> Response:
        """The page."""
        stage = self.desk.stage
        counts = read(stage.metrics.text())
        self._tally.look(counts)
        up = await asyncio.to_thread(stage.is_store_up)
        releases = await asyncio.to_thread(self._releases) if up else []
        rates = self._tally.rates()
        content = {
            "here": "service",
            "counts": counts,
            "sources": [(name, counts.sources.get(name, 0)) for name in SOURCES],
            "rates": rates,
            "line": _line(rates),
            "up": up,
            "releases": [(release, _day(release)) for release in releases],
            "served": None,
            "live": False,
            "age": 0.0,
            "drift": None,
        }
        if stage.edition is not None:
            content |= {"served": stage.edition.release, "live": stage.edition.is_live}
            content["age"] = age_of(stage.edition.release)
            content["drift"] = await self._drifted(stage.edition) if up else None
        return page("service", content)

    def router(self) -> APIRouter:
        """Returns the route."""
        router = APIRouter(route_class=PageRoute, include_in_schema=False)
        router.add_api_route("/service", self.look, methods=["GET"])
        return router

    def _releases(self) -> list[Release]:
        try:
            return self.desk.stage.store.releases()
        except L2RecError:
            return []

    async def _drifted(self, edition: Edition) -> Drift | None:
        """The drift of the release that is served, at most some seconds old."""
        made, version, found = self._drift
        if version != edition.release.version or time.monotonic() - made > _FRESH:
            found = await asyncio.to_thread(self._measured, edition)
            self._drift = (time.monotonic(), edition.release.version, found)
        return found

    def _measured(self, edition: Edition) -> Drift | None:
        store, shelf = self.desk.stage.store, edition.shelf
        try:
            events = store.events(max(0, store.last_event() - EVENTS), EVENTS)
            trained = edition.folder.catalogue()[0].counts.numpy()
        except L2RecError:
            return None
        counts = np.zeros(shelf.count, dtype=np.int64)
        counts[: len(trained)] = trained
        return drift(shelf.numbers([event.item_id for event in events]), counts)


def _day(release: Release) -> str:
    return datetime.fromtimestamp(release.finished or release.created, UTC).strftime("%Y-%m-%d %H:%M UTC")


def _line(rates: list[float]) -> str:
    """The points of a line through the rates in a box of 100 by 40, the newest at its right edge."""
    if not rates:
        return ""
    most = max(*rates, 1e-9)
    step = 100 / max(1, len(rates) - 1)
    points = [(place * step, 38 - 36 * rate / most) for place, rate in enumerate(rates)]
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in (points if len(points) > 1 else [*points, (100.0, points[0][1])]))
