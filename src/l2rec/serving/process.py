"""One server process: built from what stands in the environment, as workers that are started anew know nothing else."""

import gc
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from l2rec.config import Settings
from l2rec.serving.wishes import Limits

if TYPE_CHECKING:
    from fastapi import FastAPI

    from l2rec.serving.folder import RunFolder
    from l2rec.serving.model.live import Live

NAME = "L2REC_SERVE"
"""The variable that holds the settings of every process, as JSON."""


class ProcessSettings(Settings):
    """What every server process is told."""

    store: str
    """Address of the store."""
    host: str = "127.0.0.1"
    """Address that is listened on; beyond this machine only keys let in."""
    device: str = "cpu"
    """Where the model computes."""
    largest: int = 32
    """Questions of a batch, at most."""
    most: int = 256
    """Questions that may wait."""
    remembered: int = 512 * 2**20
    """Bytes for what the model has read of the users who asked last."""
    threads: int = 1
    """Threads that the model computes with on a CPU."""
    access_log: bool = False
    """Whether every request is logged to stderr: method, path, status, milliseconds and the key's name."""
    limits: Limits = Limits()
    """What a caller may ask for at most."""


@contextmanager
def uncollected() -> Iterator[None]:
    """Without the garbage collector: what is loaded at a start stays, and it would look through it again and again."""
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()


def application() -> "FastAPI":
    """Returns the service that the environment describes; it answers before its model is alive.

    Raises:
        StoreError: the store's address is of no known kind, or it cannot be read.
        SettingError: others can reach the host, and the store has no keys.
    """
    with uncollected():
        import torch

        from l2rec.serving.access.guard import guard
        from l2rec.serving.answering.edition import Engine
        from l2rec.serving.app import ServeOptions, create_app
        from l2rec.serving.store.opening import open_store

        settings = ProcessSettings.model_validate_json(os.environ[NAME])
        torch.set_num_threads(settings.threads)
        if settings.access_log:
            _log_requests()
        engine = Engine(settings.device, settings.largest, settings.most, settings.remembered, load=_loaded)
        store = open_store(settings.store)
        doorkeeper = replace(guard(store, settings.host), login="/login")
        app = create_app(store, ServeOptions(engine=engine, limits=settings.limits, early=True), doorkeeper)
        gc.freeze()  # modules and routes; no edition is among them, as those that are replaced must be let go
        return app


def _log_requests() -> None:
    """Has the guard's log of requests written to stderr; see `access.guard` for what stands in it."""
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(asctime)s %(message)s"))
    logger = logging.getLogger("l2rec.access")
    logger.handlers, logger.propagate = [handler], False
    logger.setLevel(logging.INFO)


def _loaded(run: "RunFolder", device: str) -> "Live":
    from l2rec.serving.model.live import Live

    with uncollected():
        return Live.load(run, device)
