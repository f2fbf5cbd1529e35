"""Masked language modelling: words are hidden, and the states around them tell which they were."""

from typing import TYPE_CHECKING

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, gelu

from l2rec.errors import SettingError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

_MASKED, _OTHER = 0.8, 0.9
"""Below the first, a hidden word becomes the mask token; below the second, any word; else it stays (BERT's shares)."""


class WordTask(nn.Module):
    """Hides words, and says what they were: `logits = norm(gelu(W h)) . token vectors + b`."""

    def __init__(self, tokenizer: "PreTrainedTokenizerBase", table: nn.Module, share: float) -> None:
        """Builds the head.

        Args:
            tokenizer: The one whose mask token is put in the place of words.
            table: The token vectors, only to see how many there are and how wide.
            share: Probability that a word is hidden.

        Raises:
            SettingError: the tokenizer has no mask token.
        """
        super().__init__()
        if not isinstance(tokenizer.mask_token_id, int):
            raise SettingError(
                "model.preparation: the backbone's tokenizer has no mask token, so no word can be hidden. "
                "Set model.preparation to 0, or use a BERT-like backbone."
            )
        assert isinstance(table.weight, Tensor)
        self.size, width = table.weight.shape
        self.mask_token, self.share = tokenizer.mask_token_id, share
        self.turn, self.norm = nn.Linear(width, width), nn.LayerNorm(width)
        self.bias = nn.Parameter(torch.zeros(self.size))

    def hide(self, ids: Int[Tensor, "B T"], words: Bool[Tensor, "B T"]) -> tuple[Int[Tensor, "B T"], Tensor]:
        """Returns the ids with some changed, and True where a word was hidden.

        Args:
            ids: Token ids.
            words: True where one may be hidden.
        """
        hidden = words & (torch.rand(ids.shape, device=ids.device) < self.share)
        fate = torch.rand(ids.shape, device=ids.device)
        any_word = torch.randint(self.size, ids.shape, device=ids.device)
        changed = torch.where(fate < _MASKED, self.mask_token, torch.where(fate < _OTHER, any_word, ids))
        return torch.where(hidden, changed, ids), hidden

    def forward(
        self, states: Float[Tensor, "P D"], words: Int[Tensor, " P"], table: Float[Tensor, "V D"]
    ) -> Float[Tensor, ""]:
        """Returns the mean cross-entropy of the hidden words; P = 0 gives 0.

        Args:
            states: What was read at their places.
            words: What stood there.
            table: The token vectors.
        """
        if not len(states):
            return states.sum() * 0.0
        logits = self.norm(gelu(self.turn(states))) @ table.T + self.bias
        return cross_entropy(logits.float(), words)
