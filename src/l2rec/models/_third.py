"""The third signal: what item pairs of the training part say, counted, beside what a retriever has learnt."""

from pydantic import Field

from l2rec.config import ModelSettings
from l2rec.models._base import Learner
from l2rec.models.floors.transition import Config as TransitionSettings
from l2rec.models.floors.transition import Model as Transition
from l2rec.types import Items


class ThirdSettings(ModelSettings):
    """The settings that a model with a third signal has beside its own."""

    transition_weight: float = Field(default=0.0, ge=0)
    """Factor of the transition floor's score beside the model's own; 0 leaves this third signal out."""
    transition: TransitionSettings = TransitionSettings()
    """How that score is counted; see the model transition."""


def add_third(model: Learner, config: ThirdSettings, items: Items) -> None:
    """Gives `model` the transition floor as its third signal, where the settings ask for one.

    The floor's score takes no part in the loss: a training target's own pair is among the counts, and even with that
    pair taken out, views trained on what the counts leave over came out below views trained by themselves (LOG.md,
    2026-11-21). Its weight is one number for everybody, chosen on validation.
    """
    if config.transition_weight:
        model.third = Transition(config.transition, items)
        model.third_weight = config.transition_weight
