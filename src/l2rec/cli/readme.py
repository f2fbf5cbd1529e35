"""Puts a table of runs between two marks of a Markdown page, so that a page never holds a number typed by hand."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from l2rec.cli.show import say
from l2rec.errors import L2RecError, SettingError
from l2rec.evaluation.comparison import Comparison
from l2rec.evaluation.leaderboard import Table, budgets, contrasts_table, leaderboard, slices_table
from l2rec.evaluation.report.page import beyond_table
from l2rec.run.demo import SUBJECT, sentence
from l2rec.run.tables import compared


def markdown(table: Table) -> str:
    """Returns a table in Markdown, its caption above it."""
    head = [table.columns, ["---"] * len(table.columns)]
    rows = ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in (*head, *table.rows)]
    return f"{table.caption}\n\n" + "\n".join(rows)


def placed(page: str, mark: str, text: str) -> str:
    """Returns the page with `text` between `<!-- mark:start -->` and `<!-- mark:end -->`.

    Raises:
        SettingError: the page lacks a mark, or has it twice.
    """
    start, end = f"<!-- {mark}:start -->", f"<!-- {mark}:end -->"
    if page.count(start) != 1 or page.count(end) != 1:
        raise SettingError(f"{start} ... {end}: expected once in the page. Put the marks where the table belongs.")
    before, rest = page.split(start)
    return f"{before}{start}\n{text}\n{end}{rest.split(end)[1]}"


def main(arguments: Sequence[str]) -> int:
    """Puts a table of run folders into a page and returns the exit code.

    Args:
        arguments: PAGE MARK [--slices | --beyond | --against LABEL] RUN...: the table of all rows, of their slices, of
            what their lists are like beyond being right, or of every row against one.
    """
    parser = argparse.ArgumentParser(prog="python -m l2rec.cli.readme", description="Put a table into a page.")
    parser.add_argument("page", type=Path)
    parser.add_argument("mark")
    parser.add_argument("runs", type=Path, nargs="+")
    kind = parser.add_mutually_exclusive_group()
    kind.add_argument("--slices", action="store_true", help="The slices of every row.")
    kind.add_argument("--beyond", action="store_true", help="Coverage, popularity and the like of every row.")
    kind.add_argument("--against", metavar="LABEL", help="Every row against this one.")
    given = parser.parse_args(arguments)
    try:
        text = _text(given)
        given.page.write_text(placed(given.page.read_text(encoding="utf-8"), given.mark, text), encoding="utf-8")
    except L2RecError as error:
        say(str(error))
        return 2
    return 0


def _text(given: argparse.Namespace) -> str:
    """The table that is asked for."""
    table = compared(given.runs, against=[given.against] if given.against else [], labelled=True)
    if not (given.against or given.slices or given.beyond):
        return _whole(table)
    if table.mixed():
        raise SettingError(
            "readme: --slices, --beyond, --against: runs of one protocol and data. Leave the others out."
        )
    if given.beyond:
        return markdown(beyond_table(table.rows))
    told = slices_table(table) if given.slices else contrasts_table(table, given.against)
    return f"{markdown(told)}\n\n{budgets(table)}"


def _whole(table: Comparison) -> str:
    """The leaderboard, the budgets, and what it says of L2Rec; of the best row where none is called that."""
    labels = [row.origin.label for row in table.rows]
    about = SUBJECT if SUBJECT in labels else labels[0]
    parts = (markdown(leaderboard(table)), budgets(table), sentence(table, about))
    return "\n\n".join(part for part in parts if part)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
