"""What a report shows, as plain records: whoever has the runs fills them in."""

from pydantic import Field, model_validator

from l2rec.evaluation.comparison import Comparison
from l2rec.evaluation.results import Record


class Curve(Record):
    """A line of a chart."""

    label: str
    points: tuple[tuple[float, float], ...]
    """Pairs of x and y, x rising."""


class HeatMap(Record):
    """A table of shares, shown as colours."""

    title: str
    """What it shows, e.g. `semantic view`."""
    rows: tuple[str, ...]
    columns: tuple[str, ...]
    values: tuple[tuple[float | None, ...], ...]
    """One tuple a row; None for a cell that there is not."""

    @model_validator(mode="after")
    def _every_cell_has_a_name(self) -> "HeatMap":
        if len(self.values) != len(self.rows) or any(len(row) != len(self.columns) for row in self.values):
            raise ValueError(f"values: expected {len(self.rows)} rows of {len(self.columns)}, one for each name.")
        return self


class Listed(Record):
    """One place of a recommended list."""

    title: str
    score: float
    hit: bool = False
    """Whether this is what the user chose next."""


class Example(Record):
    """What one user was shown."""

    user: str
    """The user's outside id."""
    history: tuple[str, ...]
    """Titles, oldest first; what the model could read."""
    earlier: int = 0
    """Events before `history` that are not shown."""
    target: str | None = None
    """Title of what the user chose next, where it is known."""
    lists: dict[str, tuple[Listed, ...]]
    """By label of the row, best first."""


class Tabled(Record):
    """A table of text."""

    caption: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    """As many cells as columns; the last is a verdict."""


class ReportData(Record):
    """Everything on the page; what is empty is left out of it."""

    title: str
    comparison: Comparison
    losses: tuple[Curve, ...] = ()
    """Training loss by epoch, a curve a run."""
    validations: tuple[Curve, ...] = ()
    """The tested metric on the validation part by epoch, a curve a run."""
    routing: tuple[HeatMap, ...] = ()
    """Share of choices of every expert, a map a view."""
    fusion: dict[str, float] = Field(default_factory=dict)
    """The semantic view's share of the fused vector by length of the history, e.g. `3-5`."""
    examples: tuple[Example, ...] = ()
    facts: dict[str, str] = Field(default_factory=dict)
    """How the numbers came to be: command, commit, versions, machine, time."""
    parts: Tabled | None = None
    """What each part of a model does for it; drawn with the differences of all rows to the one that they are tested
    against."""
    notes: tuple[str, ...] = ()
    """Sentences for the reader, e.g. what the numbers do not show."""
