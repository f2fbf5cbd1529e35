"""Closed settings: pydantic models that refuse what they do not know, read from TOML and written back to it."""

import difflib
import os
import re
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

import tomli_w
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator
from pydantic_core import PydanticCustomError

from l2rec.errors import SettingError


class Settings(BaseModel):
    """A closed, frozen group of settings; each field's docstring is its comment, its help and its documentation."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True, validate_default=True)


class ModelSettings(Settings):
    """What every model's `Config` has."""

    history: int = Field(default=50, ge=1, le=10_000)
    """Items of a history that the model reads; older ones are cut off."""


class TrainingSettings(Settings):
    """How the weights of a model are learnt."""

    share: float = Field(default=1.0, gt=0, le=1)
    """Share of the training users that is learnt or counted from, chosen by the run's seed; the others are left out."""
    held_back: int | None = Field(default=None, ge=1)
    """Last events of each training sequence that nothing is learnt or counted from; with 1, leave-last-out validation
    meets histories as the test part does. To choose settings by, not for a run that is kept."""
    recent: int | None = Field(default=None, ge=2)
    """Events of a training sequence that are learnt from, the newest; all where left out. Counts are of all of them."""
    turned: float = Field(default=0.0, ge=0, le=1)
    """Share of the sequences that an epoch shows from the newest event to the oldest, chosen anew for each."""
    epochs: int = Field(default=20, ge=1)
    """Passes over the training part, at most."""
    batch_size: int = Field(default=128, ge=1)
    """Sequences in a batch of one process."""
    learning_rate: float = Field(default=1e-3, gt=0)
    """Peak learning rate of AdamW."""
    weight_decay: float = Field(default=0.0, ge=0)
    """AdamW's decoupled weight decay; not applied to vectors and scalars."""
    warmup_share: float = Field(default=0.05, ge=0, le=1)
    """Share of all steps over which the learning rate rises from zero."""
    schedule: str = Field(default="cosine", pattern="^(constant|linear|cosine)$")
    """Course of the learning rate after the warm-up: constant, linear or cosine."""
    clip_norm: float = Field(default=1.0, gt=0)
    """Largest norm of the whole gradient."""
    accumulate: int = Field(default=1, ge=1)
    """Batches whose gradients are added before one step."""
    precision: str = Field(default="auto", pattern="^(auto|bf16|fp32)$")
    """Arithmetic of the forward pass: bf16 (autocast), fp32; auto: bf16 where the device has units for it."""
    evaluate_every: int = Field(default=1, ge=1)
    """Epochs between two validations."""
    patience: int = Field(default=3, ge=1)
    """Validations without a better NDCG@10 after which training stops."""
    checkpoint_every: int = Field(default=200, ge=1)
    """Steps between two resumable checkpoints; one is also written after every epoch."""
    max_seconds: float | None = Field(default=None, gt=0)
    """Wall-clock budget after which no further epoch starts; none by default."""
    trackers: tuple[str, ...] = ()
    """Trackers of accelerate that receive the log: tensorboard, wandb, mlflow."""


class EvaluationSettings(Settings):
    """The protocol: what is ranked and how it is counted."""

    cutoffs: tuple[int, ...] = (5, 10, 20)
    """List lengths at which metrics are taken; 10 is always added, as NDCG@10 orders tables and is tested."""
    mask_seen: bool = True
    """Whether items of the user's own history are left out of the ranking."""
    batch_size: int = Field(default=256, ge=1)
    """Cases scored at once."""


class TuningSettings(Settings):
    """How the settings of the model were chosen; described, not acted on, and no number moves by it."""

    trials: int | None = Field(default=None, ge=0)
    """Settings tried on validation to choose these, these included, or granted to a search; not said where left out."""
    seconds: float | None = Field(default=None, ge=0)
    """The same budget in seconds; not said where left out."""
    method: str | None = Field(default=None, pattern="^(hand|search)$")
    """Who chose the next one to try: hand or search; not said where left out."""
    before: tuple[str, ...] | None = None
    """What choices that this one builds on had cost, oldest first, e.g. `9 trials by hand`; a search adds them up."""
    space: dict[str, tuple[bool | int | float | str, ...]] = {}
    """What was searched: name of a setting, e.g. `model.width`, and its values or bounds, as far as they are known."""

    @field_validator("space")
    @classmethod
    def _names_settings(cls, space: dict[str, tuple[Any, ...]]) -> dict[str, tuple[Any, ...]]:
        for name, values in space.items():
            group, _, rest = name.partition(".")
            is_one = rest in TrainingSettings.model_fields if group == "training" else _MODEL_SETTING.match(name)
            if not is_one:
                raise PydanticCustomError("space", _NO_NAME, {"name": name})
            if not values:
                raise PydanticCustomError("space", "{name} has no values, expected one or more", {"name": name})
        return space

    @property
    def budget(self) -> tuple[int | None, float | None]:
        """Trials and seconds; None is not said."""
        return self.trials, self.seconds

    @property
    def spent(self) -> tuple[str, ...]:
        """All budgets in words, oldest first and this one last, e.g. `16 trials in 600 s`; none where none is said."""
        trials = [] if self.trials is None else [f"{self.trials:,} trial{'' if self.trials == 1 else 's'}"]
        seconds = [] if self.seconds is None else [f"{self.seconds:,g} s"]
        said = " in ".join(trials + seconds) + (" by hand" if self.method == "hand" else "")
        return (*(self.before or ()), *([said] if trials or seconds else []))


