"""`l2rec serve`: the service on a store, in one process or several."""

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from l2rec.cli.show import say, say_if_unpinned
from l2rec.errors import MissingExtraError, StoreError

if TYPE_CHECKING:
    from l2rec.serving.process import ProcessSettings

_PATIENCE = 30
"""Seconds that requests in flight get at the end."""
_KERNELS = {"ONEDNN_PRIMITIVE_CACHE_CAPACITY": "64", "LRU_CACHE_CAPACITY": "64"}
"""Compiled kernels that PyTorch keeps: each new shape of a batch makes some, of 64 KiB and more; it would keep 1024."""


def serve(
    store: Annotated[str, typer.Option("--store", help="sqlite:///PATH or redis://HOST[:PORT]/DB.")],
    host: Annotated[str, typer.Option(help="Address to listen on; beyond this machine only with keys.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to listen on; 0 for any free one.")] = 8000,
    workers: Annotated[int, typer.Option(min=1, help="Server processes; each holds the model.")] = 1,
    device: Annotated[str, typer.Option(help="cpu, cuda or mps.")] = "cpu",
    max_queue: Annotated[int, typer.Option(min=1, help="Questions that may wait for the model; then 503.")] = 256,
    max_batch: Annotated[int, typer.Option(min=1, help="Questions that the model answers together.")] = 32,
    remember_mib: Annotated[
        int, typer.Option(min=0, help="MiB a process for what the model has read of the latest users, to read only on.")
    ] = 512,
    max_k: Annotated[int, typer.Option("--max-k", min=1, help="Longest list that may be asked for.")] = 500,
    access_log: Annotated[bool, typer.Option(help="Log every request to stderr, without query, body and key.")] = False,
) -> None:
    """Answer over HTTP from the current release of a store.

    Lists made ahead are answered while the model is loaded: /readyz says which, /readyz?model=live waits for it.
    New releases, items and events are taken over while it runs. SIGTERM lets requests in flight end.
    """
    _bound_kernels()
    from l2rec.serving.process import ProcessSettings, uncollected
    from l2rec.serving.wishes import Limits

    with uncollected():
        _check(store, host)
    settings = ProcessSettings(
        store=store,
        host=host,
        device=device,
        largest=max_batch,
        most=max_queue,
        remembered=remember_mib * 2**20,
        threads=_threads(_cores() // workers),
        access_log=access_log,
        limits=Limits(k=max_k),
    )
    _run(settings, port, workers)


def _run(settings: "ProcessSettings", port: int, workers: int) -> None:
    """Answers until it is told to end."""
    import uvicorn

    from l2rec.serving.process import NAME

    os.environ[NAME] = settings.model_dump_json()
    with _counting_together(workers):
        uvicorn.run(
            "l2rec.serving.process:application",
            factory=True,
            host=settings.host,
            port=port,
            workers=workers,
            access_log=False,  # uvicorn's own would tell the query, which holds prompts
            server_header=False,
            timeout_graceful_shutdown=_PATIENCE,
        )


def _bound_kernels() -> None:
    """Bounds the caches of kernels; PyTorch reads this once, when it is loaded. What the user has set stays."""
    for name, value in _KERNELS.items():
        os.environ.setdefault(name, value)


def _check(address: str, host: str) -> None:
    """Says what would be served; refuses a store, a run or an address that cannot be."""
    for package in ("fastapi", "uvicorn", "prometheus_client"):
        if find_spec(package) is None:
            raise MissingExtraError(package, "serve")
    from l2rec.serving.access.guard import WARNING, guard
    from l2rec.serving.folder import RunFolder
    from l2rec.serving.store.opening import open_store, shown

    store, told = open_store(address), shown(address)
    try:
        release = store.current()
        if release is None:
            raise StoreError(f"--store {told}: no release. Publish a run first: l2rec publish RUN --store {told}")
        is_open = guard(store, host).is_open
    finally:
        store.close()
    folder = RunFolder.open(Path(release.run))
    folder.refuse_unfinished()
    folder.refuse_changed()
    folder.refuse_other_weights(release.weights)
    say_if_unpinned(folder)
    if is_open:
        say(f"l2rec: {WARNING}")
    say(f"release {release.version}: {release.model}, {release.users} users, {release.items} items")


def _threads(cores: int) -> int:
    """Threads of the model of a process that has so many cores: one core is left to what reads requests and the store.

    Threads of a kernel wait for one another: one that lost its core holds up the rest, at every step of the model.
    """
    return max(1, cores - 1)


def _cores() -> int:
    """Cores that this process may run on, where the system tells."""
    return len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1


@contextmanager
def _counting_together(workers: int) -> Iterator[None]:
    """A folder in which several processes count, so that any of them can tell the metrics of all."""
    if workers == 1:
        yield
        return
    with tempfile.TemporaryDirectory(prefix="l2rec-metrics-") as folder:
        os.environ["PROMETHEUS_MULTIPROC_DIR"] = folder
        yield
