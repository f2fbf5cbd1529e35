"""From the scores of all items to a list: without what is hidden, with what passes, as diverse as is wanted."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from numpy import ndarray
from torch import Tensor

from l2rec.evaluation.ranking import best
from l2rec.serving.answering.shelf import Shelf
from l2rec.serving.model.live import Ask
from l2rec.serving.wishes import NO_FILTERS, Filters, diversified

POOL = 100
"""Candidates of a diverse list, at least; five for every place where those are more."""


@dataclass(frozen=True)
class Question:
    """What the model is asked, and what of its answer is wanted.

    Attributes:
        ask: The history and the words.
        k: Length of the list.
        hidden: Item numbers that are not listed.
        filters: Which items may be listed.
        diversity: See `Wish`.
    """

    ask: Ask
    k: int
    hidden: tuple[int, ...] = ()
    filters: Filters = NO_FILTERS
    diversity: float = 0.0


Listed = tuple[list[int], list[float]]
"""Item numbers, best first, and their scores."""


def chosen(
    scores: Float[Tensor, " N"], question: Question, shelf: Shelf, vectors: Float[Tensor, "N D"] | None
) -> Listed:
    """Returns the list that a question wants of the scores.

    Args:
        scores: Of all items, on the CPU; minus infinity for what is not listed.
        question: What is wanted.
        shelf: The catalogue, with as many items.
        vectors: The model's item vectors, by which a diverse list tells items apart; by their tokens where None.
    """
    hidden = [*question.hidden, *shelf.deleted]
    scores = scores.index_fill(0, torch.tensor(hidden, dtype=torch.long), -torch.inf)
    if question.filters:
        scores = scores.masked_fill(torch.from_numpy(~shelf.passing(question.filters)), -torch.inf)
    places = max(POOL, 5 * question.k) if question.diversity else question.k
    order, values = best(scores[None], min(places, len(scores)))
    count = int((values[0] > -torch.inf).sum())
    numbers, found = order[0, :count], values[0, :count]
    if question.diversity:
        apart = _vectors(numbers, shelf, vectors)
        places_taken = diversified(found.double().numpy(), apart, question.k, question.diversity)
        numbers, found = numbers[places_taken], found[places_taken]
    return numbers.tolist(), found.tolist()


def _vectors(numbers: Tensor, shelf: Shelf, vectors: Tensor | None) -> Float[ndarray, "M D"]:
    if vectors is None:
        return shelf.token_vectors(numbers.tolist())
    return np.asarray(vectors[numbers.to(vectors.device)].detach().double().cpu().numpy())
