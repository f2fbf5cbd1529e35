"""A comparison as a table of text, ready for a terminal, a file or the report."""

from collections.abc import Sequence
from dataclasses import dataclass

from l2rec.config import TuningSettings
from l2rec.evaluation.comparison import Comparison, Contrast, Row, budget
from l2rec.evaluation.results import Estimate, Origin
from l2rec.evaluation.significance import LEVEL
from l2rec.evaluation.slices import NAMES


@dataclass(frozen=True)
class Table:
    """Cells as text.

    Attributes:
        caption: What every number of the table is.
        columns: Headings.
        rows: As many cells as headings.
    """

    caption: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def leaderboard(comparison: Comparison, metrics: Sequence[str] = ("recall@10", "ndcg@10")) -> Table:
    """Returns a row a label: the metrics, the tested one with its interval, and the test against the first rival.

    Args:
        comparison: What is shown.
        metrics: Shown where measured; the tested metric is shown in any case.
    """
    shown = [name for name in metrics if name != comparison.metric and name in comparison.rows[0].metrics]
    mixed = comparison.mixed()
    percent = round(100 * LEVEL)
    columns = ["model", *(["protocol"] if mixed else []), "seeds", *shown, comparison.metric, f"{percent} % interval"]
    columns += ["against", "difference", "p (Holm)", "verdict"]
    rows = [_cells(row, comparison, shown, mixed) for row in comparison.rows]
    return Table(caption(comparison), tuple(columns), tuple(rows))


def caption(comparison: Comparison) -> str:
    """Returns what every number of the table is: data, held-out part, protocol and users."""
    first = comparison.rows[0].origin
    if comparison.mixed():
        return "Rows of different protocols or data: each says its own, and they are not tested against each other."
    row = comparison.rows[0]
    cases = "" if row.cases == row.users else f", {row.cases:,} cases"
    less = _less([each.origin for each in comparison.rows])
    return f"{first.data}, {first.part}: {first.protocol}. {row.users:,} users{cases}.{less}"


def _less(origins: Sequence[Origin]) -> str:
    """Names the rows that saw less than the whole training part; nothing where there are none."""
    shares = [f"{one.label} {one.share:.4g}" for one in origins if one.share < 1]
    cut = [f"{one.label} {one.held_back}" for one in origins if one.held_back]
    told = f" Trained on a share of the users: {', '.join(shares)}." if shares else ""
    return told + (f" Trained without the last events of each user: {', '.join(cut)}." if cut else "")


def _cells(row: Row, comparison: Comparison, shown: Sequence[str], mixed: bool) -> tuple[str, ...]:
    chief = row.metrics[comparison.metric]
    own = [row.origin.label, *([ground_name(row)] if mixed else []), str(len(row.seeds))]
    own += [number(row.metrics[name].mean) if name in row.metrics else "-" for name in shown]
    test = next((c for c in comparison.contrasts if c.label == row.origin.label and not mixed), None)
    return (*own, with_spread(row, comparison.metric), bounds(chief), *_test(test))


def _test(contrast: Contrast | None) -> tuple[str, str, str, str]:
    if contrast is None:
        return "-", "-", "-", "-"
    difference, between, _, p = _measures(contrast)
    return contrast.against, f"{difference} {between}", p, contrast.verdict


def ground_name(row: Row) -> str:
    """Returns data, part and protocol of a row."""
    return f"{row.origin.data}, {row.origin.part}: {row.origin.protocol}"


def contrasts_table(comparison: Comparison, against: str | None = None) -> Table:
    """Returns a row a contrast, with both p values; where a label is named, those with it, each against it."""
    named = [c if c.against == against else _turned(c) for c in comparison.contrasts if against in (c.against, c.label)]
    shown = comparison.contrasts if against is None else named
    columns = ("model", "against", f"difference in {comparison.metric}", f"{round(100 * LEVEL)} % interval")
    rows = tuple((c.label, c.against, *_measures(c), c.verdict) for c in shown)
    told = "Paired by user: percentile bootstrap interval, permutation test, Holm's correction over all rows."
    return Table(told, (*columns, "p", "p (Holm)", "verdict"), rows)


def _turned(contrast: Contrast) -> Contrast:
    """The same two rows, the other way round."""
    verdicts = {"better": "worse", "worse": "better"}
    return contrast.model_copy(
        update={
            "label": contrast.against,
            "against": contrast.label,
            "difference": -contrast.difference,
            "low": -contrast.high,
            "high": -contrast.low,
            "verdict": verdicts.get(contrast.verdict, contrast.verdict),
        }
    )


