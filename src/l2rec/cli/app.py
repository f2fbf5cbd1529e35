"""The command line: one `typer` application, and the place where a complaint becomes one line and exit code 2."""

import sys
from collections.abc import Sequence

import typer

from l2rec.cli import (
    ablate,
    demo,
    diagnose,
    doctor,
    evaluate,
    keys,
    models,
    prepare,
    publish,
    recommend,
    search,
    serve,
    train,
)
from l2rec.cli.show import say
from l2rec.errors import L2RecError

app = typer.Typer(
    name="l2rec",
    help="Personalised recommendation with a language model: from a log and a catalogue to honestly measured lists.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
app.command("demo")(demo.demo)
app.command("prepare")(prepare.prepare)
app.command("diagnose")(diagnose.diagnose)
app.command("train")(train.train)
app.command("search")(search.search)
app.command("ablate")(ablate.ablate)
app.command("evaluate")(evaluate.evaluate)
app.command("compare")(evaluate.compare)
app.command("recommend")(recommend.recommend)
app.command("publish")(publish.publish)
app.command("rollback")(publish.rollback)
app.command("releases")(publish.releases)
app.command("serve")(serve.serve)
app.add_typer(keys.keys, name="keys")
app.command("models")(models.models)
app.command("doctor")(doctor.doctor)


@app.callback(invoke_without_command=True)
def _options(
    version: bool = typer.Option(False, "--version", help="Print the version and stop."),
) -> None:
    if version:
        from importlib.metadata import version as installed

        typer.echo(f"l2rec {installed('l2rec')}")
        raise typer.Exit


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs one command and ends the process.

    Args:
        arguments: What stands after `l2rec`; the process's own arguments where None.

    Raises:
        SystemExit: always; 0 when it worked, 2 for what the user can fix.
    """
    try:
        app(None if arguments is None else list(arguments))
    except L2RecError as error:
        say(f"l2rec: {error}")
        sys.exit(2)
