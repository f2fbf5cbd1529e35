"""What a run's `log.jsonl` has for the report: curves, expert use and the share of the views."""

import json
import math
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from l2rec.errors import RunError
from l2rec.evaluation.report.contents import Curve, HeatMap

_EXPERT = re.compile(r"experts/([^/]+)/([^/]+)/([^/]+)")
_ACF = re.compile(r"acf/share/(\d+)-(\d+)")
_OPEN_END = 1_000
"""A bucket of history lengths that ends here or later is shown as open."""
_POINTS = 300
"""Points of a loss curve, at most; neighbours are averaged."""


@dataclass(frozen=True)
class TrainingLog:
    """What the report shows of one training.

    Attributes:
        loss: Training loss by epoch.
        validation: The asked metric by epoch; no point where it was not measured.
        routing: A map a view, blocks by experts: the share of the choices, a mean over the last epoch's lines.
        fusion: The semantic view's share by bucket of history length, likewise.
    """

    loss: Curve
    validation: Curve
    routing: tuple[HeatMap, ...]
    fusion: dict[str, float]


def read_log(path: Path, label: str, metric: str = "ndcg@10") -> TrainingLog:
    """Returns what `path` says; a line that a resumed run wrote again counts once, as it was written last.

    Args:
        path: A `log.jsonl`.
        label: Name of the curves.
        metric: The validation metric.

    Raises:
        RunError: the file is missing, or a line is not a JSON object.
    """
    steps: dict[float, dict[str, Any]] = {}
    checks: dict[float, dict[str, Any]] = {}
    for line in _lines(path):
        if "loss" in line and "step" in line:
            steps[line["step"]] = line
        if "metrics" in line and "step" in line:
            checks[line["step"]] = line
    ordered = [steps[step] for step in sorted(steps)]
    points = tuple((line["epoch"], line["metrics"][metric]) for line in checks.values() if metric in line["metrics"])
    readings = _last_readings(ordered)
    loss = Curve(label=label, points=_thinned(_by_epoch(ordered)))
    validation = Curve(label=label, points=tuple(sorted(points)))
    return TrainingLog(loss, validation, routing_maps(readings), fusion_shares(readings))


def _lines(path: Path) -> Iterable[dict[str, Any]]:
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise RunError(f"{path}: no such file. Train the run, or leave the curves out.") from None
    lines = text.split("\n")
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            value = json.loads(line)
        except json.JSONDecodeError:
            if number == len(lines):  # killed while writing: the resumed run writes it again
                return
            value = None
        if not isinstance(value, dict):
            raise RunError(f"{path} line {number}: {line[:40]!r}: expected a JSON object. Delete the line.")
        yield value


def _by_epoch(lines: list[dict[str, Any]]) -> list[tuple[float, float]]:
    """Points (epochs done, loss): the steps of an epoch are spread evenly over it."""
    last: dict[int, float] = {}
    for line in lines:
        last[line["epoch"]] = max(last.get(line["epoch"], 0.0), line["step"])
    points = []
    for line in lines:
        begin = last.get(line["epoch"] - 1, 0.0)
        done = (line["step"] - begin) / max(1e-9, last[line["epoch"]] - begin)
        points.append((line["epoch"] - 1 + done, float(line["loss"])))
    return [(x, y) for x, y in points if math.isfinite(y)]


def _thinned(points: list[tuple[float, float]]) -> tuple[tuple[float, float], ...]:
    """The points, neighbours averaged where there are too many to see."""
    width = -(-len(points) // _POINTS) or 1
    groups = [points[begin : begin + width] for begin in range(0, len(points), width)]
    return tuple((sum(x for x, _ in g) / len(g), sum(y for _, y in g) / len(g)) for g in groups)


def _last_readings(lines: list[dict[str, Any]]) -> dict[str, float]:
    """The mean of every reading over the lines of the last epoch that has any."""
    with_some = [line for line in lines if line.get("readings")]
    sums: dict[str, list[float]] = {}
    for line in with_some:
        if line["epoch"] == with_some[-1]["epoch"]:
            for name, value in line["readings"].items():
                sums.setdefault(name, []).append(float(value))
    return {name: sum(values) / len(values) for name, values in sums.items()}


def routing_maps(readings: dict[str, float]) -> tuple[HeatMap, ...]:
    """Returns a map a view of the readings named like `experts/semantic/block0/e1`; of others, nothing."""
    views: dict[str, dict[tuple[str, str], float]] = {}
    for name, value in readings.items():
        if match := _EXPERT.fullmatch(name):
            views.setdefault(match[1], {})[match[2], match[3]] = value
    return tuple(_map(view, cells) for view, cells in views.items())


def _map(view: str, cells: dict[tuple[str, str], float]) -> HeatMap:
    rows, columns = (sorted({cell[side] for cell in cells}, key=_natural) for side in (0, 1))
    values = tuple(tuple(cells.get((row, column)) for column in columns) for row in rows)
    return HeatMap(title=f"{view} view", rows=tuple(rows), columns=tuple(columns), values=values)


def _natural(name: str) -> tuple[str, int]:
    """`block2` before `block10`."""
    digits = re.search(r"\d+$", name)
    return re.sub(r"\d+$", "", name), int(digits[0]) if digits else 0


def fusion_shares(readings: dict[str, float]) -> dict[str, float]:
    """Returns the readings named like `acf/share/3-5` by bucket, shortest histories first."""
    found = {(int(m[1]), int(m[2])): v for name, v in readings.items() if (m := _ACF.fullmatch(name))}
    return {_bucket(low, high): found[low, high] for low, high in sorted(found)}


def _bucket(low: int, high: int) -> str:
    if high >= _OPEN_END:
        return f"{low}+"
    return str(low) if low == high else f"{low}-{high}"
