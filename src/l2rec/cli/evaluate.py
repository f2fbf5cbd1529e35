"""`l2rec evaluate` and `l2rec compare`: numbers with their intervals and the protocol that they were counted by."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from l2rec.cli.show import say, show, show_json, show_table
from l2rec.errors import SettingError

if TYPE_CHECKING:
    from l2rec.evaluation.comparison import Comparison


def evaluate(
    run: Annotated[Path, typer.Argument(help="Run folder, or one that holds seed-0, seed-1, ...")],
    part: Annotated[str, typer.Option(help="test, or validation for choosing settings.")] = "test",
    again: Annotated[bool, typer.Option("--again", help="Rank once more what is remembered.")] = False,
    device: Annotated[str | None, typer.Option(help="cpu, cuda or mps; the best there is if left out.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print everything, slices too, as JSON.")] = False,
) -> None:
    """Measure a run on the test part.

    Ranks the whole catalogue for every case, prints each metric with its interval and protocol, writes report.html.
    A part is ranked once; what was found is printed again unless --again is given.
    """
    if part not in ("test", "validation"):
        raise SettingError(f"--part {part}: expected test or validation.")
    from l2rec.evaluation.leaderboard import bounds, number
    from l2rec.run.record import runs_in
    from l2rec.run.tables import compared, write_report

    found = [each.evaluate(part, again=again, device=device) for each in runs_in(run)]
    if as_json:
        show_json([results.model_dump(mode="json") for results in found])
    for results in found if not as_json else ():
        rows = [(name, number(e.mean), bounds(e), results.origin.protocol) for name, e in results.metrics.items()]
        say(f"{results.origin.label}, seed {results.origin.seed}: {results.cases} {part} cases, {results.items} items")
        show_table(("metric", "mean", "95 % interval", "protocol"), rows, words=(0, -1))
    if part == "test" and len(found) > 1 and not as_json:
        show_comparison(compared([run]))
    if part == "test":
        say(f"Report: {write_report([run], run / 'report.html')}")


def compare(
    runs: Annotated[list[Path], typer.Argument(help="Run folders; one with seed-0, seed-1, ... is one model.")],
    metric: Annotated[str, typer.Option(help="Orders the rows and is tested.")] = "ndcg@10",
    against: Annotated[
        list[str] | None, typer.Option(help="A row that all others are tested against too; may be repeated.")
    ] = None,
    labelled: Annotated[
        bool,
        typer.Option("--labelled", help="Let in unlike protocols and unequal tuning budgets; each row says its own."),
    ] = False,
    out: Annotated[Path, typer.Option(help="Report to write.")] = Path("report.html"),
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Put evaluated runs in one table.

    Tests each against the strongest baseline: paired bootstrap interval, permutation p corrected by Holm, verdict.
    `better` is only said where the interval excludes 0. Without --labelled, rows of unequal tuning budgets are refused,
    as is a row that says its budget beside one that does not.
    """
    from l2rec.run.tables import compared, write_report

    found = compared(runs, metric, against or [], labelled=labelled)
    if as_json:
        show_json(found.model_dump(mode="json"))
    else:
        show_comparison(found)
    say(f"Report: {write_report(runs, out, found)}")


def show_comparison(found: "Comparison") -> None:
    """Prints the leaderboard, its tuning budgets, and every test where there are more than the leaderboard shows."""
    from l2rec.evaluation.leaderboard import budgets, contrasts_table, leaderboard

    board, contrasts = leaderboard(found), contrasts_table(found)
    show(board.caption)
    show_table(board.columns, board.rows, words=(0, -1))
    show(budgets(found))
    if len(contrasts.rows) >= len(board.rows):
        show(f"\n{contrasts.caption}")
        show_table(contrasts.columns, contrasts.rows, words=(0, 1, -1))
