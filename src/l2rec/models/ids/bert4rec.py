"""BERT4Rec: a Transformer that sees both ways, trained to fill in hidden items and asked at a hidden last one."""

import math
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from l2rec.models._space import Range, Space
from l2rec.models.ids._sequence import HEAD_SPACE, HeadSettings, SequenceModel, asked_of
from l2rec.nn.transformer import Transformer
from l2rec.types import Batch, Items, Loss


class Config(HeadSettings):
    """Settings of BERT4Rec."""

    expansion: int = Field(default=4, ge=1)
    """Hidden width of the feed-forward half of a block, in widths."""
    hidden_share: float = Field(default=0.4, gt=0, le=1)
    """Probability that a target is hidden in a training step."""
    last_share: float = Field(default=0.2, ge=0, le=1)
    """Probability that a row hides its last target alone instead, as it is hidden where the model is asked."""


SPACE: Space = {
    **HEAD_SPACE,
    "model.hidden_share": Range(low=0.2, high=0.8),
    "model.last_share": Range(low=0, high=0.5),
}


class Cloze(NamedTuple):
    """Sequences whose hidden items are to be found.

    Attributes:
        items: Item numbers.
        seen: True at what stands in the sequence, hidden or not.
        hidden: True where the item is hidden.
    """

    items: Int[Tensor, "B L"]
    seen: Bool[Tensor, "B L"]
    hidden: Bool[Tensor, "B L"]


class Model(SequenceModel):
    """Sequential recommendation with bidirectional encoders (Sun et al. 2019), with pre-norm blocks.

    With e the item table, p the positions counted from the newest event that is read, m the vector of a hidden item
    and f the Transformer, in which every position sees every other:
    `u_t = f(sqrt(D) e_1 + p_n, ..., m + p_(n - t + 1), ...)_t` and `score(j) = u_t . e_j`. In training some targets are
    hidden and found again from both sides; a user's vector is that of a hidden item after the last event.

    Deviations: blocks normalise before, as all of this room do, and there is neither a projection before the table nor
    a bias of items. Positions are counted from the newest, so that the one which is asked in the end is always the
    same; their first values are as large as scaled events, as a hidden event is told from another by its place alone,
    and attention starts by handing on what it sees (`Transformer.pass_on`): on amazon-scientific-2018 validation
    NDCG@10 after two epochs was .0438 with it and .0206 without. Sequences are hidden anew in every step in place of
    ten times beforehand, and a row that hides its last item alone is drawn with a probability in place of being added.
    An event that is no target of the batch is never hidden: a user's first one, and those that a window is given to
    read. What stands after the last target that counts is not read, so that a loss never hangs on what came later than
    all that it asks for; a target among others is asked with those after it in sight, which is the method.
    """

    def __init__(self, config: Config, items: Items, attributes: int = 0) -> None:
        """See the base class."""
        spread = 0.02 * math.sqrt(config.width)
        super().__init__(config, items, attributes, places=config.history + 1, spread=spread)
        self.shares = (config.hidden_share, config.last_share)
        self.blank = nn.Parameter(spread * torch.randn(config.width))
        inner = config.expansion * config.width
        self.network = Transformer(config.width, config.layers, config.heads, inner, config.dropout)
        self.network.pass_on(0.5)

    def loss(self, batch: Batch) -> Loss:
        """Returns the cross-entropy of the hidden items.

        Its weight is the number of targets out of which the hidden ones were drawn.

        Raises:
            ValueError: the batch has no targets.
        """
        targets, asked = asked_of(batch)
        cloze = self._drawn(batch.items, targets, asked)
        total = self.softmax(self._found(cloze)[cloze.hidden], cloze.items[cloze.hidden])
        return Loss(total, {"retrieval": total.item()}, int(asked.sum()))

    def user_vectors(self, batch: Batch) -> Float[Tensor, "B D"]:
        """See the base class."""
        last = batch.lengths()
        column = torch.arange(batch.items.shape[1] + 1, device=last.device)
        items = functional.pad(batch.items, (0, 1))
        cloze = Cloze(items, column <= last.unsqueeze(1), column == last.unsqueeze(1))
        return self._found(cloze)[cloze.hidden]

    def _drawn(self, items: Int[Tensor, "B L"], targets: Int[Tensor, "B L"], asked: Bool[Tensor, "B L"]) -> Cloze:
        """The sequences up to their last target, some targets hidden; in each the last one, where chance hid none."""
        hideable = functional.pad(asked, (1, 0))
        whole = torch.where(hideable, functional.pad(targets, (1, 0)), functional.pad(items, (0, 1)))
        column = torch.arange(whole.shape[1], device=whole.device)
        last = (hideable * column).amax(1, keepdim=True)
        share, alone_share = self.shares
        drawn = hideable & (torch.rand(whole.shape, device=whole.device) < share)
        alone = torch.rand((len(whole), 1), device=whole.device) < alone_share
        hidden = torch.where(alone | ~drawn.any(1, keepdim=True), hideable & (column == last), drawn)
        return Cloze(whole, column <= last, hidden)

    def _found(self, cloze: Cloze) -> Float[Tensor, "B L D"]:
        """The state of every position; positions are counted from the last that is seen."""
        events = torch.where(cloze.hidden.unsqueeze(-1), self.blank, self.events(cloze.items, cloze.seen))
        place = cloze.seen.sum(1, keepdim=True) - 1 - torch.arange(events.shape[1], device=events.device)
        out: Tensor = self.network(self.placed(events, place), cloze.seen)
        return out
