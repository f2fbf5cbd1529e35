"""Runs beside each other: one row a label, seeds averaged, and what chance could have done about each difference."""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import polars as pl

from l2rec.config import TuningSettings
from l2rec.errors import RunError
from l2rec.evaluation.metrics import per_user
from l2rec.evaluation.results import Estimate, Measured, Origin, Record, Slice, every_slice, whole_slice
from l2rec.evaluation.significance import holm, interval, paired_p, verdict

CHIEF = "ndcg@10"
"""The metric that orders rows and carries the tests."""


class Row(Record):
    """One label: a floor, or a model over its seeds."""

    origin: Origin
    """Of the first seed."""
    seeds: tuple[int, ...]
    tunings: tuple[TuningSettings, ...] = ()
    """What its seeds say about how their settings were chosen, without repeats."""
    users: int
    cases: int
    metrics: dict[str, Estimate]
    """Of the per-case values averaged over seeds; the interval is over users."""
    spread: dict[str, float]
    """Standard deviation of each metric's mean over seeds (n - 1); empty for one seed."""
    slices: dict[str, Slice]
    beyond: dict[str, float | None]
    """Averaged over seeds; None where a seed has none."""


class Contrast(Record):
    """One row against another, paired by user."""

    label: str
    against: str
    metric: str
    difference: float
    """Mean over users of the row's value minus the other's."""
    low: float
    """Lower bound of the difference's 95 % interval."""
    high: float
    p: float
    """Paired permutation test."""
    p_holm: float
    """Corrected for all contrasts of the table."""
    verdict: str
    """`better`, `worse` or `not shown`."""


class Comparison(Record):
    """A leaderboard."""

    metric: str
    """The metric that orders the rows and is tested."""
    rows: tuple[Row, ...]
    """Best first; where protocols are mixed, protocol by protocol."""
    contrasts: tuple[Contrast, ...]
    """Each row against the strongest baseline of its protocol, then against the named rows."""

    def mixed(self) -> bool:
        """Returns True where the rows differ in protocol, data or held-out part."""
        return len({_ground(row.origin) for row in self.rows}) > 1

    def unequal(self) -> bool:
        """Returns True where the rows differ in the budget that their settings were chosen with."""
        return len({_budgets(row.tunings) for row in self.rows}) > 1


def compare(
    runs: Sequence[Measured], *, metric: str = CHIEF, against: Sequence[str] = (), labelled: bool = False
) -> Comparison:
    """Returns the leaderboard of `runs`.

    Runs of one label are one model over several seeds: their values are averaged case by case. The strongest baseline
    is the best row whose origin says `baseline`, or the best of all where none does; every other row is tested against
    it and against every row named.

    Args:
        runs: At least one.
        metric: Orders the rows and is tested.
        against: Labels of further rows that all others are tested against.
        labelled: Whether runs of different protocols, data or parts may stand in one table, each row saying its own;
            they are never tested against each other. Nor without it rows of different tuning budgets, among which not
            said is one; these are tested, and each row's own is said.

    Raises:
        RunError: there is no run; runs differ in protocol, data, part or tuning budget and are not `labelled`; runs of
            one ground have different cases; two runs of a label have the same seed or different settings; the metric
            or a label named is unknown.
    """
    if not runs:
        raise RunError("runs: 0: expected at least one. Name the run folders to compare.")
    grounds = sorted({_ground(run.results.origin) for run in runs})
    if len(grounds) > 1 and not labelled:
        raise RunError(_difference(runs))
    if not labelled:
        _refuse_unequal_budgets(runs)
    rows: list[Row] = []
    pairs: list[tuple[str, str, np.ndarray]] = []
    known = {run.results.origin.label for run in runs}
    if unknown := sorted(set(against) - known):
        raise RunError(f'against: "{unknown[0]}": no such row. Known: {", ".join(sorted(known))}.')
    for ground in grounds:
        found, values = _rows([run for run in runs if _ground(run.results.origin) == ground], metric)
        rows += found
        pairs += _pairs(found, values, against)
    return Comparison(metric=metric, rows=tuple(rows), contrasts=_contrasts(pairs, metric))


def _ground(origin: Origin) -> tuple[str, str, str]:
    return origin.protocol, origin.fingerprint, origin.part


def _difference(runs: Sequence[Measured]) -> str:
    """The first two neighbours that may not be compared, and in what they differ."""
    origins = [run.results.origin for run in runs]
    one, two = next((a, b) for a, b in pairwise(origins) if _ground(a) != _ground(b))
    names = ("protocol", "data fingerprint", "part")
    name, mine, other = next((n, a, b) for n, a, b in zip(names, _ground(one), _ground(two), strict=True) if a != b)
    return (
        f'{name}: "{mine}" ({one.label}) and "{other}" ({two.label}): not comparable. '
        "Evaluate both alike, or pass --labelled."
    )


def _budgets(tunings: Sequence[TuningSettings]) -> frozenset[tuple[object, ...]]:
    return frozenset((tuning.before or (), tuning.budget) for tuning in tunings)


def _refuse_unequal_budgets(runs: Sequence[Measured]) -> None:
    """Refuses labels whose seeds do not say the same budgets; those of one label may differ among themselves."""
    tunings = _tunings([run.results.origin for run in runs])
    for (one, mine), (two, other) in pairwise(tunings.items()):
        if _budgets(mine) != _budgets(other):
            raise RunError(
                f"tuning: {budget(mine)} ({one}) and {budget(other)} ({two}): unequal budgets, expected one for all "
                "rows. Tune alike and say so under [tuning], or pass --labelled."
            )


