"""`l2rec diagnose`: what kind of data this is, before anything is claimed on it."""

from pathlib import Path
from typing import Annotated

import typer

from l2rec.cli.show import say, show, show_json


def diagnose(
    data: Annotated[str, typer.Argument(help="Prepared folder, or `sample` for the bundled one.")],
    out: Annotated[Path | None, typer.Option(help="Folder for diagnosis.json; the prepared one if left out.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Say what the data can and cannot show.

    Repeats, ties in time, order of ids, lengths, texts, newcomers, what the transition floor reaches; also saved.
    """
    from l2rec.run.diagnosing import diagnosed, saved
    from l2rec.serving.folder import open_data

    prepared = open_data(data)
    found = diagnosed(prepared)
    if as_json:
        show_json(found.model_dump(mode="json"))
    else:
        show("\n".join(found.sentences()))
        show("\n".join(f"Warning: {warning}" for warning in found.warnings()))
    say(f"Saved: {saved(found, prepared, out)}")
