"""Full ranking: where each case's target stands among the whole catalogue, and the list that a user would be shown."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from l2rec.config import EvaluationSettings
from l2rec.data.batches import case_batches
from l2rec.errors import DataError, RunError, SettingError
from l2rec.types import Batch, Cases

SHORTEST_LIST = 20
"""Length of the kept lists, unless a cut-off is larger or the catalogue smaller."""
TIE_SEED = 20_260_101
"""Seed of the one order of the catalogue that breaks ties in lists; the same in every run, so that runs compare."""


@dataclass(frozen=True)
class Rankings:
    """Where the targets stand, in the order of the cases.

    Attributes:
        users: Row of the user in the users table.
        targets: Item number of the target.
        above: Candidates that score higher than the target.
        tied: Other candidates with exactly the target's score.
        candidates: Items that were ranked, the target included.
        lists: Item numbers of the best candidates, best first; equal scores stand in one seeded order of the catalogue.
        list_scores: Their scores; minus infinity where there were fewer candidates than places.
    """

    users: Int[Tensor, " U"]
    targets: Int[Tensor, " U"]
    above: Int[Tensor, " U"]
    tied: Int[Tensor, " U"]
    candidates: Int[Tensor, " U"]
    lists: Int[Tensor, "U K"]
    list_scores: Float[Tensor, "U K"]

    def __len__(self) -> int:
        return len(self.targets)

    def listed(self) -> Bool[Tensor, "U K"]:
        """Returns True at every place of `lists` that holds a candidate."""
        return self.list_scores > -torch.inf


def rank(
    score: Callable[[Batch], Tensor],
    cases: Cases,
    *,
    history: int,
    token_counts: Int[Tensor, " N"],
    settings: EvaluationSettings,
) -> Rankings:
    """Returns where each target stands among all items of the catalogue.

    The candidates of a case are the whole catalogue or, with `mask_seen`, the catalogue without the items of the
    case's history: of all of it, however little of it the model reads. A target is always a candidate, one that the
    user has had before too.

    Args:
        score: Returns a finite score of every item for every row of a batch, `B N`, on any device.
        cases: What is asked.
        history: Last events of a history that `score` is shown.
        token_counts: Positions that each item takes in the model's input; batches are bucketed by their sum.
        settings: The protocol.

    Raises:
        DataError: there is no case.
        SettingError: there is no cut-off, or one is below 1.
        RunError: a score is not finite, or the scores have the wrong shape.
    """
    check_cutoffs(settings.cutoffs)
    if not len(cases):
        raise DataError("cases: 0: expected at least one. Prepare the data with a larger held-out share.")
    places = min(len(token_counts), max(SHORTEST_LIST, *settings.cutoffs))
    batches = case_batches(
        cases.histories, length=history, batch_size=settings.batch_size, token_counts=token_counts.cpu()
    )
    order, parts = [], []
    with torch.no_grad():
        for rows, batch in batches:
            order.append(rows)
            parts.append(_ranked(_checked(score(batch), rows, len(token_counts)), cases, rows, settings, places))
    back = torch.argsort(torch.cat(order))
    above, tied, candidates, lists, list_scores = (torch.cat(column)[back] for column in zip(*parts, strict=True))
    return Rankings(cases.users.long(), cases.targets.long(), above, tied, candidates, lists, list_scores)


def check_cutoffs(cutoffs: tuple[int, ...]) -> None:
    """Refuses cut-offs that no list can have.

    Raises:
        SettingError: there is none, or one is below 1.
    """
    if not cutoffs or min(cutoffs) < 1:
        value = min(cutoffs, default="none")
        raise SettingError(f"evaluation.cutoffs: {value}: expected list lengths of at least 1, e.g. [5, 10, 20].")


def counts_about(
    scores: Float[Tensor, "B N"], targets: Int[Tensor, " B"]
) -> tuple[Int[Tensor, " B"], Int[Tensor, " B"]]:
    """Returns how many items score above each row's target, and how many others exactly as it does."""
    mine = scores.gather(1, targets[:, None])
    return _count(scores > mine), _count(scores == mine) - 1


