"""Run folders beside each other: which ones, their table, and charts that need no inline style."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl
from markupsafe import Markup

from l2rec.errors import L2RecError, RunError
from l2rec.evaluation import leaderboard
from l2rec.evaluation.comparison import Comparison, compare
from l2rec.evaluation.leaderboard import Table
from l2rec.evaluation.report import TrainingLog, charts, read_log
from l2rec.evaluation.report.page import beyond_table, metrics_table, slices_table
from l2rec.evaluation.results import Measured, Results
from l2rec.evaluation.slices import NAMES
from l2rec.serving.folder import RunFolder

RESULTS, RANKS, LOG = "results.json", "ranks.parquet", "log.jsonl"
_MOST, _FEWEST = 6, 10
"""Rows of the chart of slices, at most, and users of a slice that is drawn, at least."""
_GLYPHS = "●■◆▲▼✚✖"
_FONT = re.compile(r"font: (?:[a-z]+ )?([\d.]+px)[^;]*")


@dataclass(frozen=True)
class Figure:
    """A chart and its words.

    Attributes:
        svg: The chart.
        told: What it shows, for those who do not see it.
        caption: How to read it.
        keys: Its legend: label, marker, number of the colour.
    """

    svg: Markup
    told: str
    caption: str
    keys: tuple[tuple[str, str, int], ...] = ()


@dataclass(frozen=True)
class Board:
    """All that is shown of some runs.

    Attributes:
        headline: What they show, in a sentence.
        budgets: How much each was tuned.
        table: The leaderboard.
        figures: Intervals, then slices where they can be drawn.
        curves: Training loss and validation over epochs.
        tables: Further tables, by heading.
        left_out: Folders that could not be compared, with the reason.
    """

    headline: str
    budgets: str
    table: Table
    figures: tuple[Figure, ...]
    curves: tuple[Figure, ...]
    tables: dict[str, Table]
    left_out: tuple[str, ...]


def folders(run: Path) -> list[Path]:
    """Returns a run's folder and its neighbours that were evaluated; of a run with seeds, the other models' too."""
    family = run.parent.parent if run.name.startswith("seed-") else run.parent
    places = [*family.iterdir(), *family.glob("*/seed-*")] if family.is_dir() else []
    found = {place.resolve() for place in places if place.is_dir()} | {run.resolve()}
    return sorted(place for place in found if (place / RESULTS).is_file() and (place / RANKS).is_file())


def board(places: Sequence[Path]) -> Board:
    """Returns the table and the charts of evaluated run folders.

    Raises:
        RunError: none of them can be read.
    """
    runs, left_out = {}, []
    for place in places:
        try:
            runs[place] = _measured(place)
        except L2RecError as error:
            left_out.append(str(error))
    comparison = compare(list(runs.values()), labelled=True)
    several = len({run.results.origin.seed for run in runs.values()}) > 1
    logs = [_log(place, run, several, comparison.metric) for place, run in runs.items() if (place / LOG).is_file()]
    rows = comparison.rows
    tables = {"Every test": leaderboard.contrasts_table(comparison), "Every metric": metrics_table(rows)}
    tables |= {"Every slice": slices_table(rows, comparison.metric), "Beyond accuracy": beyond_table(rows)}
    return Board(
        leaderboard.headline(comparison),
        leaderboard.budgets(comparison),
        leaderboard.leaderboard(comparison),
        tuple(figure for figure in (_intervals(comparison), _slices(comparison)) if figure),
        tuple(_curves([log for log in logs if log is not None], comparison)),
        {name: table for name, table in tables.items() if table.rows},
        tuple(left_out),
    )


def plain(svg: str) -> Markup:
    """Returns a chart whose inline styles have become attributes, which a strict policy lets through."""
    svg = re.sub(r"<style\b.*?</style>", "", svg, flags=re.DOTALL)
    return Markup(re.sub(r' style="([^"]*)"', lambda match: _attributes(match[1]), svg))


def _attributes(style: str) -> str:
    style = _FONT.sub(r"font-size: \1", style)
    pairs = (part.partition(":") for part in style.split(";") if ":" in part)
    return "".join(f' {name.strip()}="{value.strip()}"' for name, _, value in pairs)


def _measured(place: Path) -> Measured:
    """What an evaluation left in a folder, under the folder's present name."""
    folder = RunFolder.open(place)
    try:
        results = Results.model_validate_json((place / RESULTS).read_text(encoding="utf-8"))
        frame = pl.read_parquet(place / RANKS)
    except (OSError, ValueError, pl.exceptions.PolarsError):
        raise RunError(f"{place.name}: its results are damaged. Evaluate it again: l2rec evaluate --again.") from None
    label = place.parent.name if place.name == f"seed-{folder.manifest.seed}" else place.name
    origin = results.origin.model_copy(update={"label": label, "tuning": folder.settings.tuning})
    return Measured(results.model_copy(update={"origin": origin}), frame)


def _log(place: Path, run: Measured, several: bool, metric: str) -> TrainingLog | None:
    origin = run.results.origin
    try:
        return read_log(place / LOG, f"{origin.label}, seed {origin.seed}" if several else origin.label, metric)
    except RunError:
        return None


def _intervals(comparison: Comparison) -> Figure:
    rows, metric = comparison.rows, comparison.metric
    told = "; ".join(
        f"{row.origin.label} {leaderboard.number(row.metrics[metric].mean)} {leaderboard.bounds(row.metrics[metric])}"
        for row in rows
    )
    caption = (
        f"{metric}: mean over users and its 95 % bootstrap interval. Hollow: a baseline; dashed: the strongest. "
        "Intervals may overlap and rows still differ: the paired test in the table decides."
    )
    return Figure(plain(charts.intervals(rows, metric, "board")), f"{metric} with 95 % intervals: {told}.", caption)


def _slices(comparison: Comparison) -> Figure | None:
    rows, metric = comparison.rows[:_MOST], comparison.metric
    names = [name for name in NAMES if all(row.slices[name].users >= _FEWEST for row in rows)]
    if not names:
        return None
    told = (
        f"{metric} of the best {len(rows)} rows in the slices {', '.join(names)}; the table of slices has the numbers."
    )
    keys = tuple((row.origin.label, *_mark(number)) for number, row in enumerate(rows))
    caption = f"{metric} and its 95 % interval by kind of case."
    return Figure(plain(charts.by_slice(rows, names, metric, "slices")), told, caption, keys)


def _curves(logs: Sequence[TrainingLog], comparison: Comparison) -> list[Figure]:
    kinds = {
        "training loss": [log.loss for log in logs if log.loss.points],
        f"validation {comparison.metric}": [log.validation for log in logs if log.validation.points],
    }
    labels = list(dict.fromkeys(line.label for lines in kinds.values() for line in lines))
    figures = []
    for place, (label, lines) in enumerate(kinds.items()):
        if lines:
            numbers = [labels.index(line.label) for line in lines]
            told = "; ".join(f"{line.label} from {line.points[0][1]:.4g} to {line.points[-1][1]:.4g}" for line in lines)
            keys = tuple((line.label, *_mark(number)) for line, number in zip(lines, numbers, strict=True))
            svg = plain(charts.curves(lines, numbers, label, f"curve{place}"))
            figures.append(Figure(svg, f"{label} over epochs: {told}.", f"{label} over epochs.", keys))
    return figures


def _mark(number: int) -> tuple[str, int]:
    return _GLYPHS[number % len(_GLYPHS)], number % len(_GLYPHS)
