"""`l2rec demo`: L2Rec beside its baselines on the bundled sample, from installation to report."""

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from l2rec.cli.evaluate import show_comparison
from l2rec.cli.show import say, show, show_table

if TYPE_CHECKING:
    from l2rec.evaluation.report import Example

SUBJECT = "l2rec"
CAVEAT = (
    "MovieLens films stand in what language models have read, so this table shows that everything works and carries "
    "no claim about L2Rec; README.md has the tables that do."
)


def demo(
    out: Annotated[Path, typer.Option(help="Folder for the runs and report.html.")] = Path("runs/demo"),
    configs: Annotated[
        Path | None, typer.Option(help="Folder with one TOML file a row; the demo's own if left out.")
    ] = None,
) -> None:
    """Train L2Rec beside its baselines on the bundled sample.

    Prints the table with intervals, says whether L2Rec is the best row, shows three users' lists, and writes
    report.html. What an earlier call finished is taken as it is; remove the folder to train again.
    """
    began = time.perf_counter()
    from l2rec.run import demo as pipeline

    found = pipeline.demonstrate(configs or pipeline.configs(), out, say, progress=sys.stderr.isatty())
    show("")
    show_comparison(found.comparison)
    show(f"\n{found.sentence}\n{CAVEAT}" if found.sentence else "")
    for example in found.examples:
        _show_example(example)
    show(f"\nReport: {found.report}")
    say(f"{time.perf_counter() - began:.0f} s. Next: l2rec recommend {out / SUBJECT} --text WORDS, or open the report.")


def _show_example(example: "Example") -> None:
    """Prints one user's history and list; of the subject where it is a row, else of the first row."""
    label = SUBJECT if SUBJECT in example.lists else next(iter(example.lists))
    show(f"\nUser {example.user}, {example.earlier} earlier events, then:")
    for title in example.history:
        show(f"  {title}")
    show(f"What {label} recommends:")
    rows = [
        (str(place), one.title, f"{one.score:.3f}", "chosen next" if one.hit else "")
        for place, one in enumerate(example.lists[label], 1)
    ]
    show_table(("", "title", "score", ""), rows, words=(1, 3))
    if example.target is not None:
        show(f"What the user chose next: {example.target}")
