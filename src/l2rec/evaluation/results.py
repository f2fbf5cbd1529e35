"""A run's results: every number with its interval and its protocol, and the per-case values that it came from."""

import math
from dataclasses import dataclass

import polars as pl
from jaxtyping import Int
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor

from l2rec.config import EvaluationSettings, TuningSettings
from l2rec.evaluation.beyond import attribute_vectors, beyond
from l2rec.evaluation.metrics import per_case, per_user
from l2rec.evaluation.ranking import Rankings
from l2rec.evaluation.significance import interval
from l2rec.evaluation.slices import NAMES, slices
from l2rec.types import Cases, Items


class Record(BaseModel):
    """A closed, frozen record that travels as JSON."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


class Estimate(Record):
    """A mean over users and its 95 % percentile bootstrap interval."""

    mean: float
    low: float
    high: float


class Slice(Record):
    """One kind of cases."""

    users: int
    """Users that have such a case."""
    cases: int
    metrics: dict[str, Estimate]
    """Empty where there is no such case."""


class Origin(Record):
    """Whose numbers these are, and on what."""

    label: str
    """What the table calls the row; runs with the same label and different seeds are averaged."""
    model: str
    """Name of the model."""
    seed: int = 0
    settings: str = ""
    """Fingerprint of the settings without seed and tuning; equal for all runs of one label."""
    tuning: TuningSettings = TuningSettings()
    """How the settings were chosen: budget and searched space, as far as the run says."""
    baseline: bool = False
    """Whether this is a floor or a published rival, against which the others are tested."""
    data: str
    """Name of the data set."""
    share: float = 1.0
    """Share of the training users that it was learnt or counted from."""
    held_back: int | None = None
    """Last events of each training sequence that it was not learnt or counted from; all were where None."""
    fingerprint: str
    """Fingerprint of the prepared data."""
    part: str = Field(default="test", pattern="^(validation|test)$")
    """Which held-out part was asked."""
    protocol: str
    """Name of the protocol, see `protocol_name`."""


class Results(Record):
    """What `results.json` holds."""

    origin: Origin
    users: int
    cases: int
    items: int
    """Items of the catalogue."""
    metrics: dict[str, Estimate]
    """Accuracy by name, e.g. `ndcg@10`."""
    slices: dict[str, Slice]
    beyond: dict[str, float | None]
    """Beyond accuracy by name, e.g. `coverage@10`; None where no user has what it needs."""


@dataclass(frozen=True)
class Measured:
    """Results and what they are means of.

    Attributes:
        results: The numbers.
        frame: A row a case, see `metrics.per_case`, with a column True or False for every slice.
    """

    results: Results
    frame: pl.DataFrame


def measure(
    rankings: Rankings,
    cases: Cases,
    items: Items,
    user_counts: Int[Tensor, " users"],
    settings: EvaluationSettings,
    origin: Origin,
) -> Measured:
    """Returns everything that is said about one run.

    Args:
        rankings: Of these cases.
        cases: What was asked.
        items: The catalogue.
        user_counts: Training events of every user, by row of the users table.
        settings: The protocol.
        origin: Whose ranking it is; its protocol is named by the caller, who knows the split.
    """
    masks = slices(cases, items.counts, user_counts)
    frame = per_case(rankings, settings.cutoffs).with_columns(pl.Series(n, mask) for n, mask in masks.items())
    everything: dict[str, float | None] = {}
    vectors = attribute_vectors(items)
    for cutoff in sorted(set(settings.cutoffs)):
        found = beyond(rankings, items, cases.histories, cutoff, vectors)
        everything |= {name: None if math.isnan(value) else value for name, value in found.items()}
    whole = whole_slice(frame)
    results = Results(
        origin=origin,
        users=whole.users,
        cases=whole.cases,
        items=len(items),
        metrics=whole.metrics,
        slices=every_slice(frame),
        beyond=everything,
    )
    return Measured(results, frame)


def every_slice(frame: pl.DataFrame) -> dict[str, Slice]:
    """Returns the numbers of every slice, from the columns of `frame` that say which cases belong to it."""
    return {name: whole_slice(frame.filter(pl.col(name))) for name in NAMES}


def whole_slice(frame: pl.DataFrame) -> Slice:
    """Returns the numbers of all cases of `frame`: means over users of each user's mean, and their intervals."""
    users = per_user(frame)
    names = [name for name in users.columns if "@" in name]
    if not len(users):
        return Slice(users=0, cases=0, metrics={})
    table = users.select(names).to_numpy()
    bounds = zip(names, table.mean(0), *interval(table), strict=True)
    found = {n: Estimate(mean=float(m), low=float(low), high=float(high)) for n, m, low, high in bounds}
    return Slice(users=len(users), cases=len(frame), metrics=found)
