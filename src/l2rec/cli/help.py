"""Writes docs/help.md: what every command's --help and every setting's docstring say, so that it cannot go stale."""

import sys
from collections.abc import Iterator
from pathlib import Path

from typer.testing import CliRunner

from l2rec import models
from l2rec.cli.app import app
from l2rec.cli.models import settings_of
from l2rec.config import EvaluationSettings, RunSettings, Settings, TrainingSettings, TuningSettings
from l2rec.data.columns import Columns
from l2rec.data.splits import SplitSettings
from l2rec.run.space import SearchSettings

WIDTH = 100


def page() -> str:
    """Returns the whole page."""
    return "\n".join([*_opening(), *_commands(), *_settings()]) + "\n"


def _opening() -> Iterator[str]:
    yield "# Commands and settings\n"
    yield "Written by `make docs` from the program itself; `make check` refuses a page that is not up to date.\n"
    yield "Data goes to stdout, words to stderr. What can be mended is said in one line, and the exit code is 2.\n"


def _commands() -> Iterator[str]:
    yield "## Commands\n"
    for words in every_command():
        told = CliRunner().invoke(app, [*words, "--help"], terminal_width=WIDTH, prog_name="l2rec").output
        yield f"### {' '.join(['l2rec', *words])}\n"
        yield "```\n" + "\n".join(line.rstrip() for line in told.strip().splitlines()) + "\n```\n"


def every_command() -> Iterator[list[str]]:
    """Yields the words of the program itself, of every command, and of every command within a family."""
    yield []
    yield from ([command.name] for command in app.registered_commands if command.name)
    for family in app.registered_groups:
        commands = family.typer_instance.registered_commands if family.typer_instance else []
        yield from ([str(family.name), command.name] for command in commands if command.name)


def _settings() -> Iterator[str]:
    yield "## Settings\n"
    yield "A run's TOML file holds the first group at its top; `--set name=value` changes one for one run.\n"
    yield from _table("The run", RunSettings)
    yield from _table("[training]", TrainingSettings)
    yield from _table("[evaluation]", EvaluationSettings)
    yield from _table("[tuning]", TuningSettings)
    yield from _table("[search]", SearchSettings)
    for name in models.names():
        found = models.find(name)
        yield from _table(f'[model] name = "{name}"', found.config, found.summary)
    yield from _table("Columns of a source (`l2rec prepare`)", Columns)
    yield from _table("Split (`l2rec prepare`)", SplitSettings)


def _table(title: str, kind: type[Settings], summary: str = "") -> Iterator[str]:
    yield f"### {title}\n"
    if summary:
        yield f"{summary}\n"
    yield "| setting | type | default | meaning |"
    yield "|---|---|---|---|"
    for row in settings_of(kind):
        cells = (f"`{row['setting']}`", f"`{row['type']}`", f"`{row['default']}`", row["meaning"])
        yield "| " + " | ".join(str(cell).replace("|", "\\|") for cell in cells) + " |"
    yield ""


def main(arguments: list[str]) -> int:
    """Writes the page to the path given, or compares it with `--check`; returns the exit code."""
    check = "--check" in arguments
    path = Path(next(word for word in arguments if not word.startswith("-")))
    told = page()
    if not check:
        path.write_text(told, encoding="utf-8")
    elif not path.is_file() or path.read_text(encoding="utf-8") != told:
        sys.stderr.write(f"{path}: not up to date. Run: make docs\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
