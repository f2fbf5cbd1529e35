"""Low-rank experts on one frozen matrix: one stacked down-projection, a gate on the rank axis, one up-projection."""

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional


class Route:
    """Where the gates of a block wait for the experts of its matrices.

    Attributes:
        gates: One factor for every rank of every expert at every position; None leaves the backbone as it is.
    """

    def __init__(self) -> None:
        self.gates: Float[Tensor, "B T ER"] | None = None


class AdaptedLinear(nn.Module):
    """A frozen linear layer with stacked experts: y = x W + s ((x A) * g) B (L2Rec; one: Hu et al. 2022).

    B starts at zero, so that an untrained layer equals the frozen one exactly.
    """

    def __init__(self, base: nn.Linear, ranks: int, scale: float, route: Route) -> None:
        """Wraps a layer.

        Args:
            base: The frozen layer.
            ranks: Experts times rank of an expert, ER.
            scale: Factor s of the whole correction.
            route: Where the block's gates are found.
        """
        super().__init__()
        self.base = base
        self.scale = scale
        self.route = route
        device = base.weight.device
        self.down = nn.Parameter(torch.empty(ranks, base.in_features, device=device))
        self.up = nn.Parameter(torch.zeros(base.out_features, ranks, device=device))
        nn.init.kaiming_uniform_(self.down, a=math.sqrt(5))

    def forward(self, x: Float[Tensor, "B T _in"]) -> Float[Tensor, "B T _out"]:
        """Returns the layer's output, bent by the experts whose gates are open."""
        y: Tensor = self.base(x)
        if self.route.gates is None:
            return y
        inner = functional.linear(x, self.down.to(x.dtype))
        inner = inner * self.route.gates.to(inner.dtype)
        up = (self.up * self.scale).to(y.dtype)
        return torch.addmm(y.flatten(0, -2), inner.flatten(0, -2).to(y.dtype), up.T).view_as(y)
