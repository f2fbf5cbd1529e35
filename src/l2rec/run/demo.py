"""The demonstration: every TOML file of a folder trained and measured on the same data, and an honest sentence."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from l2rec.errors import SettingError
from l2rec.evaluation.comparison import Comparison, Contrast
from l2rec.evaluation.leaderboard import probability, signed
from l2rec.evaluation.report import Example
from l2rec.run import examples
from l2rec.run.pipeline import Options, train
from l2rec.run.tables import compared, write_report

SUBJECT = "l2rec"
"""The row that the demonstration is about."""
SLOW = ("sasrec", SUBJECT)
"""Trained last, so that the first rows come at once."""


@dataclass(frozen=True)
class Demonstration:
    """What came of it.

    Attributes:
        comparison: The table.
        examples: The lists of three users, by row.
        report: The report's path.
        sentence: Whether the subject is the best row, not distinguishable from the best of the others, or not the best.
    """

    comparison: Comparison
    examples: list[Example]
    report: Path
    sentence: str


def configs() -> Path:
    """Returns the folder of the demonstration's own settings."""
    return Path(__file__).parent / "demo_configs"


def demonstrate(folder: Path, out: Path, tell: Callable[[str], None], progress: bool = False) -> Demonstration:
    """Trains and measures every TOML file of a folder; what an earlier call finished is taken as it is.

    Args:
        folder: Holds a TOML file a row.
        out: Gets a run folder a row, and `report.html`.
        tell: Called with a line on every step.
        progress: Whether to show a progress bar on stderr.

    Raises:
        SettingError: the folder holds no TOML file.
        L2RecError: a run cannot be trained, or was trained with other settings.
    """
    files = sorted(folder.glob("*.toml"), key=_turn)
    if not files:
        raise SettingError(f"{folder}: holds no TOML file. Pass a folder with one file a row of the table.")
    runs = []
    for number, path in enumerate(files, 1):
        tell(f"{number}/{len(files)} {path.stem}: training")
        run = train(path, out / path.stem, Options(resume=True, progress=progress))
        results = run.evaluate()
        ndcg = results.metrics["ndcg@10"].mean
        tell(f"{number}/{len(files)} {path.stem}: NDCG@10 {ndcg:.4f}, trained in {run.manifest.seconds or 0:.1f} s")
        runs.append(run.path)
    table = compared(runs, labelled=True)
    shown = examples.merged([examples.read(path, path.name) for path in runs])
    return Demonstration(table, shown, write_report(runs, out / "report.html", table), sentence(table, SUBJECT))


def _turn(path: Path) -> tuple[int, str]:
    return (SLOW.index(path.stem) + 1 if path.stem in SLOW else 0, path.stem)


def sentence(table: Comparison, label: str) -> str:
    """Returns in words how a row stands to the strongest baseline; empty where it was not tested against one."""
    test = next((contrast for contrast in table.contrasts if contrast.label == label), None)
    return "" if test is None or table.mixed() else _told(test, table.rows[0].origin.label == label)


def _told(test: Contrast, is_first: bool) -> str:
    between = f"95 % interval {signed(test.low)} to {signed(test.high)}, p {probability(test.p_holm)} after Holm"
    difference = f"{test.metric} {signed(test.difference)} against {test.against}, {between}"
    if test.verdict == "better" and is_first:
        return f"{test.label} is the best row: {difference}."
    if test.verdict == "better":
        return f"{test.label} is better than the strongest baseline, but not the best row: {difference}."
    if test.verdict == "worse":
        return f"{test.label} is not the best row: {difference}."
    return f"{test.label} is not distinguishable from the strongest baseline: {difference}."
