"""The ablation: a model's controls trained, measured and put beside the full model, and what each part earns."""

import difflib
import gc
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from l2rec.errors import RunError, SettingError
from l2rec.evaluation.comparison import CHIEF, Comparison, Contrast, compare
from l2rec.evaluation.leaderboard import number, probability, signed
from l2rec.evaluation.report import Tabled
from l2rec.evaluation.results import Estimate, Measured, Record
from l2rec.run.controls import FULL, Control, Controls
from l2rec.run.pipeline import Options, train, train_seeds
from l2rec.run.record import Run
from l2rec.run.tables import Front, write_report
from l2rec.serving.folder import MANIFEST, RunFolder, write_text, writing

TOLD, REPORT = "ablation.json", "report.html"


class Line(Record):
    """What came of one row."""

    name: str
    words: str
    """What the full model has and the row lacks."""
    overrides: tuple[str, ...]
    """As `l2rec train CONFIG --set` takes them."""
    seeds: tuple[int, ...]
    trainable: int
    seconds: float
    """Of training, mean over seeds."""
    value: Estimate
    """The metric and its interval over users, seeds averaged."""
    contrast: Contrast | None
    """The row against the full model; None for that one itself."""
    sentence: str
    """What the part earns, in words."""


class Ablation(Record):
    """What `ablation.json` holds."""

    title: str
    metric: str
    part: str
    protocol: str
    lines: tuple[Line, ...]
    """The full model, then its controls in their usual order."""
    left_out: dict[str, str]
    """Why a row is none, by name."""

    def table(self) -> Tabled:
        """Returns the lines as text."""
        columns = ("row", "seeds", self.metric, "difference", "95 % interval", "p (Holm)", "trainable", "of full")
        full = self.lines[0].trainable
        caption = f"{self.part}, {self.protocol}: each row against the full model, paired by user."
        rows = tuple(_cells(line, full) for line in self.lines)
        return Tabled(caption=caption, columns=(*columns, "seconds", "verdict"), rows=rows)


@dataclass(frozen=True)
class Order:
    """What is asked for.

    Attributes:
        folder: Gets a folder a row, `ablation.json` and `report.html`.
        title: Of the report.
        seeds: Of every row; the settings' own where empty.
        only: Names of rows, the full model always among them; all where empty.
        part: `validation`, or `test` for the last reading.
        options: What describes the occasion.
    """

    folder: Path
    title: str
    seeds: tuple[int, ...] = ()
    only: tuple[str, ...] = ()
    part: str = "validation"
    options: Options = field(default_factory=Options)


def chosen(found: Controls, only: Sequence[str]) -> list[Control]:
    """Returns the rows of those names, and the full model before them; all where none is named.

    Raises:
        SettingError: there is no such row.
    """
    names = [control.part.name for control in found.rows]
    for name in only:
        if name in found.left_out:
            raise SettingError(f"--only {name}: no row of these settings: {found.left_out[name]}")
        if name not in names:
            close = difflib.get_close_matches(name, names, n=1)
            hint = f'Did you mean "{close[0]}"?' if close else f"Known: {', '.join(names)}."
            raise SettingError(f"--only {name}: no such row. {hint}")
    return [control for control in found.rows if not only or control.part.name in {FULL, *only}]


def ablate(found: Controls, order: Order, tell: Callable[[str], None]) -> Ablation:
    """Trains and measures the rows, and writes the table and the report.

    A finished row is taken as it is, an interrupted one goes on from its checkpoint. Rows that an earlier call finished
    with these seeds stand in the table too.

    Args:
        found: The rows that there are.
        order: Which of them, where to, and how.
        tell: Called with a line on every step.

    Raises:
        L2RecError: a row cannot be trained, or its folder holds a run of other settings, or runs with seeds where
            none are asked for, or the other way.
    """
    rows = chosen(found, order.only)
    _refuse_mixed(found.rows, order)
    began = time.perf_counter()
    trained, runs = 0, dict[str, list[Run]]()
    for place, control in enumerate(rows, 1):
        at, there = f"{place}/{len(rows)} {control.part.name}", _is_there(control, order)
        if not there:
            tell(f"{at}: training, {_left(len(rows) - place, trained, time.perf_counter() - began)}")
            trained += 1
        runs[control.part.name] = own = _trained(control, order)
        means = [run.evaluate(order.part, device=order.options.device).metrics[CHIEF].mean for run in own]
        mean = sum(means) / len(means)
        gc.collect()  # hooks tie a model into a ring, which would outlive its row
        tell(f"{at}: {order.part} {CHIEF} {number(mean)}{', taken as it is' if there else ''}")
    runs |= {c.part.name: _trained(c, order) for c in found.rows if c not in rows and _is_there(c, order)}
    rows = [control for control in found.rows if control.part.name in runs]
    return _told(rows, runs, found.left_out, order)


