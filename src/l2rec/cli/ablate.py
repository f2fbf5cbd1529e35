"""`l2rec ablate`: a model's parts taken out one by one, each row beside the full model."""

from pathlib import Path
from typing import Annotated

import typer

from l2rec.cli.show import say, show, show_json, show_table
from l2rec.cli.train import seeds_of


def ablate(
    config: Annotated[Path, typer.Argument(help="TOML file with the settings of the full model.")],
    out: Annotated[Path | None, typer.Option(help="Folder; runs/ablation/NAME OF THE FILE where left out.")] = None,
    seeds: Annotated[str | None, typer.Option(help="Several seeds, e.g. 0,1,2; the file's own where left out.")] = None,
    only: Annotated[str | None, typer.Option(help="Rows, e.g. no-words,no-shortcut; all where left out.")] = None,
    overrides: Annotated[
        list[str] | None, typer.Option("--set", help="A setting of every row, e.g. training.epochs=1; may be repeated.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="List the rows with their settings and sizes.")] = False,
    test: Annotated[bool, typer.Option("--test", help="Read the test part, once all is chosen.")] = False,
    device: Annotated[str | None, typer.Option(help="cpu, cuda or mps; the best there is if left out.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print ablation.json.")] = False,
) -> None:
    """Take a model's parts out, or put some in, one by one.

    Each row is an ordinary run in OUT/NAME: the settings of CONFIG with a few changed. Rows that are finished are taken
    as they are, an interrupted one goes on. Prints a table of all finished rows, each tested against the full model by
    user, says of every part whether it is shown to help, and writes OUT/ablation.json and OUT/report.html. Reads the
    validation part unless --test is given.
    """
    from l2rec import run as runs
    from l2rec.run import ablation
    from l2rec.run.controls import controls
    from l2rec.serving.folder import open_data

    numbers = tuple(seeds_of(seeds))
    settings = runs.settings_of(config, overrides or [])
    found = controls(settings, open_data(settings.data), device)
    names = tuple(name.strip() for name in only.split(",")) if only else ()
    rows = ablation.chosen(found, names)
    if dry_run:
        show_table(("row", "trainable", "of full", "settings"), ablation.listed(rows), words=(0, -1))
        for name, why in found.left_out.items() if not names else ():
            say(f"{name}: no row: {why}")
        return
    folder = out or Path("runs") / "ablation" / config.stem
    options = runs.Options(device=device, progress=not as_json)
    part = "test" if test else "validation"
    told = ablation.ablate(found, ablation.Order(folder, str(config), numbers, names, part, options), say)
    table = told.table()
    if as_json:
        show_json(told.model_dump(mode="json"))
    else:
        show(table.caption)
        show_table(table.columns, table.rows, words=(0, -1))
        show("\n".join(["", *(line.sentence for line in told.lines if line.sentence)]))
    say(f"Report: {folder / ablation.REPORT}")
