"""A pre-norm Transformer over item positions, causal unless told what to see; padding is never looked at."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional


class Dropout(nn.Module):
    """Inverted dropout that draws one byte an element on a CPU, several times faster than `torch.nn.Dropout` there.

    There the probability is rounded to a multiple of 1/256; what is kept is scaled by the rounded one, so that the mean
    is exact.
    """

    def __init__(self, probability: float) -> None:
        """Takes the probability of zero, from 0 to below 1."""
        super().__init__()
        self.probability = probability
        self.limit = min(round(256 * probability), 255)

    def forward(self, x: Float[Tensor, "*B D"]) -> Float[Tensor, "*B D"]:
        """Returns the input where not in training, and the thinned input in training."""
        if not self.training or not self.limit:
            return x
        if x.device.type != "cpu":
            return functional.dropout(x, self.probability)
        words = torch.empty((x.numel() + 7) // 8, dtype=torch.int64).random_(-(2**63), None)
        kept = words.view(torch.uint8)[: x.numel()].view(x.shape) >= self.limit
        return x * kept.to(x.dtype).mul_(256 / (256 - self.limit))


class Block(nn.Module):
    """One layer: `x += attention(norm x)`, then `x += feed-forward(norm x)`, with dropout on both additions."""

    def __init__(self, width: int, heads: int, inner: int, dropout: float) -> None:
        """Builds the layer.

        Args:
            width: Width D of a position; a multiple of `heads`.
            heads: Attention heads.
            inner: Hidden width of the feed-forward half.
            dropout: On what each half adds, and inside the feed-forward half.
        """
        super().__init__()
        self.heads = heads
        self.attention_norm = nn.LayerNorm(width)
        self.attention_in = nn.Linear(width, 3 * width)
        self.attention_out = nn.Linear(width, width)
        self.inner_norm = nn.LayerNorm(width)
        self.inner_in = nn.Linear(width, inner)
        self.inner_out = nn.Linear(inner, width)
        self.dropout = Dropout(dropout)

    def forward(self, x: Float[Tensor, "B L D"], seen: Bool[Tensor, "B L"] | None = None) -> Float[Tensor, "B L D"]:
        """Returns the positions after this layer; position t sees 0..t, or those of `seen`. See `Transformer`."""
        x = x + self.dropout(self.attention_out(self._attended(self.attention_norm(x), seen)))
        inner = self.dropout(functional.gelu(self.inner_in(self.inner_norm(x))))
        out: Tensor = x + self.dropout(self.inner_out(inner))
        return out

    def _attended(self, x: Float[Tensor, "B L D"], seen: Bool[Tensor, "B L"] | None) -> Float[Tensor, "B L D"]:
        parts = self.attention_in(x).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        query, key, value = parts.unbind(0)
        keys = None if seen is None else seen.unsqueeze(1).unsqueeze(1)
        mixed = functional.scaled_dot_product_attention(query, key, value, attn_mask=keys, is_causal=keys is None)
        return mixed.transpose(1, 2).flatten(2)


class Transformer(nn.Module):
    """A stack of blocks and a last norm.

    A causal stack needs no mask: with padding on the right no event has padding before it, and what stands at padding
    is unused.
    """

    def __init__(self, width: int, layers: int, heads: int, inner: int, dropout: float) -> None:
        """Builds the stack; matrices start at a standard deviation of 0.02, as in GPT-2. Arguments as for `Block`.

        Args:
            width: Width D of a position.
            layers: Blocks; 0 leaves the norm alone.
            heads: Attention heads of each block.
            inner: Hidden width of each feed-forward half.
            dropout: Of each block.
        """
        super().__init__()
        self.blocks = nn.ModuleList(Block(width, heads, inner, dropout) for _ in range(layers))
        self.norm = nn.LayerNorm(width)
        for name, parameter in self.named_parameters():
            if parameter.ndim > 1:
                nn.init.normal_(parameter, std=0.02)
            elif name.endswith("bias"):
                nn.init.zeros_(parameter)

    @torch.no_grad()
    def pass_on(self, share: float) -> None:
        """Lets every block start by handing on what it attends to, in place of next to nothing.

        A position that holds no item, as a hidden one, has nothing else to tell, and a softmax over the very vectors
        that are read learns little until the way from one to the other is near the identity.

        Args:
            share: Of the mean of what is attended to, after its norm, that each block adds.
        """
        for block in self.blocks:
            assert isinstance(block, Block)
            own = torch.eye(block.attention_out.in_features)
            block.attention_in.weight[2 * len(own) :] += own
            block.attention_out.weight += share * own

    def forward(self, x: Float[Tensor, "B L D"], seen: Bool[Tensor, "B L"] | None = None) -> Float[Tensor, "B L D"]:
        """Returns what each position has gathered.

        Args:
            x: Vectors of the positions.
            seen: The positions that every position sees, one at least in a row; where None each sees itself and those
                before it.
        """
        for block in self.blocks:
            x = block(x, seen)
        out: Tensor = self.norm(x)
        return out
