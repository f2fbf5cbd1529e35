"""Softmax losses over a catalogue: over all of it in bounded memory, or over sampled negatives with logQ correction."""

from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.autograd.function import FunctionCtx

_LOGITS_AT_ONCE = {"cpu": 1 << 21, "cuda": 1 << 27}
"""Logits that exist at a time: on a CPU what its cache holds, on a GPU what keeps it busy."""


def full_softmax(
    queries: Float[Tensor, "P D"], items: Float[Tensor, "N D"], targets: Int[Tensor, " P"], *, smoothing: float
) -> Float[Tensor, ""]:
    """Returns the mean cross-entropy of the targets under the softmax of the dot products with all items.

    With z = q V^T, s the smoothing and t the target: `log sum_j exp z_j - (1 - s) z_t - s mean_j z_j`, which is the
    cross-entropy against a target of mass 1 - s plus s / N everywhere (Szegedy et al. 2016, section 7). Only the first
    term needs all P x N logits; they are made and consumed in slices, their gradient taken while they are there.

    Args:
        queries: One vector for each position that is asked; P = 0 gives 0.
        items: The vectors of the catalogue.
        targets: The item number that came next.
        smoothing: Mass of the target that is spread evenly over the catalogue, from 0 to below 1.
    """
    if not len(queries):
        return (queries.sum() + items.sum()) * 0.0
    value: Tensor = _FullSoftmax.apply(queries, items, targets, smoothing)  # type: ignore[no-untyped-call]
    return value


def mean_log_partition(queries: Float[Tensor, "P D"], items: Float[Tensor, "N D"]) -> Float[Tensor, ""]:
    """Returns the mean over queries of the log of the summed exponentials of their dot products with all items.

    The products are in the precision of autocast where that is on, their sums in single precision. No more than a slice
    of the P x N logits exists at any time, and each is exponentiated once. First derivatives only.
    """
    value: Tensor = _MeanLogPartition.apply(queries, items)  # type: ignore[no-untyped-call]
    return value


def sampled_softmax(
    queries: Float[Tensor, "P D"],
    items: Float[Tensor, "N D"],
    targets: Int[Tensor, " P"],
    weights: Float[Tensor, " N"] | Int[Tensor, " N"],
    negatives: int,
) -> Float[Tensor, ""]:
    """Returns the mean cross-entropy of the targets against negatives that are drawn once for all positions.

    The draw is with replacement, in proportion to `weights`.

    Args:
        queries: One vector for each position that is asked; P = 0 gives 0.
        items: The vectors of the catalogue.
        targets: The item number that came next.
        weights: Chance of each item to be drawn, of any scale: ones for a uniform draw, training counts for one by
            popularity. An item of weight 0 is never a negative.
        negatives: How many items are drawn.
    """
    if not len(queries):
        return (queries.sum() + items.sum()) * 0.0
    drawn, log_q = draw(weights, negatives)
    return softmax_over_drawn(queries, items[targets], items[drawn], drawn == targets.unsqueeze(1), log_q)


def matched_softmax(
    queries: Float[Tensor, "P D"], keys: Float[Tensor, "P D"], same: Bool[Tensor, "P P"]
) -> Float[Tensor, ""]:
    """Returns the mean cross-entropy of every query's own key among the keys of the batch; P = 0 gives 0.

    Args:
        queries: One vector for each row.
        keys: What each query asks for, and what the others are told from.
        same: True where a key is as good as a query's own, and so no negative; the diagonal does not count.
    """
    if not len(queries):
        return (queries.sum() + keys.sum()) * 0.0
    own = torch.eye(len(queries), dtype=torch.bool, device=queries.device)
    logits = (queries @ keys.T).float().masked_fill(same & ~own, -torch.inf)
    return (logits.logsumexp(1) - logits.diagonal()).mean()


def draw(weights: Float[Tensor, " N"] | Int[Tensor, " N"], count: int) -> tuple[Int[Tensor, " K"], Float[Tensor, " K"]]:
    """Returns items drawn with replacement in proportion to `weights`, and the log of how often each is expected."""
    total = weights.double().cumsum(0)
    place = torch.rand(count, dtype=torch.float64, device=weights.device) * total[-1]
    drawn = torch.searchsorted(total, place, right=True).clamp(max=len(weights) - 1)
    expected = weights[drawn].double() * (count / total[-1])
    return drawn, expected.log().float()


