"""The rows of a release over a Ray cluster: every worker loads the run once and takes batch after batch."""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from l2rec.errors import MissingExtraError
from l2rec.serving.folder import RunFolder
from l2rec.serving.publishing.audience import Audience, Users
from l2rec.serving.publishing.lists import Lister

Columns = dict[str, Any]
"""A block of Ray Data: one array a column."""


class Worker:
    """An actor: a run in memory, and everybody's histories, read from Ray's object store."""

    def __init__(self, lister: tuple[str, int, bool, str, int], shared: Any) -> None:
        """Loads the run.

        Args:
            lister: Folder of the run, length of the lists, whether faiss searches, device, and cells that it looks at.
            shared: Reference to the audience and the batches.
        """
        import ray

        run, k, approximate, device, cells = lister
        self.lister = Lister.load(RunFolder.open(Path(run)), k, "faiss" if approximate else "exact", device)
        self.lister.look_at(cells)
        found: tuple[Audience, Sequence[Users]] = ray.get(shared)
        self.audience, self.plan = found

    def __call__(self, block: Columns) -> Columns:
        """Returns the rows of the batch whose number is in the block."""
        rows = [row for n in block["id"].tolist() for row in self.lister.rows(self.audience, self.plan[n])]
        ids, data = zip(*rows, strict=True)
        return {"user_id": np.array(ids, dtype=object), "row": np.array(data, dtype=object)}


def computed(
    lister: Lister, audience: Audience, plan: Sequence[Users], run: Path, workers: int
) -> Iterator[list[tuple[str, bytes]]]:
    """Yields the rows of every batch in the order of the plan, made by the workers of the cluster that is connected.

    Where none is, the cluster of `RAY_ADDRESS` is used, or one is started on this machine and stopped at the end. The
    run's folder has to be readable under the same path on every node.

    Args:
        lister: The run, as the driver has it; the workers load it for themselves.
        audience: Everybody.
        plan: The users of every batch.
        run: Folder of the run.
        workers: How many load the run.

    Raises:
        MissingExtraError: Ray is not installed.
    """
    try:
        import ray
        import ray.data
    except ImportError:
        raise MissingExtraError("ray", "ray") from None
    own = not ray.is_initialized()
    if own:
        ray.init(num_cpus=None if _is_cluster() else workers, include_dashboard=False, log_to_driver=False)
    try:
        yield from _collected(ray, lister, (audience, list(plan)), run, workers)
    finally:
        if own:
            ray.shutdown()


def _collected(
    ray: Any, lister: Lister, shared: tuple[Audience, Sequence[Users]], run: Path, workers: int
) -> Iterator[list[tuple[str, bytes]]]:
    context = ray.data.DataContext.get_current()
    context.execution_options.preserve_order = True
    context.enable_progress_bars = False
    plan = shared[1]
    if not plan:
        return  # a release that lacks nothing but its switch
    numbers = ray.data.from_items([{"id": number} for number in range(len(plan))], override_num_blocks=len(plan))
    told = (str(run.resolve()), lister.k, lister.cells is not None, str(lister.device), lister.cells or 0)
    made = numbers.map_batches(
        Worker,
        fn_constructor_args=(told, ray.put(shared)),
        compute=ray.data.ActorPoolStrategy(size=workers),
        batch_size=1,
    )
    for block in made.iter_batches(batch_size=None, prefetch_batches=1):
        yield list(zip(block["user_id"].tolist(), block["row"].tolist(), strict=True))


def _is_cluster() -> bool:
    return bool(os.environ.get("RAY_ADDRESS"))
