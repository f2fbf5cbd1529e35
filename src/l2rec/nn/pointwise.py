"""Pointwise attention: what an event takes from another hangs on the two alone, as no softmax makes them compete."""

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional

from l2rec.nn.transformer import Dropout

SPANS = 128
"""Classes of the time between two events."""
_STEP = 0.301
"""Width of such a class in the natural logarithm of seconds: each is 1.35 times as long as the one before."""


class PointwiseBlock(nn.Module):
    """One layer of HSTU (Zhai et al. 2024, equations 1 to 3), causal.

    With `u, v, q, k = silu(W norm x)`, a learnt number b for every distance of two positions and one for every class of
    the time between them, and n the longest history: `a_ts = silu(q_t . k_s + b_ts) / n` for s <= t, for each head, and
    `x += W' dropout(norm(sum_s a_ts v_s) * u_t)`. The norm stands over all heads together.
    """

    def __init__(self, width: int, heads: int, history: int, dropout: float) -> None:
        """Builds the layer.

        Args:
            width: Width D of a position; a multiple of `heads`.
            heads: Attention heads; the biases are common to them.
            history: Positions of the longest history; two that are further apart count as that far.
            dropout: On what the layer adds, before its last matrix.
        """
        super().__init__()
        self.heads = heads
        self.history = history
        self.norm = nn.LayerNorm(width)
        self.parts = nn.Linear(width, 4 * width)
        self.distances = nn.Parameter(0.02 * torch.randn(history))
        self.spans = nn.Parameter(0.02 * torch.randn(SPANS))
        self.mixed_norm = nn.LayerNorm(width, eps=1e-6)
        self.out = nn.Linear(width, width)
        self.dropout = Dropout(dropout)

    def forward(self, x: Float[Tensor, "B L D"], spans: Int[Tensor, "B L L"] | None) -> Float[Tensor, "B L D"]:
        """Returns the positions after this layer; position t sees 0..t.

        Args:
            x: Vectors of the positions.
            spans: Classes of the time between them; None looks at positions alone.
        """
        parts = self.parts(self.norm(x)).unflatten(-1, (4, self.heads, -1)).permute(2, 0, 3, 1, 4)
        gate, value, query, key = functional.silu(parts).unbind(0)
        marks = query @ key.transpose(-1, -2) + self._bias(x.shape[1], spans)
        shares = (functional.silu(marks) / self.history).tril()
        mixed, gate = (part.transpose(1, 2).flatten(2) for part in (shares.to(value.dtype) @ value, gate))
        out: Tensor = x + self.out(self.dropout(self.mixed_norm(mixed) * gate))
        return out

    def _bias(self, length: int, spans: Int[Tensor, "B L L"] | None) -> Float[Tensor, "_B 1 L L"]:
        place = torch.arange(length, device=self.distances.device)
        apart = (place[:, None] - place).clamp(0, self.history - 1)
        bias = self.distances[apart][None, None]
        return bias if spans is None else bias + self.spans[spans].unsqueeze(1)


class PointwiseNetwork(nn.Module):
    """A stack of such layers and a last norm; no mask is needed with padding on the right."""

    def __init__(self, width: int, layers: int, heads: int, history: int, dropout: float) -> None:
        """Builds the stack; matrices start at a standard deviation of 0.02. Arguments as for `PointwiseBlock`.

        Args:
            width: Width D of a position.
            layers: Layers; 0 leaves the norm alone.
            heads: Attention heads of each layer.
            history: Positions of the longest history.
            dropout: Of each layer.
        """
        super().__init__()
        self.blocks = nn.ModuleList(PointwiseBlock(width, heads, history, dropout) for _ in range(layers))
        self.norm = nn.LayerNorm(width)
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.normal_(module.weight, std=0.02)
                nn.init.zeros_(module.bias)

    def forward(self, x: Float[Tensor, "B L D"], times: Int[Tensor, "B L"] | None = None) -> Float[Tensor, "B L D"]:
        """Returns what each position has gathered from itself and from those before it.

        Args:
            x: Vectors of the positions.
            times: When they were, in seconds; None looks at their order alone.
        """
        spans = None if times is None else spans_between(times)
        for block in self.blocks:
            x = block(x, spans)
        out: Tensor = self.norm(x)
        return out


def spans_between(times: Int[Tensor, "B L"]) -> Int[Tensor, "B L L"]:
    """Returns the class of the time between every two positions, logarithmic, 0 up to a second."""
    apart = (times.unsqueeze(2) - times.unsqueeze(1)).abs().clamp(min=1)
    return (apart.double().log() / _STEP).long().clamp(max=SPANS - 1)