def _tunings(origins: Sequence[Origin]) -> dict[str, tuple[TuningSettings, ...]]:
    """What the seeds of every label say, without repeats."""
    found: dict[str, tuple[TuningSettings, ...]] = {}
    for origin in origins:
        said = found.get(origin.label, ())
        found[origin.label] = said if origin.tuning in said else (*said, origin.tuning)
    return found


def budget(tunings: Sequence[TuningSettings]) -> str:
    """Returns the budget in words, e.g. `9 trials by hand + 600 s`, or `not said`; all that the seeds of a row say."""
    return " or ".join(dict.fromkeys(_told(tuning) for tuning in tunings)) or _told(TuningSettings())


def _told(tuning: TuningSettings) -> str:
    return " + ".join(tuning.spent) or "not said"


def _rows(runs: Sequence[Measured], metric: str) -> tuple[list[Row], dict[str, np.ndarray]]:
    """The rows of one ground, best first, and the tested metric of every user by label."""
    groups: dict[str, list[Measured]] = {}
    for run in runs:
        groups.setdefault(run.results.origin.label, []).append(run)
    rows, values = [], {}
    for label, group in groups.items():
        frame = _averaged(group)
        if metric not in frame.columns:
            known = ", ".join(group[0].results.metrics)
            raise RunError(f'metric: "{metric}": not measured in {label}. Known: {known}.')
        _refuse_other_cases(groups, frame, label)
        rows.append(_row(group, frame))
        values[label] = per_user(frame)[metric].to_numpy()
    return sorted(rows, key=lambda row: (-row.metrics[metric].mean, row.origin.label)), values


def _averaged(group: list[Measured]) -> pl.DataFrame:
    """The frame of a label's first seed with its metrics averaged over all of them."""
    group.sort(key=lambda run: run.results.origin.seed)
    origins = [run.results.origin for run in group]
    for one, two in pairwise(origins):
        if one.seed == two.seed:
            raise RunError(f"{one.label}: two runs with seed {one.seed}. Leave one out, or give them different labels.")
        if one.settings != two.settings:
            raise RunError(
                f"{one.label}: the settings of seed {one.seed} and seed {two.seed} differ. Give them different labels."
            )
    frames = [run.frame.sort("case") for run in group]
    if any(not _same_cases(frames[0], other) for other in frames[1:]):
        raise RunError(f"{origins[0].label}: its seeds have different cases. Evaluate them on the same prepared data.")
    names = [name for name in frames[0].columns if "@" in name]
    columns = [pl.Series(n, np.mean([f[n].to_numpy() for f in frames], axis=0)) for n in names]
    return frames[0].with_columns(columns)


def _same_cases(one: pl.DataFrame, two: pl.DataFrame) -> bool:
    """Whether both have the same cases; targets that were not kept are those of the data's fingerprint."""
    told = not one["target"].has_nulls() and not two["target"].has_nulls()
    names = ["case", "user", *(["target"] if told else [])]
    return one.select(names).equals(two.select(names))


def _refuse_other_cases(groups: dict[str, list[Measured]], frame: pl.DataFrame, label: str) -> None:
    first, group = next(iter(groups.items()))
    if not _same_cases(group[0].frame.sort("case"), frame):
        raise RunError(f"{first} and {label}: different cases. Evaluate both on the same prepared data.")


def _row(group: list[Measured], frame: pl.DataFrame) -> Row:
    whole = whole_slice(frame)
    runs = [run.results for run in group]
    several = len(runs) > 1
    spread = {n: float(np.std([r.metrics[n].mean for r in runs], ddof=1)) for n in whole.metrics} if several else {}
    return Row(
        origin=runs[0].origin,
        seeds=tuple(r.origin.seed for r in runs),
        tunings=_tunings([r.origin for r in runs])[runs[0].origin.label],
        users=whole.users,
        cases=whole.cases,
        metrics=whole.metrics,
        spread=spread,
        slices=every_slice(frame),
        beyond={name: _mean([r.beyond[name] for r in runs]) for name in runs[0].beyond},
    )


def _mean(values: Sequence[float | None]) -> float | None:
    there = [value for value in values if value is not None]
    return sum(there) / len(there) if len(there) == len(values) else None


def _pairs(
    rows: Sequence[Row], values: dict[str, np.ndarray], against: Sequence[str]
) -> list[tuple[str, str, np.ndarray]]:
    """Who is tested against whom, and the differences of all users; no pair twice, in either direction."""
    strongest = next((row for row in rows if row.origin.baseline), rows[0]).origin.label
    rivals = list(dict.fromkeys([strongest, *(label for label in against if label in values)]))
    done: dict[frozenset[str], tuple[str, str, np.ndarray]] = {}
    for rival in rivals:
        for row in rows:
            label = row.origin.label
            if label != rival and frozenset((label, rival)) not in done:
                done[frozenset((label, rival))] = (label, rival, values[label] - values[rival])
    return list(done.values())


def _contrasts(pairs: list[tuple[str, str, np.ndarray]], metric: str) -> tuple[Contrast, ...]:
    raw = [paired_p(differences) for _, _, differences in pairs]
    found = []
    for (label, rival, differences), p, adjusted in zip(pairs, raw, holm(raw), strict=True):
        low, high = (float(bound[0]) for bound in interval(differences[:, None]))
        found.append(
            Contrast(
                label=label,
                against=rival,
                metric=metric,
                difference=float(differences.mean()),
                low=low,
                high=high,
                p=p,
                p_holm=adjusted,
                verdict=verdict(low, high, adjusted),
            )
        )
    return tuple(found)
