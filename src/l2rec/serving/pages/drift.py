"""Drift: whether what users choose now is spread over the items as it was in the training."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from numpy import ndarray

EVENTS = 5_000
"""Newest events that are looked at."""
FEWEST = 50
_TOP = 100
_DRAWS = 100
_BAND = (0.025, 0.975)


@dataclass(frozen=True)
class Seen:
    """A measure of recent events beside what chance makes of it.

    Attributes:
        value: The measure.
        low: What events drawn from the training's popularity have, 2.5th percentile.
        high: The same, 97.5th percentile.
    """

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Drift:
    """How far recent events are from the training's popularity.

    Attributes:
        events: Recent events with a known item.
        distance: Jensen-Shannon divergence in bits: 0 for alike, 1 for nothing in common.
        top: How many items are the most popular ones.
        then: Share of the training's events that fell on these.
        now: The same share of the recent events.
    """

    events: int
    distance: Seen
    top: int
    then: float
    now: Seen

    @property
    def told(self) -> str:
        """The drift in words."""
        if self.now.value > self.now.high:
            return "Drift: users choose what is popular more often than in the training."
        if self.now.value < self.now.low:
            return "Drift: users choose what is popular less often than in the training."
        if self.distance.value > self.distance.high:
            return "Drift: users choose other items than in the training, as popular on the whole."
        return "No drift beyond chance."


def drift(recent: Sequence[int], counts: Int[ndarray, " N"]) -> Drift | None:
    """Returns the drift of recent events; None where there are too few to say.

    Few events never spread as the training's many did, so what is measured is compared with as many events drawn from
    the training's popularity, with one seed.

    Args:
        recent: Item numbers of recent events; those that came after the training may be among them.
        counts: Training events of every item, those that came later included.
    """
    total, many = int(counts.sum()), len(recent)
    if many < FEWEST or not total:
        return None
    then = counts / total
    now = np.bincount(np.asarray(recent), minlength=len(counts)) / many
    top = min(_TOP, max(1, len(counts) // 10))
    head = np.argsort(-counts, kind="stable")[:top]
    chance = np.random.default_rng(0)
    draws = (chance.multinomial(many, then) / many for _ in range(_DRAWS))
    distances, shares = zip(*((divergence(draw, then), float(draw[head].sum())) for draw in draws), strict=True)
    return Drift(
        many,
        Seen(divergence(now, then), *_band(distances)),
        top,
        float(then[head].sum()),
        Seen(float(now[head].sum()), *_band(shares)),
    )


def divergence(one: Float[ndarray, " N"], two: Float[ndarray, " N"]) -> float:
    """Returns the Jensen-Shannon divergence of two distributions in bits."""
    middle = (one + two) / 2
    return float(sum(0.5 * (p[p > 0] * np.log2(p[p > 0] / middle[p > 0])).sum() for p in (one, two)))


def _band(drawn: Sequence[float]) -> tuple[float, float]:
    low, high = np.quantile(np.array(drawn), _BAND)
    return float(low), float(high)
