"""Runs beside each other: the comparison of run folders, and the report that a person reads."""

import platform
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from l2rec.evaluation import report
from l2rec.evaluation.comparison import CHIEF, Comparison, compare
from l2rec.evaluation.report import ReportData, Tabled, TrainingLog, read_log
from l2rec.run import examples
from l2rec.run.record import Run, runs_in
from l2rec.serving.folder import writing

LOG = "log.jsonl"


@dataclass(frozen=True)
class Front:
    """What stands on a report beside what its runs say.

    Attributes:
        title: Of the page.
        chief: Label of the row whose training is drawn; the others' would hide it.
        notes: Sentences for the reader.
        parts: What each part of the model does for it.
    """

    title: str
    chief: str
    notes: tuple[str, ...]
    parts: Tabled


def compared(
    paths: Sequence[Path], metric: str = CHIEF, against: Sequence[str] = (), *, labelled: bool = False
) -> Comparison:
    """Returns the table of run folders; a folder with `seed-0`, `seed-1`, ... is one row.

    Args:
        paths: The run folders.
        metric: Orders the rows and is tested.
        against: Labels of further rows that all others are tested against.
        labelled: Whether rows of unlike protocols or tuning budgets may stand in one table, see `compare`.

    Raises:
        RunError: a folder holds no evaluated run, or the runs cannot be compared.
    """
    return compare([run.measured() for run in _runs(paths)], metric=metric, against=against, labelled=labelled)


def write_report(
    paths: Sequence[Path], out: Path, comparison: Comparison | None = None, front: Front | None = None
) -> Path:
    """Writes `report.html` on run folders and returns its path.

    Args:
        paths: The run folders.
        out: The file to write.
        comparison: Their table; made anew where not given.
        front: What else stands there.

    Raises:
        RunError: a folder holds no evaluated run, the runs cannot be compared, or the file cannot be written.
    """
    runs = _runs(paths)
    table = comparison or compared(paths)
    drawn = [run for run in runs if front is None or run.label == front.chief]
    logs = {_name(run, runs): _log(run, _name(run, runs), table.metric) for run in drawn}
    shown = runs if table.rows[0].origin.part == "test" else []
    found = [log for log in logs.values() if log is not None]
    routed = next((log for log in found if log.routing), None)
    fused = next((log for log in found if log.fusion), None)
    data = ReportData(
        title=front.title if front else " · ".join(row.origin.label for row in table.rows),
        comparison=table,
        losses=tuple(log.loss for log in found if log.loss.points),
        validations=tuple(log.validation for log in found if log.validation.points),
        routing=routed.routing if routed else (),
        fusion=fused.fusion if fused else {},
        examples=tuple(examples.merged([examples.read(run.path, run.label) for run in shown])),
        facts=_facts(runs),
        parts=front.parts if front else None,
        notes=front.notes if front else (),
    )
    with writing(out):
        out.parent.mkdir(parents=True, exist_ok=True)
        return report.write(data, out)


def _runs(paths: Sequence[Path]) -> list[Run]:
    return [run for path in paths for run in runs_in(path)]


def _name(run: Run, runs: Sequence[Run]) -> str:
    """The label, with the seed where the label has several."""
    several = sum(other.label == run.label for other in runs) > 1
    return f"{run.label}, seed {run.manifest.seed}" if several else run.label


def _log(run: Run, name: str, metric: str) -> TrainingLog | None:
    path = run.path / LOG
    return read_log(path, name, metric) if path.is_file() else None


def _facts(runs: Sequence[Run]) -> dict[str, str]:
    manifest = runs[0].manifest
    versions = ", ".join(f"{name} {version}" for name, version in manifest.versions.items())
    seconds = ", ".join(f"{_name(run, runs)} {run.manifest.seconds or 0:.0f} s" for run in runs)
    return {
        "data": f"{manifest.data}, fingerprint {manifest.fingerprint[:12]}",
        "commit": manifest.commit or "none",
        "versions": versions,
        "machine": f"{platform.system()} {platform.machine()}, {manifest.device}",
        "training": seconds,
        "finished": manifest.finished or "not yet",
    }
