"""Parametric whitening by a mixture of experts: text vectors, moved and turned until they tell items apart."""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

_LEAST_NOISE = 0.01


class Whitening(nn.Module):
    """`v = sum_k g_k (x - b_k) W_k` with `g = softmax(x U + noise softplus(x V))`; noise in training only."""

    def __init__(self, mean: Float[Tensor, " Dt"], width: int, experts: int, dropout: float) -> None:
        """Builds the experts.

        Args:
            mean: Where every b starts: the mean of the vectors that will come.
            width: Width D of the result.
            experts: Pairs of b and W.
            dropout: On the vectors that the experts take; the gates see them whole.
        """
        super().__init__()
        self.dropout = nn.Dropout(dropout)
        self.centres = nn.ParameterList(mean.clone() for _ in range(experts))
        self.turns = nn.Parameter(torch.empty(experts, len(mean), width))
        self.gates, self.noise = (nn.Parameter(torch.zeros(len(mean), experts)) for _ in range(2))
        nn.init.normal_(self.turns, std=len(mean) ** -0.5)

    def forward(self, x: Float[Tensor, "P Dt"]) -> Float[Tensor, "P D"]:
        """Returns the whitened vectors."""
        moves = torch.stack([centre @ turn for centre, turn in zip(self.centres, self.turns, strict=True)])
        turned = self.dropout(x) @ self.turns.transpose(0, 1).flatten(1)
        logits = x @ self.gates
        if self.training:
            logits = logits + torch.randn_like(logits) * (functional.softplus(x @ self.noise) + _LEAST_NOISE)
        gates = logits.softmax(-1)
        out: Tensor = (gates.unsqueeze(1) @ turned.view(len(x), *moves.shape)).squeeze(1) - gates @ moves
        return out
