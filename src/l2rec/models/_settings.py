"""Settings that models of several rooms share, and the check of those that attend."""

from typing import Literal

from l2rec.models._third import ThirdSettings
from l2rec.nn import backbone as backbones


class FrozenSettings(ThirdSettings):
    """The settings of a model that reads with a frozen language model."""

    backbone: str = backbones.MINILM
    """Frozen language model: all-MiniLM-L6-v2, a local folder, or a name on the Hugging Face hub."""
    pretrained: bool = True
    """Whether the backbone's weights are loaded; without, they are random in the same shape."""
    dtype: Literal["auto", "bfloat16", "float32"] = "auto"
    """Type of the frozen weights and of the arithmetic with them; auto: bfloat16 where the device has units for it."""


def refuse_uneven_heads(width: int, heads: int) -> None:
    """Refuses attention heads that do not divide the width; called where settings are validated.

    Raises:
        ValueError: they do not.
    """
    if width % heads:
        raise ValueError(f"heads {heads} do not divide width {width}. Set heads to a divisor of it")
