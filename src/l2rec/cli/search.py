"""`l2rec search`: from a TOML file and a budget to chosen settings."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from l2rec.cli.show import say, show_json, show_table

if TYPE_CHECKING:
    from l2rec.run.search import Searched


def search(
    config: Annotated[Path, typer.Argument(help="TOML file with the settings; [search] may change the space.")],
    trials: Annotated[int | None, typer.Option(min=1, help="Trials, pruned and failed ones included.")] = None,
    seconds: Annotated[float | None, typer.Option(min=1, help="Seconds of all trials together.")] = None,
    out: Annotated[Path | None, typer.Option(help="Folder; runs/search/NAME OF THE FILE where left out.")] = None,
    overrides: Annotated[
        list[str] | None, typer.Option("--set", help="A setting, e.g. model.rank=16; may be repeated.")
    ] = None,
    no_prune: Annotated[bool, typer.Option("--no-prune", help="Train every trial to its end.")] = False,
    resume: Annotated[bool, typer.Option("--resume", help="Go on where the search in OUT stopped.")] = False,
    source: Annotated[
        Path | None,
        typer.Option("--from", help="A finished run; its weights are every trial's, the third signal is searched."),
    ] = None,
    device: Annotated[str | None, typer.Option(help="cpu, cuda or mps; the best there is if left out.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print search.json.")] = False,
) -> None:
    """Choose a model's settings on the validation part.

    Tries what the model's file declares (or [search.space] says) until the trials or seconds are used up, whichever
    comes first; give every model that is compared the same. Prints all trials, writes OUT/best.toml for `l2rec train`,
    with its budget under [tuning], and OUT/search.json. The test part is not read.
    """
    import json

    from l2rec.run import Options
    from l2rec.run.search import Order, search
    from l2rec.run.searched import BEST, TOLD, Budget

    folder = out or Path("runs") / "search" / config.stem
    options = Options(device=device, resume=resume, progress=not as_json, source=source)
    order = Order(config, folder, Budget(trials, seconds), tuple(overrides or ()), not no_prune, options)
    found = search(order)
    if as_json:
        show_json(json.loads((folder / TOLD).read_text(encoding="utf-8")))
    else:
        _show(found)
    say(f"Trial {found.best.number} is the best. Next: l2rec train {folder / BEST}")


def _show(found: "Searched") -> None:
    """Prints every trial, the best validation first; a model's settings without `model.` before them."""
    from l2rec.evaluation.leaderboard import number

    names = list(found.best.settings)
    rows = []
    for trial in sorted(found.trials, key=lambda each: (-(each.value or 0), each.number)):
        chosen = [f"{value:.4g}" if isinstance(value, float) else str(value) for value in trial.settings.values()]
        value = "-" if trial.value is None else number(trial.value)
        mark = "best" if trial.number == found.best.number else ""
        rows.append((str(trial.number), trial.state, value, mark, f"{trial.seconds:.1f}", *chosen))
    heads = [name.removeprefix("model.") for name in names]
    show_table(("trial", "state", "ndcg@10", "", "seconds", *heads), rows, words=(1, 3))