def _folders(control: Control, order: Order) -> list[Path]:
    own = order.folder / control.part.name
    return [own / f"seed-{seed}" for seed in order.seeds] or [own]


def _is_there(control: Control, order: Order) -> bool:
    """Whether every run of a row is finished."""
    return all(RunFolder.finished(path) is not None for path in _folders(control, order))


def _refuse_mixed(rows: Sequence[Control], order: Order) -> None:
    """One folder holds rows with seeds of their own, or rows of the settings' one."""
    for own in (order.folder / control.part.name for control in rows):
        alone, several = (own / MANIFEST).is_file(), any(own.glob(f"seed-*/{MANIFEST}"))
        if several if not order.seeds else alone:
            made = "with" if several else "without"
            raise RunError(f"{own}: made {made} --seeds. Call it so again, or pass --out for another folder.")


def _left(rows: int, trained: int, seconds: float) -> str:
    words = f"{rows} row{'' if rows == 1 else 's'} left after it"
    return f"{words}, about {seconds / trained * (rows + 1) / 60:.0f} min in all" if trained else words


def _trained(control: Control, order: Order) -> list[Run]:
    options, own = replace(order.options, resume=True), order.folder / control.part.name
    if order.seeds:
        return train_seeds(control.settings, own, order.seeds, options)
    return [train(control.settings, own, options)]


def _told(rows: list[Control], runs: dict[str, list[Run]], left_out: dict[str, str], order: Order) -> Ablation:
    measured = [_against_full(run, order) for control in rows for run in runs[control.part.name]]
    table = compare(measured)
    lines = tuple(_line(control, runs[control.part.name], table) for control in rows)
    origin = measured[0].results.origin
    told = Ablation(
        title=order.title,
        metric=table.metric,
        part=order.part,
        protocol=origin.protocol,
        lines=lines,
        left_out=left_out,
    )
    with writing(order.folder):
        write_text(order.folder / TOLD, told.model_dump_json(indent=2) + "\n")
    notes = tuple(line.sentence for line in lines if line.sentence)
    front = Front(f"Ablation of {order.title}", FULL, notes, told.table())
    paths = [run.path for control in rows for run in runs[control.part.name]]
    write_report(paths, order.folder / REPORT, table, front)
    return told


def _against_full(run: Run, order: Order) -> Measured:
    """What a run reached; the full model is the one that all others are tested against."""
    run.evaluate(order.part, device=order.options.device)
    found = run.measured(order.part)
    origin = found.results.origin.model_copy(update={"baseline": run.label == FULL})
    return Measured(found.results.model_copy(update={"origin": origin}), found.frame)


def _line(control: Control, runs: list[Run], table: Comparison) -> Line:
    name = control.part.name
    row = next(row for row in table.rows if row.origin.label == name)
    contrast = next((test for test in table.contrasts if test.label == name), None)
    return Line(
        name=name,
        words=control.part.words,
        overrides=control.part.overrides,
        seeds=row.seeds,
        trainable=control.trainable,
        seconds=round(sum(run.manifest.seconds or 0 for run in runs) / len(runs), 1),
        value=row.metrics[table.metric],
        contrast=contrast,
        sentence="" if contrast is None else earned(control.part.words, contrast),
    )


def earned(words: str, test: Contrast) -> str:
    """Returns in a sentence what the part that a row lacks does for the full model; `test` is the row against it."""
    between = f"95 % interval {signed(test.low)} to {signed(test.high)}, p {probability(test.p_holm)} after Holm"
    measured = f"{test.label} {signed(test.difference)} {test.metric}, {between}"
    does = {"worse": "helps", "better": "harms: the row without it is better"}.get(test.verdict, "not shown to help")
    return f"{words[0].upper()}{words[1:]}: {does} ({measured})."


def _cells(line: Line, full: int) -> tuple[str, ...]:
    own = (line.name, str(len(line.seeds)), number(line.value.mean))
    size = (f"{line.trainable:,}", f"{line.trainable / full:.1%}" if full else "-", f"{line.seconds:.0f}")
    if line.contrast is None:
        return (*own, "-", "-", "-", *size, "-")
    test = line.contrast
    between = f"[{signed(test.low)}, {signed(test.high)}]"
    return (*own, signed(test.difference), between, probability(test.p_holm), *size, test.verdict)


def listed(rows: Sequence[Control]) -> Iterator[tuple[str, ...]]:
    """Yields name, trainable parameters, their share of the full model's, and overrides of every row, as text."""
    full = rows[0].trainable
    for row in rows:
        share = f"{row.trainable / full:.1%}" if full else "-"
        yield row.part.name, f"{row.trainable:,}", share, " ".join(row.part.overrides)
