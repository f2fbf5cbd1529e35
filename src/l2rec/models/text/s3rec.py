"""S3-Rec: SASRec, prepared by telling attributes, hidden items and hidden stretches from what stands around them."""

import math
from collections import Counter
from itertools import chain

import torch
from jaxtyping import Bool, Float, Int
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from l2rec.models._space import Choices, Range, Space
from l2rec.models.ids._sequence import HEAD_SPACE, CausalModel, HeadSettings, asked_of
from l2rec.nn.losses import matched_softmax
from l2rec.nn.transformer import Transformer
from l2rec.types import Batch, Items, Loss

_NEVER = -1e9
"""A score that no softmax feels; finite, so that a row without negatives has a gradient."""


class Config(HeadSettings):
    """Settings of S3-Rec; weights and share of the preparation are the numbers of the authors."""

    expansion: int = Field(default=4, ge=1)
    """Hidden width of the feed-forward half of a block, in widths."""
    preparation: int = Field(default=10, ge=0)
    """First epochs, on the four tasks; the others are on the next item. 0 leaves SASRec."""
    vocabulary: int = Field(default=4096, ge=0)
    """Attributes that are known: the most frequent ones of those that two items or more have."""
    masked: float = Field(default=0.2, gt=0, lt=1)
    """Probability that an event before the last is hidden in the preparation; the last one always is."""
    associated_weight: float = Field(default=0.2, ge=0)
    """Weight of associated attribute prediction (AAP): an item tells its attributes."""
    item_weight: float = Field(default=1.0, ge=0)
    """Weight of masked item prediction (MIP): what surrounds a hidden event tells its item."""
    attribute_weight: float = Field(default=1.0, ge=0)
    """Weight of masked attribute prediction (MAP): what surrounds a hidden event tells its item's attributes."""
    segment_weight: float = Field(default=0.5, ge=0)
    """Weight of segment prediction (SP): what surrounds a hidden stretch tells it from those of other users."""


SPACE: Space = {
    **HEAD_SPACE,
    "model.preparation": Choices(choices=(0, 5, 10, 15)),
    "model.masked": Range(low=0.1, high=0.6),
}


class Model(CausalModel):
    """Self-supervised learning for sequential recommendation (Zhou et al. 2020).

    With e the items, a the attributes, A_i those of item i, F_t the state at a hidden event of a Transformer that looks
    both ways, s and s' the last states of a sequence whose stretch is hidden and of the stretch alone, the preparation
    minimises weighted `-log exp f / sum exp f` over what is right and what is not:

        AAP: f(i, a) = e_i W a, against the attributes outside A_i      MIP: f(t, i) = F_t W e_i, against all items
        MAP: f(t, a) = F_t W a, against the attributes outside A_i      SP:  f = s W s', against stretches of other rows

    Then the same weights look back only and learn the next item, as SASRec. Attributes are not read. MIP and MAP read a
    beginning of the sequence, drawn anew in every step, whose last event is always hidden, as the authors' code does
    with every beginning: so the preparation asks for the next item, too.

    Deviations: f has no sigmoid, under which one of thousands could not stand out, and each task is the paper's
    contrast, a mean over what is asked, where the authors' code sums binary cross-entropies: with one drawn negative
    for MIP and SP, over all attributes for AAP and MAP. So their weights do not weigh the same. AAP reads item vectors,
    as in the paper; their code reads the encoder at events that are not hidden. MIP has the loss of the next item,
    smoothing included. Each stage has its own course of the learning rate; the authors prepare for a hundred epochs and
    more. Blocks come from `nn/transformer.py`, with the norm before each half, and start by handing on what they see
    (`Transformer.pass_on`), without which a hidden event tells nothing at first; items are read scaled, as in SASRec
    here. The last target of a window is part of the sequence that prepares; positions are counted from the oldest.
    """

    config: Config

    def __init__(self, config: Config, items: Items, attributes: int = 0) -> None:
        """See the base class."""
        super().__init__(config, items, attributes, places=config.history + 1)
        self.config, self.preparation = config, config.preparation
        inner = config.expansion * config.width
        self.network = Transformer(config.width, config.layers, config.heads, inner, config.dropout)
        owned, count = owned_attributes(items.attributes, config.vocabulary)
        self.register_buffer("owned", owned, persistent=False)
        self.owned: Tensor
        self.register_buffer("preparing", torch.zeros((), dtype=torch.bool))
        self.preparing: Tensor
        self.attributes = nn.Embedding(count, config.width)
        self.hidden = nn.Parameter(torch.zeros(config.width))
        self.network.pass_on(0.5)
        nn.init.normal_(self.attributes.weight, std=0.02)
        tasks = ("associated", "item", "attribute", "segment")
        self.tasks = nn.ModuleDict({task: nn.Linear(config.width, config.width, bias=False) for task in tasks})

    def begin(self, epoch: int) -> None:
        """See the base class; the first epochs prepare."""
        self.preparing.fill_(epoch < self.preparation)

    def loss(self, batch: Batch) -> Loss:
        """Returns the cross-entropy of the next item, or the weighted four tasks while the model prepares.

        Raises:
            ValueError: the batch has no targets.
        """
        if not self.preparing:
            return super().loss(batch)
        items, mask = _whole(batch)
        weights = self.config
        parts = {
            "associated": weights.associated_weight * self._associated(items[mask]),
            **self._masked(items, *beginning(mask, weights.masked)),
            "segment": weights.segment_weight * self._segment(items, mask, stretch(mask), batch.users),
        }
        total = torch.stack(list(parts.values())).sum()
        return Loss(total, {name: float(part.detach()) for name, part in parts.items()}, int(asked_of(batch)[1].sum()))

    def states(self, batch: Batch) -> Float[Tensor, "B L D"]:
        """See the base class."""
        out: Tensor = self.network(self.placed(self.events(batch.items, batch.mask)))
        return out

    def _around(
        self, items: Int[Tensor, "B L"], mask: Bool[Tensor, "B L"], hidden: Bool[Tensor, "B L"]
    ) -> Float[Tensor, "B L D"]:
        """The state at every event, made of all of the row, with some items hidden."""
        events = torch.where(hidden.unsqueeze(-1), self.hidden, self.events(items, mask))
        out: Tensor = self.network(self.placed(events), mask)
        return out

    def _associated(self, items: Int[Tensor, " P"]) -> Float[Tensor, ""]:
        each: Tensor = items.unique()  # type: ignore[no-untyped-call]
        vectors = self.vectors_of(each) * math.sqrt(self.config.width)
        return self._telling("associated", vectors, each)

    def _masked(
        self, items: Int[Tensor, "B L"], mask: Bool[Tensor, "B L"], hidden: Bool[Tensor, "B L"]
    ) -> dict[str, Float[Tensor, ""]]:
        states, targets = self._around(items, mask, hidden)[hidden], items[hidden]
        return {
            "item": self.config.item_weight * self.softmax(self.tasks["item"](states), targets),
            "attribute": self.config.attribute_weight * self._telling("attribute", states, targets),
        }

    def _segment(
        self,
        items: Int[Tensor, "B L"],
        mask: Bool[Tensor, "B L"],
        gone: Bool[Tensor, "B L"],
        users: Int[Tensor, " B"] | None,
    ) -> Float[Tensor, ""]:
        both = self._around(items.repeat(2, 1), mask.repeat(2, 1), torch.cat((gone, ~gone)))
        last = (mask.sum(1) - 1).repeat(2)
        context, alone = both[torch.arange(len(both), device=last.device), last].chunk(2)
        asked = self.tasks["segment"](context) / math.sqrt(self.config.width)
        own = torch.arange(len(items), device=items.device) if users is None else users
        return matched_softmax(asked, alone, own.unsqueeze(1) == own)

    def _telling(self, task: str, vectors: Float[Tensor, "P D"], items: Int[Tensor, " P"]) -> Float[Tensor, ""]:
        """How badly vectors tell the attributes of their items from all others; 0 where there is none to tell."""
        owned = self.owned[items]
        owner, place = (owned < self.attributes.num_embeddings).nonzero(as_tuple=True)
        if not len(owner):
            return vectors.sum() * 0.0
        scores = (self.tasks[task](vectors) @ self.attributes.weight.T).float()
        right = torch.zeros_like(scores, dtype=torch.bool)
        right[owner, owned[owner, place]] = True
        wrong = scores.masked_fill(right, _NEVER).logsumexp(1)
        hits = scores[owner, owned[owner, place]]
        return functional.softplus(wrong[owner] - hits).mean()


