"""The dense all-action loss: every position of a history is asked for all that its user took later, not just next."""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from l2rec.nn.losses import mean_log_partition


def shares(asked: Bool[Tensor, "B L"], horizon: int, decay: float) -> Float[Tensor, "B L L"]:
    """Returns which part of a position's question each target is; the parts of a position that is asked add up to 1.

    Position i is asked for the targets j = i .. i + horizon - 1 of its row that are asked, target j being the item that
    came after event j; they count in proportion to `decay ** (j - i)`.

    Args:
        asked: True at a position whose target counts.
        horizon: Targets of a position, at most; 1 leaves the next one.
        decay: Weight of a target against the one before it.
    """
    place = torch.arange(asked.shape[1], device=asked.device)
    ahead = place - place.unsqueeze(1)
    weights = torch.where((ahead >= 0) & (ahead < horizon), decay ** ahead.clamp(min=0).double(), 0.0)
    weights = weights.float() * asked.unsqueeze(1) * asked.unsqueeze(2)
    return weights / weights.sum(2, keepdim=True).clamp(min=1e-12)


def dense_softmax(
    queries: Float[Tensor, "B L D"],
    items: Float[Tensor, "N D"],
    targets: Int[Tensor, "B L"],
    parts: Float[Tensor, "B L L"],
    *,
    smoothing: float,
) -> Float[Tensor, ""]:
    """Returns the mean over asked positions of their targets' cross-entropy under the softmax over all items.

    With s_ij the parts, z the dot products, N items and e the smoothing, it is the mean over i of
    `log sum_k exp z_ik - (1 - e) sum_j s_ij z_ij - e mean_k z_ik`.

    Args:
        queries: The state at every position.
        items: The vectors of the catalogue.
        targets: The item that came after each position.
        parts: What `shares` returned.
        smoothing: Mass that is spread evenly over the catalogue, from 0 to below 1.
    """
    asked = parts.sum(2) > 0
    wanted = torch.bmm(parts.to(items.dtype), items[targets])
    found, mean = queries[asked], items.float().mean(0)
    if not len(found):
        return (queries.sum() + items.sum()) * 0.0
    hit = (1 - smoothing) * wanted[asked].float() + smoothing * mean
    return mean_log_partition(found, items) - (found.float() * hit).sum(1).mean()


def dense_sampled(
    queries: Float[Tensor, "B L D"],
    items: Float[Tensor, "N D"],
    targets: Int[Tensor, "B L"],
    parts: Float[Tensor, "B L L"],
    drawn: tuple[Int[Tensor, " K"], Float[Tensor, " K"]],
) -> Float[Tensor, ""]:
    """Returns the same against items that were drawn, each target apart from the position's other ones.

    With K the drawn items that are no target of the position, and q their expected number of draws, it is the mean over
    asked i of `sum_j s_ij (log(exp z_ij + sum_K exp(z_ik - log q_k)) - z_ij)`.

    Args:
        queries: The state at every position.
        items: The vectors of the catalogue.
        targets: The item that came after each position.
        parts: What `shares` returned.
        drawn: Item numbers and the log of how often each is expected, from `losses.draw`.
    """
    numbers, log_q = drawn
    asked = parts.sum(2) > 0
    if not bool(asked.any()):
        return (queries.sum() + items.sum()) * 0.0
    own = (targets.unsqueeze(2) == numbers).to(parts.dtype)
    accidental = torch.bmm((parts > 0).to(parts.dtype), own) > 0
    missed = (queries @ items[numbers].T).float() - log_q
    missed = missed.masked_fill(accidental, -torch.inf).logsumexp(2, keepdim=True)
    hits = torch.bmm(queries, items[targets].to(queries.dtype).transpose(1, 2)).float()
    each = (parts * (torch.logaddexp(hits, missed) - hits)).sum(2)
    return each[asked].mean()
