"""The page: charts drawn, tables filled in, everything in one HTML file."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from l2rec.evaluation import leaderboard
from l2rec.evaluation.comparison import Row
from l2rec.evaluation.leaderboard import Table
from l2rec.evaluation.report import charts
from l2rec.evaluation.report.contents import Curve, HeatMap, ReportData
from l2rec.evaluation.report.svg import MARKERS, SERIES
from l2rec.evaluation.slices import NAMES

_MOST = 6
"""Rows in the chart of slices, the best ones; the table has all."""
_FEWEST = 10
"""Users that a slice needs to be drawn; the interval of fewer says nothing. The table has all."""
_GLYPHS = dict(zip(MARKERS, "●■◆▲▼✚✖", strict=True))


@dataclass(frozen=True)
class Figure:
    """A chart and its words.

    Attributes:
        svg: The chart.
        told: What it shows, for those who do not see it.
        caption: How to read it.
    """

    svg: Markup
    told: str
    caption: str


@dataclass(frozen=True)
class Key:
    """One entry of a chart's legend: the label, its marker, and the number of its colour."""

    label: str
    glyph: str
    colour: int


def write(data: ReportData, out: Path) -> Path:
    """Writes the page to `out`, whole or not at all, and returns `out`."""
    part = out.with_name(out.name + ".part")
    part.write_text(page(data), encoding="utf-8")
    part.replace(out)
    return out


