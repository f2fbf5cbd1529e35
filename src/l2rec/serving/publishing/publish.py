"""Publishing: everybody's list, preference vector and history into a store, under a version that goes live at once."""

import hashlib
import time
from bisect import bisect_right
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import accumulate
from pathlib import Path

from l2rec.errors import SettingError, StoreError
from l2rec.models._checkpoint import WEIGHTS
from l2rec.serving.folder import RunFolder
from l2rec.serving.index import refuse_unknown, tie_order
from l2rec.serving.publishing.audience import Audience, Users, audience_of, events_until, popular
from l2rec.serving.publishing.lists import Lister
from l2rec.serving.records import Release
from l2rec.serving.store.contract import Store

MOST_POPULAR = 10_000
"""Items that a release names by their popularity, at most."""


@dataclass(frozen=True)
class PublishOptions:
    """How a run is published.

    Attributes:
        k: Length of the lists.
        keep: Releases that are kept, the newest; the current one and the one before are kept in any case.
        batch: Users that are computed and written at a time, at most.
        index: How the lists are searched: `exact`, `faiss`, or `auto` for exact up to 200,000 items.
        device: Where the model computes.
        resume: Whether to go on with the newest release of the same run that was not finished, if there is one; the
            rest is computed as it would have been.
        engine: `local`, or `ray` for the workers of a Ray cluster.
        workers: Workers of the cluster.
        progress: Called with the users that are done and with all, after every batch.
    """

    k: int = 100
    keep: int = 3
    batch: int = 256
    index: str = "auto"
    device: str = "cpu"
    resume: bool = False
    engine: str = "local"
    workers: int = 2
    progress: Callable[[int, int], None] | None = None


def publish(run: Path, store: Store, options: PublishOptions | None = None) -> Release:
    """Computes a row for every user of a run and of a store, writes them, and makes the release the current one.

    Readers see the old release until the last row is written. Memory holds the histories and one batch.

    Args:
        run: A run folder, trained to the end, with its prepared data.
        store: Where the rows go, and where the events come from.
        options: See there.

    Raises:
        SettingError: an option is out of range.
        RunError: the run or its data is missing, unfinished or changed.
        StoreError: the release was dropped while it was made.
        MissingExtraError: faiss or Ray is wanted and not installed.
    """
    options = options or PublishOptions()
    _refuse_impossible(options)
    folder = RunFolder.open(run)
    lister = Lister.load(folder, options.k, options.index, options.device)
    unfinished = _unfinished(folder, lister, store) if options.resume else None
    upto = store.last_event() if unfinished is None else unfinished.upto
    audience = audience_of(folder.data(), events_until(store, upto), upto)
    recall = lister.measure(audience)
    release = unfinished or _new(folder, lister, audience, upto, recall)
    _refuse_another(release, lister, audience)
    store.begin(release)
    _write(lister, audience, release, store, options)
    before = store.current()
    release = release.model_copy(update={"finished": time.time()})
    store.switch(release)
    _expire(store, before, options.keep)
    return release


def _refuse_impossible(options: PublishOptions) -> None:
    given = {"k": options.k, "keep": options.keep, "batch": options.batch, "workers": options.workers}
    for name, value in given.items():
        if value < 1:
            raise SettingError(f"publish: {name} {value}: below 1. Set it to 1 or more.")
    refuse_unknown(options.index)
    if options.engine not in ("local", "ray"):
        raise SettingError(f"publish: engine {options.engine}: no such engine. Choose local or ray.")


def _new(folder: RunFolder, lister: Lister, audience: Audience, upto: int, recall: float | None) -> Release:
    begun, weights = datetime.now(UTC), _digest(folder.path / WEIGHTS)
    items = lister.model.item_count
    return Release(
        version=f"{begun:%Y%m%dT%H%M%S.%fZ}-{weights[:8]}",
        run=str(folder.path.resolve()),
        model=folder.manifest.model,
        weights=weights,
        created=begun.timestamp(),
        k=lister.k,
        users=len(audience),
        items=items,
        upto=upto,
        popular=popular(audience.histories, tie_order(items), MOST_POPULAR),
        index=lister.search,
        recall=recall,
    )


def _unfinished(folder: RunFolder, lister: Lister, store: Store) -> Release | None:
    """The newest release of the same weights and length of lists that lacks rows."""
    weights, run = _digest(folder.path / WEIGHTS), str(folder.path.resolve())
    for release in store.releases():
        same = (release.run, release.weights, release.k) == (run, weights, lister.k)
        if same and release.finished is None:
            return release
    return None


def _refuse_another(release: Release, lister: Lister, audience: Audience) -> None:
    """Refuses to go on with rows that were searched in another way or for others."""
    if (release.users, release.index) != (len(audience), lister.search):
        raise StoreError(
            f"release {release.version}: begun for {release.users} users with {release.index}; now it would be "
            f"{len(audience)} with {lister.search}. Publish anew, without --resume."
        )


def _write(lister: Lister, audience: Audience, release: Release, store: Store, options: PublishOptions) -> None:
    """Writes what is not yet written, batch after batch."""
    plan, done = lister.plan(audience, options.batch), store.done(release.version)
    ends = list(accumulate(len(users) for users in plan))
    first = bisect_right(ends, done)
    made = _computed(lister, audience, plan[first:], release, options)
    for end, rows in zip(ends[first:], made, strict=True):
        store.write_rows(release.version, rows, end)
        if options.progress is not None:
            options.progress(end, len(audience))


def _computed(
    lister: Lister, audience: Audience, plan: list[Users], release: Release, options: PublishOptions
) -> Iterable[list[tuple[str, bytes]]]:
    """Returns the rows of every batch, in the order of the plan."""
    if options.engine == "local":
        return (lister.rows(audience, users) for users in plan)
    from l2rec.serving.publishing.over_ray import computed

    return computed(lister, audience, plan, Path(release.run), options.workers)


def _expire(store: Store, before: Release | None, keep: int) -> None:
    """Drops what is beyond the newest `keep` and older than the release that was current before, which itself stays."""
    current, found = store.current(), store.releases()
    if before is None or current is None:
        return
    kept = {current.version} | {release.version for release in [r for r in found if r.finished is not None][:keep]}
    for release in found:
        if release.version not in kept and _is_older(release, before):
            store.drop(release.version)


def _is_older(release: Release, other: Release) -> bool:
    """Whether it was finished before the other was, or where it is not, begun before: that one may still be made."""
    if release.finished is None or other.finished is None:
        return release.created < other.created
    return release.finished < other.finished


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