def _count(found: Bool[Tensor, "B N"]) -> Int[Tensor, " B"]:
    """The number of True in every row; numpy's adds bytes, where torch's would first widen each of them to eight."""
    if found.is_cuda:
        return found.sum(1)
    return torch.from_numpy(np.count_nonzero(found.cpu().numpy(), axis=1)).to(found.device)


def best(scores: Float[Tensor, "B N"], places: int) -> tuple[Int[Tensor, "B K"], Float[Tensor, "B K"]]:
    """Returns the items with the highest scores, best first, and their scores.

    Equal scores stand in one order of the catalogue, a permutation drawn with `TIE_SEED`, so that neither the item
    number nor the sorting algorithm decides.
    """
    count = scores.shape[1]
    chance = torch.Generator().manual_seed(TIE_SEED)
    weight = torch.randperm(count, generator=chance).to(scores.device)
    values, items = scores.topk(min(places + 1, count), dim=1)
    if count > places:
        cut = values[:, places] == values[:, places - 1]
        values, items = values[:, :places], items[:, :places]
        if cut.any():
            items[cut] = _best_of_a_cut_tie(scores[cut], values[cut, -1:], weight, places)
            values = scores.gather(1, items)
    by_weight = weight[items].argsort(dim=1, descending=True)
    values, items = values.gather(1, by_weight), items.gather(1, by_weight)
    values, by_score = values.sort(dim=1, descending=True, stable=True)
    return items.gather(1, by_score), values


def _best_of_a_cut_tie(
    scores: Float[Tensor, "B N"], last: Float[Tensor, "B 1"], weight: Int[Tensor, " N"], places: int
) -> Int[Tensor, "B K"]:
    """The list's members, in no order, where more items have the last place's score than there are places for."""
    keys = torch.where(scores == last, weight, -1)
    keys = torch.where(scores > last, scores.shape[1], keys)
    return keys.topk(places, dim=1).indices


def _ranked(
    scores: Float[Tensor, "B N"], cases: Cases, rows: Int[Tensor, " B"], settings: EvaluationSettings, places: int
) -> tuple[Tensor, ...]:
    targets = cases.targets[rows].long().to(scores.device)
    hidden = torch.zeros(len(rows), dtype=torch.long)
    if settings.mask_seen:
        row, item = _seen(cases, rows, scores.shape[1])
        hidden = torch.bincount(row, minlength=len(rows))
        # A copy, as a model may hand out its own table.
        scores = scores.clone(memory_format=torch.contiguous_format)
        scores[row.to(scores.device), item.to(scores.device)] = -torch.inf
    above, tied = counts_about(scores, targets)
    lists, list_scores = best(scores, places)
    return above.cpu(), tied.cpu(), scores.shape[1] - hidden, lists.cpu(), list_scores.float().cpu()


def _seen(cases: Cases, rows: Int[Tensor, " B"], count: int) -> tuple[Int[Tensor, " S"], Int[Tensor, " S"]]:
    """Row in the batch and item number of everything to be hidden, each pair once; targets are not among them."""
    offsets = cases.histories.offsets
    begin, size = offsets[rows], offsets[rows + 1] - offsets[rows]
    row = torch.repeat_interleave(torch.arange(len(rows)), size)
    first = size.cumsum(0) - size
    place = torch.arange(len(row)) - first[row] + begin[row]
    item = cases.histories.items[place].long()
    other = item != cases.targets[rows][row]
    pairs = torch.unique(row[other] * count + item[other])
    return pairs // count, pairs % count


def _checked(scores: Tensor, rows: Int[Tensor, " B"], count: int) -> Float[Tensor, "B N"]:
    if scores.shape != (len(rows), count):
        shape = " x ".join(str(size) for size in scores.shape)
        raise RunError(
            f"scores: {shape}: expected {len(rows)} x {count}, a row a case and a column an item. Mend score."
        )
    # A sum is one quick pass; only where it is not finite is each score looked at.
    if not torch.isfinite(scores.sum()) and not (fine := torch.isfinite(scores)).all():
        row, item = (int(n) for n in (~fine).nonzero()[0])
        raise RunError(
            f"scores: case {int(rows[row])}, item number {item}: {float(scores[row, item])}: expected a finite number. "
            'If the training diverged, lower training.learning_rate or set training.precision = "fp32".'
        )
    return scores
