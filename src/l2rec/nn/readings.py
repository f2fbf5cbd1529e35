"""What the log shows of a dual-view model's inner life: expert use, certainty of the gates, share of the views."""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from l2rec.nn.router import Choice, gate_entropy, usage
from l2rec.nn.views import Rows

VIEWS = ("semantic", "behavioural")
HISTORY_LENGTHS = ((1, 1), (2, 2), (3, 5), (6, 10), (11, 20), (21, 10_000))


@torch.no_grad()
def routing_readings(choices: list[tuple[Choice | None, Choice | None]], rows: Rows) -> dict[str, float]:
    """Returns, per view and block, the share of choices of every expert and the entropy of the gates in nats.

    Names are `experts/VIEW/blockI/eJ` and `entropy/VIEW/blockI`.
    """
    found: dict[str, float] = {}
    for block, pair in enumerate(choices):
        for view, choice, part in zip(VIEWS, pair, rows.layout.slices, strict=True):
            if choice is None:
                continue
            mask = rows.mask[:, part]
            for expert, share in enumerate(usage(choice, mask).tolist()):
                found[f"experts/{view}/block{block}/e{expert}"] = share
            found[f"entropy/{view}/block{block}"] = float(gate_entropy(choice, mask))
    return found


@torch.no_grad()
def expert_use(choices: list[tuple[Choice | None, Choice | None]], rows: Rows) -> dict[str, list[list[float]]]:
    """Returns, per view, block and expert, the share of choices in row 0 that fell on the expert."""
    found: dict[str, list[list[float]]] = {}
    for pair in choices:
        for view, choice, part in zip(VIEWS, pair, rows.layout.slices, strict=True):
            if choice is not None:
                own = Choice(choice.gates[:1], choice.probabilities[:1])
                found.setdefault(view, []).append(usage(own, rows.mask[:1, part]).tolist())
    return found


@torch.no_grad()
def acf_readings(share: Float[Tensor, " P"], lengths: Int[Tensor, " P"]) -> dict[str, float]:
    """Returns the semantic view's share of the fused vector, in all and by length of the history so far.

    Names are `acf/share` and `acf/share/FROM-TO`.
    """
    found = {"acf/share": float(share.mean())}
    for low, high in HISTORY_LENGTHS:
        there = (lengths >= low) & (lengths <= high)
        if bool(there.any()):
            found[f"acf/share/{low}-{high}"] = float(share[there].mean())
    return found
