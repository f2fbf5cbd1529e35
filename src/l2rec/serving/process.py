"""One server process: built from what stands in the environment, as workers that are started anew know nothing else."""

import os

import torch
from fastapi import FastAPI

from l2rec.config import Settings
from l2rec.serving.app import ServeOptions, create_app
from l2rec.serving.edition import Engine
from l2rec.serving.store.opening import open_store
from l2rec.serving.wishes import Limits

NAME = "L2REC_SERVE"
"""The variable that holds the settings of every process, as JSON."""


class ProcessSettings(Settings):
    """What every server process is told."""

    store: str
    """Address of the store."""
    device: str = "cpu"
    """Where the model computes."""
    largest: int = 32
    """Questions of a batch, at most."""
    most: int = 256
    """Questions that may wait."""
    threads: int = 1
    """Threads that the model computes with on a CPU."""
    limits: Limits = Limits()
    """What a caller may ask for at most."""


def application() -> FastAPI:
    """Returns the service that the environment describes.

    Raises:
        StoreError: the store's address is of no known kind.
    """
    settings = ProcessSettings.model_validate_json(os.environ[NAME])
    torch.set_num_threads(settings.threads)
    engine = Engine(device=settings.device, largest=settings.largest, most=settings.most)
    return create_app(open_store(settings.store), ServeOptions(engine=engine, limits=settings.limits))
