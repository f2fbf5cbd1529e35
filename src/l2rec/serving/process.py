"""One server process: built from what stands in the environment, as workers that are started anew know nothing else."""

import os
from dataclasses import replace

import torch
from fastapi import FastAPI

from l2rec.config import Settings
from l2rec.serving.access.guard import guard
from l2rec.serving.answering.edition import Engine
from l2rec.serving.app import ServeOptions, create_app
from l2rec.serving.store.opening import open_store
from l2rec.serving.wishes import Limits

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
    remembered: int = Engine.remembered
    """Bytes for what the model has read of the users who asked last."""
    threads: int = 1
    """Threads that the model computes with on a CPU."""
    limits: Limits = Limits()
    """What a caller may ask for at most."""


def application() -> FastAPI:
    """Returns the service that the environment describes.

    Raises:
        StoreError: the store's address is of no known kind, or it cannot be read.
        SettingError: others can reach the host, and the store has no keys.
    """
    settings = ProcessSettings.model_validate_json(os.environ[NAME])
    torch.set_num_threads(settings.threads)
    engine = Engine(settings.device, settings.largest, settings.most, settings.remembered)
    store = open_store(settings.store)
    doorkeeper = replace(guard(store, settings.host), login="/login")
    return create_app(store, ServeOptions(engine=engine, limits=settings.limits), doorkeeper)