def _measures(contrast: Contrast) -> tuple[str, str, str, str]:
    between = f"[{signed(contrast.low)}, {signed(contrast.high)}]"
    return signed(contrast.difference), between, probability(contrast.p), probability(contrast.p_holm)


def slices_table(comparison: Comparison, names: Sequence[str] = NAMES) -> Table:
    """Returns a row a label, a column a slice: the tested metric with its interval.

    Args:
        comparison: What is shown; all rows have the same cases.
        names: Of the slices; those without a case in any row are left out.
    """
    sizes = {name: max(row.slices[name].cases for row in comparison.rows) for name in names}
    shown = [name for name in names if sizes[name]]
    rows = tuple((r.origin.label, *(_of_slice(r, name, comparison.metric) for name in shown)) for r in comparison.rows)
    heads = tuple(f"{name}, {sizes[name]:,} cases" for name in shown)
    return Table(f"{comparison.metric}. {caption(comparison)}", ("model", *heads), rows)


def _of_slice(row: Row, name: str, metric: str) -> str:
    found = row.slices[name].metrics.get(metric)
    return "-" if found is None else f"{number(found.mean)} {bounds(found)}"


def budgets(comparison: Comparison) -> str:
    """Returns in a sentence how much each row's settings were tuned, or that it is not said."""
    told = {row.origin.label: budget(row.tunings) for row in comparison.rows}
    if not comparison.unequal():
        each = " of every row" if len(told) > 1 else ""
        return f"Tuning budget{each}: {next(iter(told.values()))}."
    silent = [label for label, said in told.items() if said == budget(())]
    said = ", ".join(f"{label} {said}" for label, said in told.items() if label not in silent)
    return f"Tuning budgets are unequal: {said}" + (f"; not said: {', '.join(silent)}." if silent else ".")


def tuning_table(comparison: Comparison) -> Table:
    """Returns a row a label and a way that its settings were chosen; none for a label that says nothing."""
    chosen = [(r.origin.label, t) for r in comparison.rows for t in r.tunings if t != TuningSettings()]
    rows = [(label, budget([t]), t.method or "not said", searched(t) or "not said") for label, t in chosen]
    caption = "How the settings were chosen on validation; rows that say nothing of it are left out."
    return Table(caption, ("model", "budget", "chosen by", "searched"), tuple(rows))


def searched(tuning: TuningSettings) -> str:
    """Returns names and values, or bounds, of the settings that were searched; empty where it is not said."""
    return "; ".join(f"{name} {', '.join(map(str, values))}" for name, values in tuning.space.items())


def number(value: float) -> str:
    """Returns a metric with four decimals and no leading zero, as the field prints it."""
    return _bare(f"{value:.4f}")


def signed(value: float) -> str:
    """Returns a difference with its sign."""
    return _bare(f"{value:+.4f}")


def bounds(estimate: Estimate) -> str:
    """Returns an interval."""
    return f"[{number(estimate.low)}, {number(estimate.high)}]"


def with_spread(row: Row, metric: str) -> str:
    """Returns the mean and, over several seeds, the standard deviation between them."""
    mean = number(row.metrics[metric].mean)
    return f"{mean} ± {number(row.spread[metric])}" if metric in row.spread else mean


def probability(p: float) -> str:
    """Returns a p value with three decimals, or `< .001`."""
    if p < 0.001:
        return "< .001"
    return "1" if p >= 1 else _bare(f"{p:.3f}")


def _bare(text: str) -> str:
    """The text without a zero that leads the number."""
    digits = text.lstrip("+-")
    return text[: len(text) - len(digits)] + digits.removeprefix("0")


def headline(comparison: Comparison) -> str:
    """Returns in a sentence whether the best row is shown to be better than the strongest baseline, honestly."""
    if comparison.mixed():
        return "Rows of different protocols or data stand side by side; nothing is claimed."
    best, name = comparison.rows[0], comparison.metric
    strongest = next((row for row in comparison.rows if row.origin.baseline), None)
    if strongest is None:
        return f"{best.origin.label} has the highest {name}; there is no baseline in the table, so nothing is claimed."
    if best is strongest:
        return (
            f"No model is above the strongest baseline, {best.origin.label} ({name} {number(best.metrics[name].mean)})."
        )
    pair = (best.origin.label, strongest.origin.label)
    test = next(c for c in comparison.contrasts if (c.label, c.against) == pair)
    difference, between, _, p = _measures(test)
    measured = f"{name} {difference}, 95 % interval {between}, p (Holm) {p}"
    if test.verdict == "better":
        return f"{pair[0]} is better than the strongest baseline, {pair[1]}: {measured}."
    return f"{pair[0]} is ahead of the strongest baseline, {pair[1]}, but is not shown to be better: {measured}."
