"""What a search may try for a setting: the two kinds that a model's `SPACE` is made of."""

from collections.abc import Mapping
from typing import TypeAlias

from pydantic import Field, model_validator

from l2rec.config import Settings

Value: TypeAlias = bool | int | float | str


class Choices(Settings):
    """Some values, none nearer to another than to the rest."""

    choices: tuple[Value, ...] = Field(min_length=1)
    """The values."""


class Range(Settings):
    """Every number between two bounds, both included; whole numbers where the setting is one."""

    low: int | float
    """Least value."""
    high: int | float
    """Largest value."""
    log: bool = False
    """Whether equal ratios count alike, instead of equal differences."""
    step: int | float | None = Field(default=None, gt=0)
    """Distance between two values, counted from the least; any value where left out."""

    @model_validator(mode="after")
    def _is_a_range(self) -> "Range":
        if self.low >= self.high:
            raise ValueError(f"low {self.low} is not below high {self.high}. Raise high, or use choices")
        if self.log and (self.low <= 0 or self.step is not None):
            raise ValueError("log needs low above 0 and no step. Leave out log or step, or raise low")
        steps = 1.0 if self.step is None else (self.high - self.low) / self.step
        if abs(steps - round(steps)) > 1e-9:
            raise ValueError(f"step {self.step} does not lead from {self.low} to {self.high}. Move high or step")
        return self

    @property
    def is_whole(self) -> bool:
        """Whether it has whole numbers alone: both of its bounds are."""
        return isinstance(self.low, int) and isinstance(self.high, int)


Space: TypeAlias = Mapping[str, Choices | Range]
"""By setting, e.g. `model.width` or `training.learning_rate`."""
