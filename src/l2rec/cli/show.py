"""How every command speaks: data to stdout as a table or JSON, words to stderr."""

import io
import json
import sys
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from l2rec.serving.folder import RunFolder


def say(text: str) -> None:
    """Prints words for a person to stderr."""
    typer.echo(text, err=True)


def show(text: str) -> None:
    """Prints a line of data to stdout."""
    typer.echo(text)


def show_json(value: Any) -> None:
    """Prints plain values to stdout as indented JSON."""
    typer.echo(json.dumps(value, ensure_ascii=False, indent=2))


def show_table(columns: Sequence[str], rows: Iterable[Sequence[str]], *, words: Sequence[int] = (0,)) -> None:
    """Prints a table to stdout: ruled in a terminal, plain aligned columns in a pipe or a file.

    Args:
        columns: Headings; an empty one is allowed.
        rows: Cells as text, as many as headings.
        words: Columns that hold words and stand on the left; numbers stand on the right. -1 is the last.
    """
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    terminal = sys.stdout.isatty()
    table = Table(box=box.SIMPLE_HEAD if terminal else None, pad_edge=terminal, show_edge=terminal)
    left = {number % len(columns) for number in words}
    for number, column in enumerate(columns):
        table.add_column(Text(column), justify="left" if number in left else "right", overflow="fold")
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    if terminal:
        Console(file=sys.stdout, highlight=False).print(table)
        return
    written = io.StringIO()
    Console(file=written, width=10_000, highlight=False).print(table)
    show("\n".join(line.rstrip() for line in written.getvalue().splitlines()))


def say_if_unpinned(folder: "RunFolder") -> None:
    """Warns of a run whose files nothing holds to what they were."""
    if not folder.is_pinned:
        say(f"{folder.path}: not pinned: an earlier l2rec wrote no hashes of ids and settings. Train again for them.")
