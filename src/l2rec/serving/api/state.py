"""How the server is: alive, ready, and what it counts."""

import asyncio
from typing import Any, Literal

from fastapi import APIRouter, Response
from prometheus_client import CONTENT_TYPE_LATEST

from l2rec.config import Settings
from l2rec.serving.answering.batching import ComingError
from l2rec.serving.answering.desk import Desk
from l2rec.serving.api.faults import Fault


class Alive(Settings):
    """The process answers."""

    status: str
    """`ok`."""


class Ready(Settings):
    """What is served."""

    version: str
    """The release."""
    name: str
    """Its model's name."""
    model: Literal["loading", "live"]
    """`live`, or `loading` where lists made ahead and popular ones are answered, and nothing that needs the model."""
    items: int
    """Items of the catalogue, those that came later included."""
    store: str
    """`up`, or `down` where answers come from memory."""
    rows: str
    """`kept`, or `gone` where the store has dropped this release: known users may be answered as strangers."""


class State:
    """The routes of the server itself; `/healthz` and `/readyz` need no key, `/metrics` does."""

    def __init__(self, desk: Desk) -> None:
        """Keeps whose state it is."""
        self.desk = desk

    async def healthz(self) -> Alive:
        """Whether the process answers."""
        return Alive(status="ok")

    async def readyz(self, model: Literal["live"] | None = None) -> Ready:
        """Whether lists can be answered; with `model=live`, whether the model answers them."""
        edition = self.desk.stage.ready
        if model is not None and not edition.is_live:
            raise ComingError("the model is being loaded; lists made ahead are answered meanwhile.")
        up = await asyncio.to_thread(self.desk.stage.is_store_up)
        release = edition.release
        return Ready(
            version=release.version,
            name=release.model,
            model="live" if edition.is_live else "loading",
            items=edition.shelf.count,
            store="up" if up else "down",
            rows="gone" if self.desk.stage.is_gone else "kept",
        )

    async def metrics(self) -> Response:
        """Counters in Prometheus's text format."""
        return Response(self.desk.metrics.text(), media_type=CONTENT_TYPE_LATEST)

    def router(self) -> APIRouter:
        """Returns the routes."""
        router = APIRouter(tags=["state"])
        later: dict[int | str, dict[str, Any]] = {503: {"model": Fault, "description": "No release is loaded yet."}}
        router.add_api_route("/healthz", self.healthz, response_model=Alive)
        router.add_api_route("/readyz", self.readyz, response_model=Ready, responses=later)
        text: dict[int | str, dict[str, Any]] = {200: {"content": {"text/plain": {"schema": {"type": "string"}}}}}
        router.add_api_route("/metrics", self.metrics, response_class=Response, responses=text)
        return router
