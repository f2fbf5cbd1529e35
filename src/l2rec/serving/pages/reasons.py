"""Why a list is as it is, ready to be drawn: bars of the parts of a score, who carried it, expert use as cells."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from l2rec.serving.answering.shelf import Shelf
from l2rec.serving.model.explain import Carrier, Explanation, Reasons

WIDTH = 100.0
"""Width of a bar's drawing, in its own units."""
_COLOURS = {"text": 0, "behaviour": 1, "transition": 2, "prompt": 3}
_NAMED = 3
"""Items of the history that are named for an item of the list."""


@dataclass(frozen=True)
class Part:
    """One part of a score as a piece of a bar.

    Attributes:
        name: What it is.
        value: What it adds to the score.
        colour: Number of its colour.
        left: Where it begins, 0 to `WIDTH`.
        width: How long it is.
    """

    name: str
    value: float
    colour: int
    left: float
    width: float


@dataclass(frozen=True)
class Carried:
    """An item of the history and how far the score falls without it."""

    item_id: str
    title: str
    drop: float


@dataclass(frozen=True)
class Why:
    """Why one item stands in the list.

    Attributes:
        parts: The pieces of its bar.
        zero: Where the bar has its zero.
        carriers: The items of the history that did most for it, the first most; those that did nothing left out.
    """

    parts: tuple[Part, ...]
    zero: float
    carriers: tuple[Carried, ...]

    @property
    def told(self) -> str:
        """The parts in words."""
        return ", ".join(f"{part.name} {part.value:+.2f}" for part in self.parts)


@dataclass(frozen=True)
class Use:
    """Expert use of one view.

    Attributes:
        view: Its name.
        rows: The share of choices of every expert, block by block.
        most: The largest share.
    """

    view: str
    rows: tuple[tuple[float, ...], ...]
    most: float


@dataclass(frozen=True)
class Told:
    """A list's reasons.

    Attributes:
        items: By item number.
        names: Parts that the bars have, each with the number of its colour.
        experts: Expert use, a view each; empty where nothing chooses among experts.
    """

    items: Mapping[int, Why]
    names: tuple[tuple[str, int], ...]
    experts: tuple[Use, ...]


def told(explanation: Explanation, shelf: Shelf) -> Told:
    """Returns an explanation as it is drawn; all bars have one scale."""
    values = [reasons.parts for reasons in explanation.items]
    low = min((_below(parts) for parts in values), default=0.0)
    high = max((_above(parts) for parts in values), default=0.0)
    names = list(dict.fromkeys(name for parts in values for name in parts))
    colours = {name: _COLOURS.get(name, 4 + place % 3) for place, name in enumerate(names)}
    made = {reasons.number: _why(reasons, shelf, (low, high), colours) for reasons in explanation.items}
    experts = tuple(_use(view, blocks) for view, blocks in explanation.experts.items() if blocks)
    return Told(made, tuple(colours.items()), experts)


def _why(reasons: Reasons, shelf: Shelf, scale: tuple[float, float], colours: Mapping[str, int]) -> Why:
    low, high = scale
    unit = WIDTH / ((high - low) or 1.0)
    right = left = -low * unit
    parts = []
    for name, value in reasons.parts.items():
        width = abs(value) * unit
        begin = right if value >= 0 else left - width
        right, left = (right + width, left) if value >= 0 else (right, left - width)
        parts.append(Part(name, value, colours[name], begin, width))
    return Why(tuple(parts), -low * unit, _carriers(reasons.carried_by, shelf))


def _carriers(carriers: Sequence[Carrier], shelf: Shelf) -> tuple[Carried, ...]:
    spoke = [one for one in carriers[:_NAMED] if one.drop > 0]
    return tuple(Carried(shelf.id(one.number), shelf.title(one.number), one.drop) for one in spoke)


def _use(view: str, blocks: Sequence[Sequence[float]]) -> Use:
    rows = tuple(tuple(row) for row in blocks)
    return Use(view, rows, max((share for row in rows for share in row), default=0.0) or 1.0)


def _below(parts: Mapping[str, float]) -> float:
    return sum((value for value in parts.values() if value < 0), 0.0)


def _above(parts: Mapping[str, float]) -> float:
    return sum((value for value in parts.values() if value > 0), 0.0)
