"""Two views into one preference vector: residual projections, a dynamic gate, and a loss that ties the views."""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional

FUSIONS = ("acf", "mean", "gate-less")


class Fusion(nn.Module):
    """ACF: h'_v = LN(h_v + P_v h_v), a = sigmoid(W [h'_s; h'_b; u]), z = a * h'_s + (1 - a) * h'_b."""

    def __init__(self, width: int, kind: str) -> None:
        """Builds projections and gate.

        Args:
            width: Width D of both views.
            kind: `acf` (gate from views and user), `mean` (one half each) or `gate-less` (one learned gate for all).
        """
        super().__init__()
        self.projections = nn.ModuleList([nn.Linear(width, width) for _ in range(2)])
        self.norms = nn.ModuleList([nn.LayerNorm(width) for _ in range(2)])
        self.gate = nn.Linear(3 * width, width) if kind == "acf" else None
        self.fixed = nn.Parameter(torch.zeros(width)) if kind == "gate-less" else None
        for linear in self.projections:
            assert isinstance(linear, nn.Linear)
            nn.init.zeros_(linear.weight)
            nn.init.zeros_(linear.bias)
        if self.gate is not None:
            nn.init.normal_(self.gate.weight, std=0.01)
            nn.init.zeros_(self.gate.bias)

    def project(self, hidden: Float[Tensor, "P D"], view: int) -> Float[Tensor, "P D"]:
        """Returns h'_v of one view; 0 is the semantic, 1 the behavioural."""
        out: Tensor = self.norms[view](hidden + self.projections[view](hidden))
        return out

    def share(
        self, semantic: Float[Tensor, "P D"], behavioural: Float[Tensor, "P D"], user: Float[Tensor, "P D"]
    ) -> Float[Tensor, "P D"]:
        """Returns a: how much of each dimension comes from the semantic view."""
        if self.gate is not None:
            return torch.sigmoid(self.gate(torch.cat([semantic, behavioural, user], -1)))
        if self.fixed is not None:
            return torch.sigmoid(self.fixed).expand_as(semantic)
        return torch.full_like(semantic, 0.5)

    def forward(
        self, semantic: Float[Tensor, "P D"], behavioural: Float[Tensor, "P D"], user: Float[Tensor, "P D"]
    ) -> Float[Tensor, "P D"]:
        """Returns z for projected views (what `project` returned) and the user state."""
        a = self.share(semantic, behavioural, user)
        return a * semantic + (1 - a) * behavioural


def bpc_loss(
    semantic: Float[Tensor, "P D"],
    behavioural: Float[Tensor, "P D"],
    owners: Int[Tensor, " P"],
    temperature: float,
) -> Float[Tensor, ""]:
    """Returns the bidirectional preference contrastive loss: symmetric InfoNCE between the views of one position.

    Args:
        semantic: h'_s at P positions.
        behavioural: h'_b at the same positions.
        owners: The user of each position; other positions of the same user are no negatives.
        temperature: Of the cosine.
    """
    logits = functional.normalize(semantic, dim=-1) @ functional.normalize(behavioural, dim=-1).T / temperature
    logits = logits.float().masked_fill(same_owner(owners), -torch.inf)
    own = torch.arange(len(owners), device=owners.device)
    return (functional.cross_entropy(logits, own) + functional.cross_entropy(logits.T, own)) / 2


def same_owner(owners: Int[Tensor, " P"]) -> Bool[Tensor, "P P"]:
    """Returns True at pairs of different positions that belong to one user."""
    same = owners.unsqueeze(0) == owners.unsqueeze(1)
    return same & ~torch.eye(len(owners), dtype=torch.bool, device=owners.device)
