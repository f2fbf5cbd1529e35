"""A backbone that learns: its upper blocks, or all of it, in single precision, with dropout in training."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from l2rec.errors import BackboneError
from l2rec.nn import attention
from l2rec.nn.backbone import Backbone
from l2rec.nn.inject import blocks


class Tuned(nn.Module):
    """A Hugging Face model in which every token sees every other one, some of its weights learning.

    Attributes:
        backbone: The model, its weights in single precision.
    """

    def __init__(self, backbone: Backbone, learning: int, dropout: float, rounded: bool) -> None:
        """Frees some weights.

        Args:
            backbone: The frozen model; changed in place.
            learning: Upper blocks that learn; with as many as there are, token and position vectors learn too.
            dropout: Wherever the model has dropout, in training.
            rounded: Whether products are in bfloat16.
        """
        super().__init__()
        self.backbone, self.rounded = backbone, rounded
        network = backbone.network.float()
        own = blocks(network)
        for block in own[max(len(own) - learning, 0) :]:
            block.requires_grad_(True)
        if learning >= len(own):
            network.requires_grad_(True)
        for module in network.modules():
            if isinstance(module, nn.Dropout):
                module.p = dropout

    def train(self, mode: bool = True) -> "Tuned":
        """See the base class; unlike a frozen backbone this one drops in training."""
        super().train(mode)
        self.backbone.network.train(mode)
        return self

    def forward(self, embeddings: Float[Tensor, "B T D"], mask: Bool[Tensor, "B T"]) -> Float[Tensor, "B T D"]:
        """Returns the last hidden states.

        Args:
            embeddings: Vectors that stand in the place of token vectors.
            mask: True at a token; one at least in a row.

        Raises:
            BackboneError: a row is longer than the model's table of positions.
        """
        limit, length, kind = self.backbone.limit, mask.shape[1], embeddings.device.type
        if limit is not None and length > limit:
            raise BackboneError(f"model.tokens: {length} positions: the backbone has {limit}. Lower model.tokens.")
        network = self.backbone.network
        attention.choose(network, kind)
        hidden = torch.zeros(mask.shape, device=mask.device).masked_fill(~mask, -1e9)
        positions = torch.arange(length, device=mask.device).expand(mask.shape) + self.backbone.first_position
        with torch.autocast(kind, dtype=torch.bfloat16, enabled=self.rounded):
            out = network(
                inputs_embeds=embeddings,
                attention_mask=hidden[:, None, None, :].expand(-1, 1, length, -1),
                position_ids=positions,
            )
        found: Tensor = out.last_hidden_state
        return found.float()
