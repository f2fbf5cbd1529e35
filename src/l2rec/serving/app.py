"""The service: one application with its routes, its limits, and a poll that takes over what was published."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from importlib.metadata import version

from fastapi import FastAPI
from starlette.types import ASGIApp

from l2rec.serving import pages
from l2rec.serving.answering.desk import Desk
from l2rec.serving.answering.edition import Engine
from l2rec.serving.answering.stage import Stage
from l2rec.serving.answering.watch import Watch
from l2rec.serving.api import faults
from l2rec.serving.api.events import Events
from l2rec.serving.api.explanations import Explanations
from l2rec.serving.api.items import ItemRoutes
from l2rec.serving.api.state import State
from l2rec.serving.api.straight import Straight
from l2rec.serving.api.users import Lists
from l2rec.serving.doorway import Doorway
from l2rec.serving.store.contract import Store
from l2rec.serving.trimming import keep_trim
from l2rec.serving.wishes import Limits

Guard = Callable[[ASGIApp], ASGIApp]
"""Wraps the application and lets through only what may come in."""


@dataclass(frozen=True)
class ServeOptions:
    """How a service is run.

    Attributes:
        engine: How models are run.
        limits: What a caller may ask for at most.
        poll: Seconds between two looks for new releases and items.
        early: Whether it starts to answer before the first model is alive: from lists made ahead, then what is popular.
    """

    engine: Engine = field(default_factory=Engine)
    limits: Limits = field(default_factory=Limits)
    poll: float = 0.2
    early: bool = False


def create_app(store: Store, options: ServeOptions | None = None, guard: Guard | None = None) -> FastAPI:
    """Returns the service as an application; `app.state.desk` is who answers.

    Without a release in the store it starts, and `/readyz` and every list say 503 until there is one.

    Args:
        store: Where releases, rows, events and items lie.
        options: How it is run.
        guard: Lets in; everybody where None.
    """
    options = options or ServeOptions()
    stage = Stage(store, options.engine, early=options.early)
    desk = Desk(stage)
    app = FastAPI(
        title="l2rec",
        version=version("l2rec"),
        summary="Personalised lists from a language model that heard of the last event.",
        lifespan=_lifespan(stage, options.poll),
        docs_url=None,
        redoc_url=None,
    )
    app.state.desk, app.state.options = desk, options
    faults.install(app)
    limits = options.limits
    lists = Lists(desk, limits)
    families = (lists, Explanations(desk, limits), Events(desk, limits), ItemRoutes(desk, limits))
    for family in (*families, State(desk)):
        app.router.routes.extend(family.router().routes)  # included routers are asked one after the other, slowly
    pages.install(app, desk, limits)
    app.add_middleware(Straight, told=lists.told)
    if guard is not None:
        app.add_middleware(guard)
    app.add_middleware(Doorway, metrics=desk.metrics)
    return app


def _lifespan(stage: Stage, poll: float) -> Callable[[FastAPI], AbstractAsyncContextManager[None]]:
    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        watch = Watch(stage, poll)
        await (watch.open() if stage.early else watch.look())
        tasks = [asyncio.create_task(watch.go_on()), asyncio.create_task(keep_trim())]
        yield
        for task in tasks:
            task.cancel()
        stage.close()

    return lifespan