def page(data: ReportData) -> str:
    """Returns the page as HTML that asks nothing of the network; every text of the data is escaped."""
    environment = Environment(
        loader=PackageLoader("l2rec.evaluation.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["score"] = _score
    rows = data.comparison.rows
    shown = rows[:_MOST]
    return environment.get_template("report.html.j2").render(
        data=data,
        style=Markup(environment.get_template("report.css").render()),
        headline=_headline(data),
        board=leaderboard.leaderboard(data.comparison),
        differences=_differences(data) if data.parts and data.comparison.contrasts else None,
        budgets=leaderboard.budgets(data.comparison),
        tuning=leaderboard.tuning_table(data.comparison),
        metrics=metrics_table(rows),
        board_figure=_board_figure(data),
        contrasts=leaderboard.contrasts_table(data.comparison),
        slices_figure=_slices_figure(shown, data.comparison.metric),
        slices_legend=[_key(row.origin.label, number) for number, row in enumerate(shown)],
        slices=slices_table(rows, data.comparison.metric),
        beyond=beyond_table(rows),
        curves=[f for f in (_curves(data, data.losses, "training loss", "loss"), _validation(data)) if f],
        curves_legend=_curve_keys(data),
        inner=[*(_routing(m, n) for n, m in enumerate(data.routing)), *([_fusion(data)] if data.fusion else [])],
    )


def _headline(data: ReportData) -> str:
    tests = data.comparison.contrasts
    if not data.parts or not tests:
        return leaderboard.headline(data.comparison)
    worse = sum(test.verdict == "worse" for test in tests)
    return f"Of {len(tests)} rows, {worse} shown to be worse than {tests[0].against}, so that what differs helps there."


def _key(label: str, number: int) -> Key:
    return Key(label, _GLYPHS[MARKERS[number % len(MARKERS)]], number % len(SERIES))


def _score(value: float) -> str:
    return f"{value:.3g}" if abs(value) < 1000 else f"{value:.0f}"


def _board_figure(data: ReportData) -> Figure:
    rows, metric = data.comparison.rows, data.comparison.metric
    told = "; ".join(
        f"{r.origin.label} {leaderboard.number(r.metrics[metric].mean)} {leaderboard.bounds(r.metrics[metric])}"
        for r in rows
    )
    caption = (
        f"{metric}: mean over users and its 95 % bootstrap interval. Hollow: a baseline; dashed: the strongest. "
        "Intervals of two rows may overlap and the rows still differ: the paired test below decides."
    )
    return Figure(Markup(charts.intervals(rows, metric, "board")), f"{metric} with 95 % intervals: {told}.", caption)


def _differences(data: ReportData) -> Figure:
    tests = data.comparison.contrasts
    rival = tests[0].against
    told = "; ".join(f"{t.label} {leaderboard.signed(t.difference)} {t.verdict}" for t in tests)
    caption = (
        f"{data.comparison.metric} minus that of {rival}: mean over users and its paired 95 % bootstrap interval. "
        "Hollow: a difference is not shown."
    )
    return Figure(Markup(charts.differences(tests, "parts")), f"Differences to {rival}: {told}.", caption)


def _slices_figure(rows: Sequence[Row], metric: str) -> Figure | None:
    names = [name for name in NAMES if all(row.slices[name].users >= _FEWEST for row in rows)]
    if not names:
        return None
    told = f"{metric} of the best {len(rows)} rows in the slices {', '.join(names)}; the table below has the numbers."
    few = [name for name in NAMES if name not in names]
    caption = f"{metric} and its 95 % interval by kind of case."
    caption += f" Fewer than {_FEWEST} users, so not drawn: {', '.join(few)}." if few else ""
    return Figure(Markup(charts.by_slice(rows, names, metric, "slices")), told, caption)


def metrics_table(rows: Sequence[Row]) -> Table:
    """Returns every metric of every row with its interval."""
    names = list(rows[0].metrics)
    body = [tuple(f"{leaderboard.with_spread(r, n)} {leaderboard.bounds(r.metrics[n])}" for n in names) for r in rows]
    caption = "Means over users with 95 % bootstrap intervals; ± is the standard deviation between seeds."
    return Table(caption, ("model", *names), tuple((r.origin.label, *own) for r, own in zip(rows, body, strict=True)))


def slices_table(rows: Sequence[Row], metric: str) -> Table:
    """Returns the tested metric of every row in every slice that has a case, and the slices' sizes."""
    names = [name for name in NAMES if any(row.slices[name].cases for row in rows)]
    columns = ("model", *(f"{name} ({rows[0].slices[name].cases:,})" for name in names))
    cells = [
        tuple(leaderboard.number(r.slices[n].metrics[metric].mean) if r.slices[n].cases else "-" for n in names)
        for r in rows
    ]
    body = tuple((row.origin.label, *own) for row, own in zip(rows, cells, strict=True))
    return Table(f"{metric} by slice; in brackets the number of cases.", columns, body)


def beyond_table(rows: Sequence[Row]) -> Table:
    """Returns the values beyond accuracy, at the cut-off 10 or the first one that there is."""
    names = [name for name in rows[0].beyond if name.endswith("@10")] or list(rows[0].beyond)[:5]
    cells = [tuple("-" if (v := row.beyond.get(name)) is None else f"{v:.3f}" for name in names) for row in rows]
    body = tuple((row.origin.label, *own) for row, own in zip(rows, cells, strict=True))
    caption = (
        "Coverage: share of the catalogue on some list. Gini: 0 if all items are shown alike. Novelty: bits, more is "
        "rarer. Similarity: of two items on a list. Lift: popularity over the users' own choice, 0 is alike."
    )
    return Table(caption, ("model", *names), body)


def _number_of(data: ReportData, label: str) -> int:
    """The colour of a curve: its row's, or one of its own."""
    labels = list(dict.fromkeys([r.origin.label for r in data.comparison.rows] + [c.label for c in _lines(data)]))
    return labels.index(label)


def _lines(data: ReportData) -> list[Curve]:
    return [line for line in (*data.losses, *data.validations) if line.points]


def _curve_keys(data: ReportData) -> list[Key]:
    return [_key(label, _number_of(data, label)) for label in dict.fromkeys(line.label for line in _lines(data))]


def _validation(data: ReportData) -> Figure | None:
    return _curves(data, data.validations, f"validation {data.comparison.metric}", "validation")


def _curves(data: ReportData, lines: Sequence[Curve], label: str, name: str) -> Figure | None:
    lines = [line for line in lines if line.points]
    if not lines:
        return None
    numbers = [_number_of(data, line.label) for line in lines]
    told = "; ".join(f"{c.label} from {c.points[0][1]:.4g} to {c.points[-1][1]:.4g}" for c in lines)
    return Figure(Markup(charts.curves(lines, numbers, label, name)), f"{label} over epochs: {told}.", f"{label}.")


def _routing(shares: HeatMap, number: int) -> Figure:
    used = [v for row in shares.values for v in row if v is not None]
    told = f"Expert use, {shares.title}: {len(shares.rows)} blocks, shares from {min(used):.0%} to {max(used):.0%}."
    return Figure(
        Markup(charts.heat_map(shares, f"routing{number}")),
        told,
        f"How often each expert of the {shares.title} was chosen in the last epoch, block by block.",
    )


def _fusion(data: ReportData) -> Figure:
    told = "; ".join(f"{bucket} events {share:.2f}" for bucket, share in data.fusion.items())
    return Figure(
        Markup(charts.shares_by_length(data.fusion, "fusion")),
        f"Share of the semantic view in the fused vector by history length: {told}.",
        "How much the text counts against behaviour in the fused vector, by length of the history; dashed: alike.",
    )
