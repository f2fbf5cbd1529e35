"""Puts a table of runs between two marks of a Markdown page, so that a page never holds a number typed by hand."""

import sys
from collections.abc import Sequence
from pathlib import Path

from l2rec.cli.show import say
from l2rec.errors import L2RecError, SettingError
from l2rec.evaluation.comparison import Comparison
from l2rec.evaluation.leaderboard import Table, budgets, leaderboard, slices_table
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
    """Puts a table of run folders into a page: PAGE MARK [--slices] RUN...; returns the exit code."""
    sliced = "--slices" in arguments
    given = [each for each in arguments if each != "--slices"]
    try:
        if len(given) < 3:
            raise SettingError("readme: pass a page, the name of its mark and the run folders.")
        path, mark = Path(given[0]), given[1]
        table = compared([Path(run) for run in given[2:]], labelled=True)
        text = markdown(slices_table(table)) if sliced else _whole(table)
        path.write_text(placed(path.read_text(encoding="utf-8"), mark, text), encoding="utf-8")
    except L2RecError as error:
        say(str(error))
        return 2
    return 0


def _whole(table: Comparison) -> str:
    """The leaderboard, the budgets, and what it says of L2Rec."""
    parts = (markdown(leaderboard(table)), budgets(table), sentence(table, SUBJECT))
    return "\n\n".join(part for part in parts if part)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
