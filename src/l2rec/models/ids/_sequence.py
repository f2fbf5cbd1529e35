"""What the models of this room share: one table of item vectors that is read and asked, and a softmax over it."""

import math
from abc import abstractmethod
from typing import Literal

import torch
from jaxtyping import Bool, Float, Int
from pydantic import Field, model_validator
from torch import Tensor, nn

from l2rec.models._base import Retriever
from l2rec.models._settings import refuse_uneven_heads
from l2rec.models._space import Choices, Range, Space
from l2rec.models._third import ThirdSettings, add_third
from l2rec.nn.losses import full_softmax, sampled_softmax
from l2rec.nn.transformer import Dropout
from l2rec.nn.words import WordBag, bags_of
from l2rec.types import Batch, Items, Loss

_SPREAD = 0.02
"""Standard deviation of the first values of item and word vectors."""


class SequenceSettings(ThirdSettings):
    """The settings that all of them have."""

    width: int = Field(default=128, ge=1)
    """Width of item vectors and of the network."""
    layers: int = Field(default=2, ge=0)
    """Layers of the network."""
    dropout: float = Field(default=0.4, ge=0, lt=1)
    """Dropout on input vectors and inside the network."""
    words: bool = False
    """Whether every word and attribute that items share has a learned vector, which counts in their item vectors."""
    loss: Literal["full", "sampled"] = "full"
    """Softmax over the whole catalogue, or over the target and sampled negatives."""
    smoothing: float = Field(default=0.1, ge=0, lt=1)
    """Label smoothing of the full softmax."""
    negatives: int = Field(default=1024, ge=1)
    """Negatives that the sampled softmax draws for each batch."""
    draw: Literal["uniform", "popularity"] = "uniform"
    """How they are drawn: every item alike, or in proportion to its training events plus one."""


class HeadSettings(SequenceSettings):
    """The settings of those that attend."""

    heads: int = Field(default=2, ge=1)
    """Attention heads of a layer; they divide the width."""

    @model_validator(mode="after")
    def _heads_divide_the_width(self) -> "HeadSettings":
        refuse_uneven_heads(self.width, self.heads)
        return self


HEAD_SPACE: Space = {
    "model.width": Choices(choices=(64, 128, 256)),
    "model.layers": Range(low=1, high=3),
    "model.heads": Choices(choices=(1, 2, 4)),
    "model.dropout": Range(low=0.1, high=0.7),
    "model.smoothing": Range(low=0, high=0.4),
    "training.turned": Range(low=0, high=0.5),
    "training.batch_size": Choices(choices=(64, 128, 256)),
    "training.learning_rate": Range(low=2e-4, high=5e-3, log=True),
    "training.weight_decay": Range(low=0.01, high=5, log=True),
}
"""What a search may try for those that attend; a model lays its own over it."""
SEQUENCE_SPACE: Space = {name: values for name, values in HEAD_SPACE.items() if name != "model.heads"}
"""The same without heads."""


class SequenceModel(Retriever):
    """A retriever whose items are rows of one table, read scaled by the root of its width.

    The root brings small item vectors, which a softmax of dot products needs, to the size at which a network learns
    fast.
    """

    def __init__(
        self, config: SequenceSettings, items: Items, attributes: int = 0, *, places: int = 0, spread: float = 0.02
    ) -> None:
        """Builds the tables.

        Args:
            config: The model's own `Config`.
            items: The catalogue.
            attributes: See the base class.
            places: Positions that have a vector, counted from the oldest event that is read; 0 where the network needs
                none.
            spread: Standard deviation of their first values.
        """
        super().__init__(config, items, attributes)
        self.config = config
        self.items = nn.Embedding(len(items), config.width)
        self.positions = nn.Embedding(places, config.width) if places else None
        nn.init.normal_(self.items.weight, std=_SPREAD)
        size = _SPREAD * config.width**0.5
        self.words = WordBag(bags_of(items), items.counts > 0, config.width, size) if config.words else None
        if self.positions is not None:
            nn.init.normal_(self.positions.weight, std=spread)
        self.dropout = Dropout(config.dropout)
        weights = items.counts + 1 if config.draw == "popularity" else torch.ones_like(items.counts)
        self.register_buffer("weights", weights, persistent=False)
        self.weights: Int[Tensor, " N"]
        add_third(self, config, items)

    def item_vectors(self) -> Float[Tensor, "N D"]:
        """See the base class."""
        return self.items.weight if self.words is None else self.items.weight + self.words()

    def vectors_of(self, items: Int[Tensor, "*B"]) -> Float[Tensor, "*B D"]:
        """Returns those rows of `item_vectors`."""
        own: Tensor = self.items(items)
        return own if self.words is None else own + self.words(items.flatten()).view_as(own)

    def softmax(self, queries: Float[Tensor, "P D"], targets: Int[Tensor, " P"]) -> Float[Tensor, ""]:
        """Returns the mean cross-entropy that the settings ask for; see `nn.losses`."""
        vectors = self.item_vectors()
        if self.config.loss == "full":
            return full_softmax(queries, vectors, targets, smoothing=self.config.smoothing)
        return sampled_softmax(queries, vectors, targets, self.weights, self.config.negatives)

    def events(self, items: Int[Tensor, "B L"], mask: Bool[Tensor, "B L"]) -> Float[Tensor, "B L D"]:
        """Returns the scaled vector of every event; padding reads as an event of no item."""
        return self.vectors_of(items) * math.sqrt(self.config.width) * mask.unsqueeze(-1)

    def placed(
        self, events: Float[Tensor, "B L D"], place: Int[Tensor, "*B L"] | None = None
    ) -> Float[Tensor, "B L D"]:
        """Returns events with the vectors of their positions, where there are any, and with dropout in training.

        Args:
            events: See `events`.
            place: Their positions; counted from the oldest where None.
        """
        if self.positions is not None:
            place = torch.arange(events.shape[1], device=events.device) if place is None else place
            events = events + self.positions(place.clamp(0, self.positions.num_embeddings - 1))
        out: Tensor = self.dropout(events)
        return out


class CausalModel(SequenceModel):
    """One that reads from the oldest event to the newest and is asked at every event for the one that follows."""

    @abstractmethod
    def states(self, batch: Batch) -> Float[Tensor, "B L D"]:
        """Returns the state after every event, made of this event and those before it."""

    def loss(self, batch: Batch) -> Loss:
        """Returns the cross-entropy of the next item at every position that counts.

        Raises:
            ValueError: the batch has no targets.
        """
        targets, asked = asked_of(batch)
        total = self.softmax(self.states(batch)[asked], targets[asked])
        return Loss(total, {"retrieval": total.item()}, int(asked.sum()))

    def user_vectors(self, batch: Batch) -> Float[Tensor, "B D"]:
        """See the base class."""
        last = (batch.lengths() - 1).clamp(min=0)
        return self.states(batch)[torch.arange(len(batch), device=last.device), last]


def asked_of(batch: Batch) -> tuple[Int[Tensor, "B L"], Bool[Tensor, "B L"]]:
    """Returns the targets of a training batch, and where they count.

    Raises:
        ValueError: it has none.
    """
    if batch.targets is None or batch.target_mask is None:
        raise ValueError("a training batch has targets")
    return batch.targets, batch.target_mask