def softmax_over_drawn(
    queries: Float[Tensor, "P D"],
    hits: Float[Tensor, "P D"],
    candidates: Float[Tensor, "K D"],
    accidental: Bool[Tensor, "P K"],
    log_q: Float[Tensor, " K"],
) -> Float[Tensor, ""]:
    """Returns the mean of `log(exp z_t + sum_k exp(z_k - log q_k)) - z_t` over positions.

    With q_k the expected number of times that k was drawn and draws of the target itself left out, the sum inside the
    logarithm has the sum over the whole catalogue as its mean; so the target takes no correction, having been put there
    and not drawn (Bengio & Senecal 2008; Yi et al. 2019 correct it too, which biases the loss).

    Args:
        queries: One vector for each position.
        hits: The vector of each position's target.
        candidates: The vectors of the drawn items.
        accidental: True where a drawn item is the position's target.
        log_q: Log of the expected number of draws of each candidate's item.
    """
    hit = (queries * hits).sum(-1, keepdim=True).float()
    missed = (queries @ candidates.T).float() - log_q
    missed = missed.masked_fill(accidental, -torch.inf)
    return (torch.logsumexp(torch.cat((hit, missed), 1), 1, keepdim=True) - hit).mean()


class _MeanLogPartition(torch.autograd.Function):
    """Takes the gradient in the forward pass, while a slice of logits is there, so that none is kept or made twice."""

    @staticmethod
    def forward(ctx: FunctionCtx, queries: Tensor, items: Tensor) -> Tensor:
        """See `mean_log_partition`."""
        d_items = torch.zeros(items.shape, dtype=_wide(items), device=items.device)
        total, d_queries = _slices(queries, items, d_items)
        ctx.save_for_backward(d_queries.to(queries.dtype), d_items.to(items.dtype))
        return total

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor]:
        """Scales what the forward pass found."""
        d_queries, d_items = ctx.saved_tensors
        return d_queries * gradient, d_items * gradient


class _FullSoftmax(torch.autograd.Function):
    """The same with the target and the smoothing, whose part of all items' gradient is what its sum begins with."""

    @staticmethod
    def forward(ctx: FunctionCtx, queries: Tensor, items: Tensor, targets: Tensor, smoothing: float) -> Tensor:
        """See `full_softmax`."""
        asked, wanted = queries.to(_wide(queries)), items[targets].to(_wide(items))
        hit, spread = (1 - smoothing) / len(queries), smoothing / len(queries)
        mean_query, mean_item = asked.mean(0), items.mean(0, dtype=_wide(items))
        d_items = (mean_query * (-smoothing / len(items))).expand(items.shape).contiguous()
        d_items.index_put_((targets,), asked * -hit, accumulate=True)
        total, d_queries = _slices(queries, items, d_items)
        d_queries -= hit * wanted + spread * mean_item
        ctx.save_for_backward(d_queries.to(queries.dtype), d_items.to(items.dtype))
        return total - hit * (asked * wanted).sum() - smoothing * (mean_query * mean_item).sum()

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, None, None]:
        """Scales what the forward pass found."""
        d_queries, d_items = ctx.saved_tensors
        return d_queries * gradient, d_items * gradient, None, None


def _wide(values: Tensor) -> torch.dtype:
    """Single precision at least."""
    return torch.promote_types(values.dtype, torch.float32)


def _slices(
    queries: Float[Tensor, "P D"], items: Float[Tensor, "N D"], d_items: Float[Tensor, "N D"]
) -> tuple[Float[Tensor, ""], Float[Tensor, "P D"]]:
    """The mean log partition and its gradient to the queries; that to the items is added to `d_items`.

    Products are in the precision of autocast where that is on, sums in that of `d_items`.
    """
    kind, wide = queries.device.type, d_items.dtype
    dtype = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else items.dtype
    rows = max(1, _LOGITS_AT_ONCE.get(kind, 1 << 24) // len(items))
    total, d_queries, narrow = torch.zeros((), dtype=wide, device=queries.device), [], items.to(dtype)
    with torch.autocast(kind, enabled=False):
        for part in torch.split(queries.to(dtype), rows):
            logits = part @ narrow.T
            peaks = logits.amax(1, keepdim=True)
            masses = logits.sub_(peaks).exp_()
            sums = masses.sum(1, keepdim=True, dtype=wide)
            total += (sums.log() + peaks).sum()
            d_queries.append((masses @ narrow) / (sums * len(queries)))
            d_items += masses.T @ (part / (sums * len(queries))).to(dtype)
    return total / len(queries), torch.cat(d_queries)