_MODEL_SETTING = re.compile(r"model(\.[a-z]\w*)+$")
_NO_NAME = "expected settings under model or training, e.g. model.width, which {name} is not"


class RunSettings(Settings):
    """Everything that decides a result."""

    data: str
    """Folder written by `l2rec prepare`, or `sample` for the bundled one."""
    seed: int = Field(default=0, ge=0)
    """Seed of weights, batches and dropout."""
    model: dict[str, Any]
    """`name` of the model and the settings of its `Config`."""
    training: TrainingSettings = TrainingSettings()
    """How the weights are learnt."""
    evaluation: EvaluationSettings = EvaluationSettings()
    """How the result is measured."""
    tuning: TuningSettings = TuningSettings()
    """How the settings were chosen."""


def cache_folder() -> Path:
    """Returns where things are kept that can be made again: `$L2REC_CACHE`, or `l2rec` in the user's cache folder."""
    own = os.environ.get("L2REC_CACHE")
    return Path(own) if own else Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "l2rec"


S = TypeVar("S", bound=Settings)


def validated(kind: type[S], values: dict[str, Any], place: str) -> S:
    """Returns `values` as settings of `kind`.

    Args:
        kind: The settings class.
        values: Plain values, as TOML gives them.
        place: What the error calls this group, e.g. `model`; empty for the root.

    Raises:
        SettingError: a name is unknown, a value is missing, of the wrong type or out of range; all of them are named.
    """
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        raise SettingError("; ".join(_complaint(kind, place, e) for e in error.errors())) from None


def _complaint(kind: type[Settings], place: str, error: Any) -> str:
    path = [str(part) for part in error["loc"]]
    name = ".".join([place, *path] if place else path)
    if error["type"] == "extra_forbidden":
        known = _names(kind, path[:-1])
        close = difflib.get_close_matches(path[-1], known, n=1)
        hint = f'Did you mean "{close[0]}"?' if close else f"Known: {', '.join(sorted(known))}."
        return f"{name}: no such setting. {hint}"
    if error["type"] == "missing":
        return f"{name}: missing. Set it in the TOML file or with --set {name}=..."
    return f"{name}: {error['input']!r}: {error['msg'][0].lower()}{error['msg'][1:]}. Change it with --set {name}=..."


def _names(kind: type[Settings], path: Sequence[str]) -> list[str]:
    for part in path:
        annotation = kind.model_fields[part].annotation
        if not (isinstance(annotation, type) and issubclass(annotation, Settings)):
            return []
        kind = annotation
    return list(kind.model_fields)


def read_toml(path: Path, overrides: Sequence[str] = ()) -> dict[str, Any]:
    """Returns the values of a TOML file with `a.b=value` overrides laid over them; each value is TOML itself.

    Raises:
        SettingError: the file is missing, not readable or not TOML, or an override is not of the form `name=value`.
    """
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise SettingError(
            f"{path}: no such file. Pass the path of a TOML file, e.g. configs/demo/l2rec.toml"
        ) from None
    except OSError as error:
        why = error.strerror or "unknown"
        raise SettingError(f"{path}: cannot be read: {why}. Pass the path of a readable TOML file.") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingError(f"{path}: not TOML: {error}. Mend the file.") from None
    return overridden(values, overrides)


def overridden(values: dict[str, Any], overrides: Sequence[str]) -> dict[str, Any]:
    """Returns `values` with `a.b=value` overrides laid over them.

    Raises:
        SettingError: an override is not of the form `name=value`.
    """
    for override in overrides:
        values = _merged(values, _parsed(override))
    return values


def _parsed(override: str) -> dict[str, Any]:
    name, sign, value = override.partition("=")
    if not sign or not name.strip():
        raise SettingError(f"--set {override}: expected name=value, e.g. --set model.rank=16")
    for text in (f"{name} = {value}", f"{name} = {_quoted(value)}"):
        try:
            return tomllib.loads(text)
        except tomllib.TOMLDecodeError:
            continue
    raise SettingError(f"--set {override}: the value is not TOML. Quote text, e.g. --set model.name='\"l2rec\"'")


def _quoted(value: str) -> str:
    """A bare word on the command line means text."""
    escaped = value.strip().replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _merged(base: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for key, value in over.items():
        both = isinstance(value, dict) and isinstance(base.get(key), dict)
        merged[key] = _merged(base[key], value) if both else value
    return merged


def flat(values: dict[str, Any], place: str = "") -> dict[str, Any]:
    """Returns nested values by their whole names, e.g. `model.width`."""
    found: dict[str, Any] = {}
    for name, value in values.items():
        found |= flat(value, f"{place}{name}.") if isinstance(value, dict) else {f"{place}{name}": value}
    return found


def to_toml(values: dict[str, Any]) -> str:
    """Returns `values` as TOML; what is None is left out, as TOML has no null."""
    return tomli_w.dumps(_without_none(values))


def _without_none(values: dict[str, Any]) -> dict[str, Any]:
    return {k: _without_none(v) if isinstance(v, dict) else v for k, v in values.items() if v is not None}
