"""`l2rec publish`, `rollback` and `releases`: versions of everybody's lists in a store."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from l2rec.cli.show import say, say_if_unpinned, show, show_json, show_table

if TYPE_CHECKING:
    from l2rec.serving.records import Release

Place = Annotated[str, typer.Option("--store", help="sqlite:///PATH or redis://HOST[:PORT]/DB.")]


def publish(
    run: Annotated[Path, typer.Argument(help="Run folder.")],
    store: Place,
    count: Annotated[int, typer.Option("--count", "-k", "--k", min=1, help="Length of the lists.")] = 100,
    keep: Annotated[int, typer.Option(min=1, help="Releases that are kept, the newest.")] = 3,
    batch: Annotated[int, typer.Option(min=1, help="Users that are computed at a time, at most.")] = 256,
    index: Annotated[str, typer.Option(help="exact, faiss, or auto: exact below 200,000 items.")] = "auto",
    engine: Annotated[str, typer.Option(help="local, or ray for the workers of a Ray cluster.")] = "local",
    workers: Annotated[int, typer.Option(min=1, help="Workers of the Ray cluster.")] = 2,
    resume: Annotated[bool, typer.Option("--resume", help="Go on where a publishing of this run was cut off.")] = False,
    device: Annotated[str, typer.Option(help="cpu, cuda or mps.")] = "cpu",
    as_json: Annotated[bool, typer.Option("--json", help="Print the release as JSON.")] = False,
) -> None:
    """Compute everybody's list ahead and make it live.

    Writes a row for every user of the run's data and of the store's events, under a new version, and switches to it in
    one step. Prints the version.
    """
    from l2rec.serving.folder import RunFolder
    from l2rec.serving.publishing.publish import PublishOptions, publish
    from l2rec.serving.store.opening import open_store, shown

    opened = open_store(store)
    try:
        folder = RunFolder.open(run)
        folder.refuse_unfinished()
        say_if_unpinned(folder)
        with _bar(not as_json) as progress:
            options = PublishOptions(
                k=count,
                keep=keep,
                batch=batch,
                index=index,
                device=device,
                resume=resume,
                engine=engine,
                workers=workers,
                progress=progress,
            )
            release = publish(run, opened, options)
    finally:
        opened.close()
    say(f"{release.users} users, {release.items} items, {release.index}. Next: l2rec serve --store {shown(store)}")
    show_json(_told(release)) if as_json else show(release.version)


def rollback(
    store: Place,
    as_json: Annotated[bool, typer.Option("--json", help="Print the release as JSON.")] = False,
) -> None:
    """Go back to the release that was live before the current one.

    In one step for all readers; prints the version.
    """
    from l2rec.serving.store.opening import open_store

    opened = open_store(store)
    try:
        release = opened.rollback()
    finally:
        opened.close()
    show_json(_told(release)) if as_json else show(release.version)


def releases(
    store: Place,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """List the releases of a store, newest first.

    The current one is marked; one that lacks rows says how many it has.
    """
    from l2rec.serving.store.opening import open_store

    opened = open_store(store)
    try:
        found, current = opened.releases(), opened.current()
        live = None if current is None else current.version
        done = {r.version: opened.done(r.version) if r.finished is None else r.users for r in found}
    finally:
        opened.close()
    told = [{**_told(r), "current": r.version == live, "done": done[r.version]} for r in found]
    if as_json:
        show_json(told)
        return
    columns = ("", "version", "model", "users", "done", "items", "k", "search", "recall", "run")
    show_table(columns, [_cells(one) for one in told], words=(0, 1, 2, 7, 9))


def _told(release: "Release") -> dict[str, Any]:
    """What a person wants to know of a release: all but the popular items."""
    return release.model_dump(mode="json", exclude={"popular"})


def _cells(told: dict[str, Any]) -> tuple[str, ...]:
    recall = "" if told["recall"] is None else f"{told['recall']:.3f}"
    names = ("version", "model", "users", "done", "items", "k", "index")
    return ("*" if told["current"] else "", *(str(told[name]) for name in names), recall, told["run"])


@contextmanager
def _bar(shown: bool) -> Iterator[Callable[[int, int], None]]:
    """Shows a progress bar on stderr, on a terminal only, and gives what moves it."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    columns = (
        TextColumn("publish"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("users, {task.fields[rate]:.0f} users/s"),
        TimeRemainingColumn(compact=True, elapsed_when_finished=True),
    )
    with Progress(*columns, console=console, disable=not (shown and console.is_terminal)) as progress:
        task = progress.add_task("", total=None, rate=0.0)

        def moved(done: int, users: int) -> None:
            speed = progress.tasks[0].finished_speed or progress.tasks[0].speed or 0.0
            progress.update(task, completed=done, total=users, rate=speed)

        yield moved
