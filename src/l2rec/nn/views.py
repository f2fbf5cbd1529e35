"""One history as two sequences in one row: who may look at whom, and at which position every item is read."""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from l2rec.nn.prompts import Prompt
from l2rec.nn.router import Layout


@dataclass(frozen=True)
class Rows:
    """What the backbone reads in one call.

    Attributes:
        embeddings: Input vectors: the semantic view's tokens, then one position per item.
        mask: True at a position that carries a token or an item.
        visible: True where a query may look at a key: its own view, not later than itself. The keys are the positions
            of the rows; where these read on, the positions of the past come first.
        positions: Position within the own view.
        user: Causal user state at every position.
        layout: Where the views stand.
        read: The position at which each item of the semantic view is complete.
        items: The vectors of the items themselves, for what goes past the backbone; None where nothing does.
    """

    embeddings: Float[Tensor, "B T D"]
    mask: Bool[Tensor, "B T"]
    visible: Bool[Tensor, "B T _keys"]
    positions: Int[Tensor, "B T"]
    user: Float[Tensor, "B T D"]
    layout: Layout
    read: Int[Tensor, "B L"] | None
    items: Float[Tensor, "B L D"] | None = None


def causal(mask: Bool[Tensor, "B T"]) -> Bool[Tensor, "B T T"]:
    """Returns who may look at whom in one causal view; every position at least at itself."""
    size = mask.shape[1]
    earlier = torch.ones(size, size, dtype=torch.bool, device=mask.device).tril()
    itself = torch.eye(size, dtype=torch.bool, device=mask.device)
    return (earlier & mask.unsqueeze(1)) | itself


def semantic_rows(
    tokens: Float[Tensor, "B T D"], prompt: Prompt, user: Float[Tensor, "B L D"], items: Float[Tensor, "B L D"] | None
) -> Rows:
    """Returns the semantic view alone.

    Args:
        tokens: Vectors of the prompt's tokens.
        prompt: Where the items stand in it.
        user: Causal user state after every item.
        items: Vectors that replace each item's last token (integration at the input); None leaves the text as it is.
    """
    size = prompt.ids.shape[1]
    if items is not None:
        rows = torch.arange(len(items), device=items.device).unsqueeze(1).expand(items.shape[:2])
        there = prompt.events
        tokens = tokens.index_put((rows[there], prompt.last[there]), items[there].to(tokens.dtype))
    state = user.gather(1, prompt.item.unsqueeze(-1).expand(-1, -1, user.shape[-1]))
    positions = torch.arange(size, device=tokens.device).expand(len(tokens), -1)
    return Rows(tokens, prompt.mask, causal(prompt.mask), positions, state, Layout(size, 0), prompt.last)


def behavioural_rows(items: Float[Tensor, "B L D"], mask: Bool[Tensor, "B L"], user: Float[Tensor, "B L D"]) -> Rows:
    """Returns the behavioural view alone: one position per item."""
    positions = torch.arange(items.shape[1], device=items.device).expand(len(items), -1)
    return Rows(items, mask, causal(mask), positions, user, Layout(0, items.shape[1]), None)


def side_by_side(semantic: Rows, behavioural: Rows) -> Rows:
    """Returns both views in one row, blind to each other."""
    views = (semantic, behavioural)
    here = semantic.visible.shape[1]
    size = here + behavioural.visible.shape[1]
    visible = semantic.visible.new_zeros(len(semantic.visible), size, size)
    visible[:, :here, :here] = semantic.visible
    visible[:, here:, here:] = behavioural.visible
    return Rows(
        torch.cat([v.embeddings for v in views], 1),
        torch.cat([v.mask for v in views], 1),
        visible,
        torch.cat([v.positions for v in views], 1),
        torch.cat([v.user for v in views], 1),
        Layout(semantic.layout.semantic, behavioural.layout.behavioural),
        semantic.read,
    )