def owned_attributes(described: tuple[tuple[str, ...], ...], most: int) -> tuple[Int[Tensor, "N _most"], int]:
    """Returns the numbers of every item's attributes, filled up with the number of attributes, and that number.

    Args:
        described: Tokens of every item; one that is given twice counts once.
        most: Attributes that get a number, the most frequent first, of those that two items or more have.
    """
    tokens = [sorted(set(own)) for own in described]
    frequent = [(token, n) for token, n in Counter(chain.from_iterable(tokens)).items() if n > 1]
    known = sorted(frequent, key=lambda pair: (-pair[1], pair[0]))[:most]
    numbers = {token: n for n, (token, _) in enumerate(known)}
    rows = [[numbers[token] for token in own if token in numbers] for own in tokens]
    longest = max((len(row) for row in rows), default=0)
    filled = [row + [len(numbers)] * (longest - len(row)) for row in rows]
    return torch.tensor(filled, dtype=torch.long).view(len(rows), longest), len(numbers)


def _whole(batch: Batch) -> tuple[Int[Tensor, "B L_plus_1"], Bool[Tensor, "B L_plus_1"]]:
    """The inputs of every window and, behind them, its last target."""
    targets, asked = asked_of(batch)
    items, mask = functional.pad(batch.items, (0, 1)), functional.pad(batch.mask, (0, 1))
    rows, end = torch.arange(len(items), device=items.device), batch.lengths()
    last = (end - 1).clamp(min=0)
    items[rows, end], mask[rows, end] = targets[rows, last], asked[rows, last]
    return items, mask


def beginning(mask: Bool[Tensor, "B L"], share: float) -> tuple[Bool[Tensor, "B L"], Bool[Tensor, "B L"]]:
    """Returns a beginning of every row, its length by chance, and what of it is hidden: the last event and a share."""
    count = mask.sum(1, keepdim=True)
    chance = torch.rand((len(mask), 1 + mask.shape[1]), device=mask.device)
    last = (chance[:, :1] * count).long().clamp(max=(count - 1).clamp(min=0))
    place = torch.arange(mask.shape[1], device=mask.device)
    kept = (place <= last) & mask
    return kept, kept & ((chance[:, 1:] < share) | (place == last))


def stretch(mask: Bool[Tensor, "B L"]) -> Bool[Tensor, "B L"]:
    """True at one stretch of every row, of at least one event and at most half of them; place and length by chance."""
    count = mask.sum(1)
    chance = torch.rand(2, len(mask), device=mask.device)
    length = 1 + (chance[0] * (count // 2)).long().clamp(max=(count // 2 - 1).clamp(min=0))
    start = (chance[1] * (count - length + 1)).long()
    place = torch.arange(mask.shape[1], device=mask.device)
    return (place >= start.unsqueeze(1)) & (place < (start + length).unsqueeze(1)) & mask
