"""The report's charts: intervals, slices, curves, expert use and the share of the views."""

from collections.abc import Sequence
from typing import Any

from l2rec.evaluation.comparison import Contrast, Row
from l2rec.evaluation.report.contents import Curve, HeatMap
from l2rec.evaluation.report.svg import MARKERS, RULE, SERIES, chart, shortened

Axes = Any
"""matplotlib's Axes; the package is imported only where a report is drawn."""


def intervals(rows: Sequence[Row], metric: str, name: str) -> str:
    """Returns a dot and an interval a row, and a line at the strongest baseline; baselines are hollow."""
    strongest = next((row for row in rows if row.origin.baseline), None)

    def draw(axes: Axes) -> None:
        if strongest is not None:
            axes.axvline(strongest.metrics[metric].mean, color=SERIES[1], linewidth=1, linestyle=(0, (4, 3)))
        for place, row in enumerate(rows):
            told = row.metrics[metric]
            colour = SERIES[1] if row.origin.baseline else SERIES[0]
            axes.plot([told.low, told.high], [place, place], color=colour, linewidth=2, solid_capstyle="round")
            face = "none" if row.origin.baseline else colour
            axes.plot(told.mean, place, "o", color=colour, markersize=6.5, markerfacecolor=face, markeredgewidth=1.6)
        _names_down(axes, [row.origin.label for row in rows])
        axes.set_xlabel(metric)

    return chart(draw, 0.75 + 0.3 * len(rows), name)


def differences(contrasts: Sequence[Contrast], name: str) -> str:
    """Returns a dot and an interval a contrast, and a line where there is no difference; what is shown is filled."""

    def draw(axes: Axes) -> None:
        axes.axvline(0, color=SERIES[1], linewidth=1, linestyle=(0, (4, 3)))
        for place, one in enumerate(contrasts):
            colour = SERIES[1] if one.verdict == "not shown" else SERIES[0]
            face = "none" if one.verdict == "not shown" else colour
            axes.plot([one.low, one.high], [place, place], color=colour, linewidth=2, solid_capstyle="round")
            axes.plot(one.difference, place, "o", color=colour, markersize=6.5, markerfacecolor=face)
        _names_down(axes, [one.label for one in contrasts])
        axes.set_xlabel(f"difference in {contrasts[0].metric}")

    return chart(draw, 0.75 + 0.3 * len(contrasts), name)


def by_slice(rows: Sequence[Row], names: Sequence[str], metric: str, name: str) -> str:
    """Returns, for every slice, a dot and an interval a row; the colour and the marker are the row's."""
    gap = 0.72 / len(rows)

    def draw(axes: Axes) -> None:
        for number, row in enumerate(rows):
            colour, marker = SERIES[number % len(SERIES)], MARKERS[number % len(MARKERS)]
            for place, part in enumerate(names):
                told = row.slices[part].metrics[metric]
                height = place + (number - (len(rows) - 1) / 2) * gap
                axes.plot([told.low, told.high], [height, height], color=colour, linewidth=1.2, alpha=0.65)
                axes.plot(told.mean, height, marker, color=colour, markersize=5)
        for place in range(1, len(names)):
            axes.axhline(place - 0.5, color=RULE, linewidth=0.6)
        _names_down(axes, names)
        axes.set_xlabel(metric)

    return chart(draw, 0.75 + len(names) * max(0.3, 0.13 * len(rows)), name)


def curves(lines: Sequence[Curve], numbers: Sequence[int], label: str, name: str) -> str:
    """Returns curves over epochs.

    Args:
        lines: One or more.
        numbers: The series number of each, so that a row keeps its colour on the page.
        label: What the curves show.
        name: Prefix of the chart's ids.
    """

    def draw(axes: Axes) -> None:
        for line, number in zip(lines, numbers, strict=True):
            few = len(line.points) <= 40
            marker = MARKERS[number % len(MARKERS)] if few else ""
            x, y = zip(*line.points, strict=True)
            axes.plot(x, y, color=SERIES[number % len(SERIES)], linewidth=1.6, marker=marker, markersize=4)
        axes.grid(visible=True)
        axes.spines["left"].set_visible(False)
        axes.locator_params(axis="x", integer=True)
        axes.set_xlabel("epoch")
        axes.set_title(label)

    return chart(draw, 2.6, name)


def heat_map(shares: HeatMap, name: str) -> str:
    """Returns a coloured cell for every share, the number in it."""
    import matplotlib as mpl
    import numpy as np

    values = np.array([[np.nan if v is None else v for v in row] for row in shares.values], dtype=float)
    top = float(np.nanmax(values)) or 1.0
    colours = mpl.colormaps["cividis"]

    def draw(axes: Axes) -> None:
        axes.pcolormesh(values, cmap=colours, vmin=0, vmax=top, edgecolors="face", linewidth=0.4)
        for row, column in np.argwhere(~np.isnan(values)):
            value = values[row, column]
            ink = "#000000" if value > 0.55 * top else "#ffffff"
            axes.text(column + 0.5, row + 0.5, f"{100 * value:.0f}", ha="center", va="center", color=ink, fontsize=8)
        axes.set_xticks(np.arange(len(shares.columns)) + 0.5, [shortened(c) for c in shares.columns])
        axes.set_yticks(np.arange(len(shares.rows)) + 0.5, [shortened(r) for r in shares.rows])
        axes.invert_yaxis()
        axes.spines[:].set_visible(False)
        axes.set_title(f"{shares.title}: % of choices")

    return chart(draw, 0.7 + 0.26 * len(shares.rows), name)


def shares_by_length(shares: dict[str, float], name: str) -> str:
    """Returns a bar a bucket of history lengths, from 0 to 1, and a line where both views weigh the same."""

    def draw(axes: Axes) -> None:
        axes.grid(visible=True, axis="y")
        axes.bar(range(len(shares)), list(shares.values()), color=SERIES[0], width=0.62)
        axes.axhline(0.5, color=SERIES[1], linewidth=1, linestyle=(0, (4, 3)))
        for place, value in enumerate(shares.values()):
            axes.annotate(
                f"{value:.2f}",
                (place, value),
                ha="center",
                va="bottom",
                fontsize=8.5,
                xytext=(0, 2),
                textcoords="offset points",
            )
        axes.set_xticks(range(len(shares)), list(shares))
        axes.set_ylim(0, 1.08)
        axes.spines["left"].set_visible(False)
        axes.set_xlabel("events in the history")
        axes.set_title("share of the semantic view")

    return chart(draw, 2.6, name)


def _names_down(axes: Axes, names: Sequence[str]) -> None:
    axes.set_yticks(range(len(names)), [shortened(name) for name in names])
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.grid(visible=True, axis="x")
    axes.spines["left"].set_visible(False)
