"""Why an item stands in a list: its score in named parts, the items of the history that carried it, expert use."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor

from l2rec.errors import SettingError
from l2rec.models import Explaining
from l2rec.serving.model.live import Ask, Live

PROMPT = "prompt"
"""Name of the part that the words of an ask have in its scores."""
_ROWS = 16
"""Histories that are scored at a time, each with one item left out."""
Check = Callable[[], None]


@dataclass(frozen=True)
class Carrier:
    """An item of the history and what it did for a score.

    Attributes:
        number: Its item number.
        drop: How much lower the score would be without it; negative where it spoke against the item.
    """

    number: int
    drop: float


@dataclass(frozen=True)
class Reasons:
    """Why one item has its score.

    Attributes:
        number: The item's number.
        score: Its score.
        parts: What each part gives to the score, by name; they add up to it. Empty where the model has no parts.
        carried_by: The items of the history that the model reads, each once, the one that did most first.
    """

    number: int
    score: float
    parts: dict[str, float]
    carried_by: tuple[Carrier, ...]


@dataclass(frozen=True)
class Explanation:
    """Why some items have their scores for one ask.

    Attributes:
        items: The reasons of each item, in the order in which they were asked for.
        experts: Per view, block and expert, the share of choices that fell on it; empty where nothing
            chooses among experts.
    """

    items: tuple[Reasons, ...]
    experts: dict[str, list[list[float]]]


@torch.no_grad()
def explain(live: Live, ask: Ask, numbers: Sequence[int], check: Check = lambda: None) -> Explanation:
    """Returns why items have the scores that `live.scores` gives them.

    The parts are those of `l2rec.models.Explaining` for the history; where the ask has words, `prompt` is what these
    changed, or the whole score where there is no history. Who carried an item is found by asking again without each
    item of the history, in batches.

    Args:
        live: The run.
        ask: What was asked.
        numbers: Numbers of the items that are to be explained.
        check: Called between two passes of the model; what it raises ends the explanation.

    Raises:
        SettingError: an item is unknown or deleted, and so has no score.
        ModelError: the ask has a prompt and the model cannot read.
    """
    gone = [n for n in numbers if not 0 <= n < len(live.catalogue) or n in live.catalogue.deleted]
    if gone:
        raise SettingError(f"explain: item number {gone[0]}: unknown or deleted. Explain items that were recommended.")
    at = list(numbers)
    scores = live.scores([ask])[0, at]
    check()
    parts, experts = _parts(live, ask, at, scores)
    carriers = _carriers(live, ask, at, scores, check)
    reasons = [
        Reasons(n, score, {name: float(part[place]) for name, part in parts.items()}, carriers[place])
        for place, (n, score) in enumerate(zip(at, scores.tolist(), strict=True))
    ]
    return Explanation(tuple(reasons), experts)


def _parts(
    live: Live, ask: Ask, at: list[int], scores: Float[Tensor, " P"]
) -> tuple[dict[str, Float[Tensor, " P"]], dict[str, list[list[float]]]]:
    """Named parts of the scores, and the expert use of the pass over the history."""
    if ask.prompt is not None and not ask.history:
        return {PROMPT: scores}, {}
    if not isinstance(live.model, Explaining):
        return {}, {}
    [(_, batch)] = live.batches([ask])
    parts = {name: part[0].float().cpu()[at] for name, part in live.model.parts(batch, live.item_vectors()).items()}
    if ask.prompt is not None:
        parts[PROMPT] = scores - torch.stack(list(parts.values())).sum(0)
    return parts, live.model.expert_use(batch) if ask.history else {}


def _carriers(
    live: Live, ask: Ask, at: list[int], scores: Float[Tensor, " P"], check: Check
) -> list[tuple[Carrier, ...]]:
    """For every item, those of the history by the drop of its score without them."""
    read = list(dict.fromkeys(ask.history[-live.model.settings.history :]))
    # nobody's: what is kept of the user stays what the user did
    without = [replace(ask, history=tuple(n for n in ask.history if n != left_out), user_id="") for left_out in read]
    found = []
    for start in range(0, len(without), _ROWS):
        check()
        found.append(live.scores(without[start : start + _ROWS])[:, at])
    if not found:
        return [()] * len(at)
    drops = scores - torch.cat(found)
    order = drops.argsort(dim=0, descending=True, stable=True)
    return [
        tuple(Carrier(read[n], float(drops[n, place])) for n in order[:, place].tolist()) for place in range(len(at))
    ]
