"""The manifest of a run: what decided it beside its settings, and what came of it."""

from typing import Any

from pydantic import Field

from l2rec.config import Settings

FORMAT = 1


class Source(Settings):
    """The finished run whose learnt weights another one took instead of training."""

    path: str
    """Its folder's absolute path then."""
    weights: str
    """SHA-256 of its weights' file."""


class Manifest(Settings):
    """What decided a run beside its settings; written before the first step."""

    format: int
    """Version of the folder's layout."""
    model: str
    """The model's name."""
    protocol: str
    """How its results are counted."""
    data: str
    """The prepared folder's absolute path when the run began."""
    fingerprint: str
    """The prepared folder's fingerprint."""
    attributes: int
    """Columns of a user's attribute vector."""
    seed: int
    """Seed of weights, batches and dropout."""
    parameters: int
    """Numbers that the model holds, frozen ones included."""
    trainable: int
    """Numbers that the gradient moves."""
    backbone: str | None = None
    """SHA-256 of the frozen language model's weights, where the model has one."""
    settings: dict[str, Any]
    """Every setting as it was resolved, defaults included."""
    versions: dict[str, str]
    """Version of Python and of every package that can move a number."""
    device: str
    """Where it was computed."""
    commit: str | None = None
    """Commit of the working tree that it ran in, if there is one; `+` behind it says that files had changed."""
    started: str
    """When it began, ISO 8601 in UTC."""
    finished: str | None = None
    """When its weights were final; None while it runs or where it was cut off."""
    seconds: float | None = None
    """Seconds of training, in all its parts."""
    source: Source | None = None
    """Where its learnt weights come from; None where it was trained itself."""
    files: dict[str, str] = Field(default_factory=dict)
    """SHA-256 of the weights, of every file in ids/ and of config.toml as they were when the run was finished; empty
    where it is not, or where an earlier l2rec wrote it: such a run is not pinned."""
