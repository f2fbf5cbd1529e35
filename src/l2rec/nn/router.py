"""Who bends the weights here: a causal router per block and view that reads context, user and their interaction."""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional

SIGNALS = ("context", "user", "interaction")


@dataclass(frozen=True)
class Pools:
    """The experts of a block.

    Attributes:
        shared: Experts that are always on.
        semantic: Experts that the semantic view chooses from.
        behavioural: Experts that the behavioural view chooses from.
        rank: Rank R of each.
        top: How many routed experts are on at a position.
    """

    shared: int
    semantic: int
    behavioural: int
    rank: int
    top: int

    @property
    def routed(self) -> tuple[int, int]:
        """Experts of each view: semantic, behavioural."""
        return (self.semantic, self.behavioural)

    @property
    def ranks(self) -> int:
        """Ranks of all experts together, ER."""
        return (self.shared + self.semantic + self.behavioural) * self.rank


@dataclass(frozen=True)
class Layout:
    """Where the views stand in a row: the semantic positions first, then the behavioural ones.

    Attributes:
        semantic: Positions of the semantic view; 0 where it is off.
        behavioural: Positions of the behavioural view; 0 where it is off.
    """

    semantic: int
    behavioural: int

    @property
    def lengths(self) -> tuple[int, int]:
        """Positions of each view: semantic, behavioural."""
        return (self.semantic, self.behavioural)

    @property
    def slices(self) -> tuple[slice, slice]:
        """Slices of each view on the position axis."""
        return (slice(0, self.semantic), slice(self.semantic, self.semantic + self.behavioural))

    @property
    def parts(self) -> tuple[int, ...]:
        """Positions of the views that are on."""
        return tuple(length for length in self.lengths if length)


@dataclass(frozen=True)
class Choice:
    """What one router decided for one view.

    Attributes:
        gates: Weight of every expert of the view; zero for those not chosen; sums to 1.
        probabilities: Softmax over all experts of the view, before the choice; for the balance loss.
    """

    gates: Float[Tensor, "B T E"]
    probabilities: Float[Tensor, "B T E"]


class ViewRouter(nn.Module):
    """s = W_c c + W_u u + W_x (W_a c * W_b u); softmax over the top scores (specification of L2Rec's router)."""

    def __init__(self, width: int, experts: int, top: int, inner: int, signals: tuple[str, ...]) -> None:
        """Builds the maps of the signals that are switched on.

        Args:
            width: Width D of context and user state.
            experts: Experts E of the view.
            top: How many are chosen.
            inner: Width of the interaction.
            signals: Those of `SIGNALS` that are read; without any the first `top` experts are on, by static gates.
        """
        super().__init__()
        self.top = min(top, experts)
        self.bias = nn.Parameter(torch.zeros(experts))
        self.context = nn.Linear(width, experts, bias=False) if "context" in signals else None
        self.user = nn.Linear(width, experts, bias=False) if "user" in signals else None
        self.mix: nn.ModuleList | None = None
        if "interaction" in signals:
            sides = (nn.Linear(width, inner, bias=False), nn.Linear(width, inner, bias=False))
            self.mix = nn.ModuleList([*sides, nn.Linear(inner, experts, bias=False)])

    def user_maps(self) -> list[Float[Tensor, "_out D"]]:
        """Returns the maps that meet the user state, W_u before W_b; the user is the same in every block."""
        return _weights(self.user, self.mix[1] if self.mix is not None else None)

    def forward(self, context: Float[Tensor, "B T D"], heard: list[Float[Tensor, "B T _out"]]) -> Choice:
        """Returns gates that depend on this position alone; what is causal in is causal out.

        Args:
            context: Block input at every position.
            heard: Products of the causal user state with `user_maps`.
        """
        said = products(context, _weights(self.context, self.mix[0] if self.mix is not None else None))
        scores = self.bias.expand(*context.shape[:2], -1)
        if self.context is not None:
            scores = scores + said[0]
        if self.user is not None:
            scores = scores + heard[0]
        if self.mix is not None:
            scores = scores + self.mix[2](said[-1] * heard[-1])
        scores = scores.float()
        best, chosen = self._chosen(scores)
        gates = torch.zeros_like(scores).scatter(-1, chosen, best.softmax(-1))
        return Choice(gates, scores.softmax(-1))

    def _chosen(self, scores: Float[Tensor, "B T E"]) -> tuple[Float[Tensor, "B T top"], Int[Tensor, "B T top"]]:
        """Scores and numbers of the experts that are on: the best, or without signals the first.

        A bias alone is no ground to choose by: of the chosen it lowers one below those that no gradient reaches, which
        then take its place, step after step.
        """
        if self.context is None and self.user is None and self.mix is None:
            first = torch.arange(self.top, device=scores.device).expand(*scores.shape[:2], -1)
            return scores[..., : self.top], first
        best, chosen = scores.topk(self.top, -1)
        return best, chosen


def products(x: Float[Tensor, "B T D"], maps: list[Float[Tensor, "_out D"]]) -> list[Float[Tensor, "B T _out"]]:
    """Returns x W^T for each of `maps`, all in one multiplication."""
    if not maps:
        return []
    return list(torch.split(functional.linear(x, torch.cat(maps)), [len(w) for w in maps], -1))


def _weights(*linears: nn.Module | None) -> list[Tensor]:
    return [linear.weight for linear in linears if isinstance(linear, nn.Linear)]


def balance_loss(choice: Choice, mask: Bool[Tensor, "B T"]) -> Float[Tensor, ""]:
    """Returns E sum_e f_e p_e over the positions of `mask`; 1 when all experts are used alike, E when one is.

    f_e is the share of choices that fell on expert e, p_e its mean probability (Fedus et al. 2022, equation 4, for
    more than one choice per position).
    """
    used, mean = usage(choice, mask), choice.probabilities[mask].mean(0)
    return len(used) * (used.detach() * mean).sum()


def usage(choice: Choice, mask: Bool[Tensor, "B T"]) -> Float[Tensor, " E"]:
    """Returns the share of choices that fell on each expert; sums to 1."""
    on = (choice.gates[mask] > 0).float().sum(0)
    return on / on.sum().clamp(min=1)


def gate_entropy(choice: Choice, mask: Bool[Tensor, "B T"]) -> Float[Tensor, ""]:
    """Returns the mean entropy of the full distribution over experts, in nats; log E when undecided, 0 when certain."""
    p = choice.probabilities[mask].clamp(min=1e-9)
    return -(p * p.log()).sum(-1).mean()


def rank_gates(
    pools: Pools, choices: tuple[Choice | None, Choice | None], layout: Layout, like: Float[Tensor, "B T D"]
) -> Float[Tensor, "B T ER"]:
    """Returns one gate for every rank: 1 for shared experts, the choice for the view's own, 0 for the other view's.

    Args:
        pools: The block's experts, in the order shared, semantic, behavioural.
        choices: Of the semantic and the behavioural router; None where a view has no experts or no positions.
        layout: Where the views stand.
        like: Any tensor of the batch, for its size and device.
    """
    segments = []
    for view, (length, choice) in enumerate(zip(layout.lengths, choices, strict=True)):
        parts = [like.new_ones(len(like), length, pools.shared, dtype=torch.float32)]
        for pool, count in enumerate(pools.routed):
            own = choice is not None and pool == view
            parts.append(choice.gates if choice is not None and own else parts[0].new_zeros(len(like), length, count))
        segments.append(torch.cat(parts, -1))
    return torch.cat(segments, 1).repeat_interleave(pools.rank, -1)
