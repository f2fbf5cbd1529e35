"""What LLaRA and iLoRA share: prompts in which every item's text is followed by what a SASRec knows of the item."""

from dataclasses import replace

import torch
from jaxtyping import Bool, Float
from pydantic import Field, model_validator
from torch import Tensor, nn

from l2rec.models._settings import refuse_uneven_heads
from l2rec.models._space import Choices, Range, Space
from l2rec.models.ids import sasrec
from l2rec.models.llm._reading import Reading, ReadingSettings
from l2rec.nn import prompts, views
from l2rec.nn.network import Before, Network, Plan
from l2rec.nn.router import Pools
from l2rec.types import Batch, Items, Loss


class HybridSettings(ReadingSettings):
    """The settings that both have."""

    width: int = Field(default=128, ge=1)
    """Width of the SASRec and of its item vectors."""
    layers: int = Field(default=2, ge=0)
    """Layers of the SASRec."""
    heads: int = Field(default=2, ge=1)
    """Attention heads of a layer of the SASRec; they divide the width."""
    id_model_dropout: float = Field(default=0.5, ge=0, lt=1)
    """Dropout inside the SASRec."""
    preparation: int = Field(default=8, ge=0)
    """First epochs, in which the SASRec learns alone; then it is frozen. 0 lets it learn with the language model."""
    curriculum: int = Field(default=0, ge=0)
    """Later steps over which the share of hybrid prompts rises from none to all; 0 has none but hybrid ones."""

    @model_validator(mode="after")
    def _heads_divide_the_width(self) -> "HybridSettings":
        refuse_uneven_heads(self.width, self.heads)
        return self

    def with_experts(self, pools: Pools, scale: float, signals: tuple[str, ...]) -> Plan:
        """Returns the shape of a network that reads hybrid prompts.

        Args:
            pools: Experts of a block.
            scale: Factor of their correction.
            signals: What decides on them.
        """
        return Plan(
            pools=pools,
            targets=self.targets,
            scale=scale,
            signals=signals,
            router_width=1,
            projector_width=self.projector_width,
            views="both",
            inject=True,
            fusion="mean",
            dropout=self.dropout,
            id_dropout=self.id_dropout,
            temperature=self.temperature,
        )


HYBRID_SPACE: Space = {
    "model.dropout": Range(low=0.1, high=0.6),
    "model.id_dropout": Range(low=0, high=0.6),
    "model.id_model_dropout": Range(low=0.1, high=0.7),
    "model.smoothing": Range(low=0, high=0.4),
    "training.turned": Range(low=0, high=0.5),
    "training.batch_size": Choices(choices=(64, 128)),
    "training.learning_rate": Range(low=7e-4, high=6e-3, log=True),
    "training.weight_decay": Range(low=0.001, high=3, log=True),
}
"""What a search may try for both, beside the size of the LoRA."""


class HybridNetwork(Network):
    """A network with one view: text in which the separator behind an item gives way to the item's behavioural vector.

    Attributes:
        known: The SASRec whose item vectors stand in the prompts.
        learns: Whether it learns with the rest.
        rise: Takes its item vectors to the backbone's width, before the projector.
        heard: Takes its states there, where somebody listens.
        share: Probability that a row is hybrid in training; other rows keep their separators and so are text alone.
    """

    known: sasrec.Model
    rise: nn.Linear
    heard: nn.Linear | None
    learns: bool
    share: float = 1.0

    def take(self, known: sasrec.Model, *, learns: bool, listens: bool) -> None:
        """Puts the SASRec in.

        Args:
            known: The SASRec.
            learns: Whether it learns with the rest.
            listens: Whether its states are what the routers hear of a user.
        """
        width, device = self.tower.ids.embedding_dim, self.tower.text.device
        self.known, self.learns = known.to(device), learns
        self.rise = nn.Linear(known.items.embedding_dim, width, bias=False, device=device)
        self.heard = nn.Linear(known.items.embedding_dim, width, bias=False, device=device) if listens else None

    def rows(
        self, batch: Batch, tokens: prompts.Tokens, before: Before | None = None
    ) -> tuple[views.Rows, Float[Tensor, "B L D"]]:
        """See the base class; what came before cannot be left out, as the SASRec would have to read it again.

        Raises:
            ValueError: something came before.
        """
        if before is not None:
            raise ValueError("before: a hybrid prompt is read from its start. Pass None and whole histories.")
        known = self.known_part(batch)
        prompt = prompts.lay_out(tokens, batch.items, batch.mask)
        words = self.reader.backbone.token_embedding(prompt.ids).float()
        shown = self.projector(self.rise(self.vectors(known)))
        if self.training and self.share < 1:
            ends = words.gather(1, prompt.last.unsqueeze(-1).expand_as(shown))
            shown = torch.where(self._hybrid(len(batch), ends.device).view(-1, 1, 1), shown, ends)
        state = self.states(known, batch.attributes)
        return views.semantic_rows(words, prompt, state, shown), state

    def known_part(self, batch: Batch) -> Batch:
        """Returns the batch as the SASRec may see it: an item that was never trained is no item, in its own place."""
        there = batch.mask & self.tower.trained[batch.items]
        return replace(batch, items=batch.items.clamp(max=self.known.items.num_embeddings - 1), mask=there)

    def vectors(self, known: Batch) -> Float[Tensor, "B L W"]:
        """Returns what the SASRec has learnt of each item by itself; zeros where it knows none."""
        vectors = self.known.events(known.items, known.mask)
        return vectors if self.learns else vectors.detach()

    def states(self, known: Batch, attributes: Float[Tensor, "B A"]) -> Float[Tensor, "B L D"]:
        """Returns what the routers hear: the SASRec's state after every item, and who the user is; zeros if nothing."""
        if self.heard is None:
            return self.rise.weight.new_zeros(*known.items.shape, self.rise.out_features)
        states = self.known.states(known)
        heard: Tensor = self.heard(states if self.learns else states.detach()).float()  # the routers are not autocast
        return heard if self.people is None else heard + self.people(attributes).unsqueeze(1)

    def _hybrid(self, count: int, device: torch.device) -> Bool[Tensor, " B"]:
        return torch.rand(count, device=device) < self.share


class Hybrid(Reading):
    """A retriever that reads hybrid prompts; its first epochs prepare the SASRec behind them.

    Attributes:
        preparing: Whether the SASRec learns now.
        steps: Steps that were taken since.
    """

    network: HybridNetwork

    def __init__(self, config: HybridSettings, items: Items, attributes: int = 0, *, listens: bool) -> None:
        """Builds both models.

        Args:
            config: The model's own `Config`.
            items: The catalogue.
            attributes: See the base class.
            listens: Whether the SASRec's states are what the routers hear of a user.
        """
        super().__init__(config, items, attributes)
        self.config = config
        self.preparation = config.preparation
        own = sasrec.Config(
            history=config.history,
            width=config.width,
            layers=config.layers,
            heads=config.heads,
            dropout=config.id_model_dropout,
            smoothing=config.smoothing,
        )
        self.network.take(sasrec.Model(own, items), learns=not config.preparation, listens=listens)
        self.register_buffer("preparing", torch.zeros((), dtype=torch.bool))
        self.preparing: Tensor
        self.register_buffer("steps", torch.zeros((), dtype=torch.long))
        self.steps: Tensor

    def network_kind(self) -> type[Network]:
        """See the base class."""
        return HybridNetwork

    def begin(self, epoch: int) -> None:
        """See the base class; the first epochs are the SASRec's."""
        self.preparing.fill_(epoch < self.preparation)

    def loss(self, batch: Batch) -> Loss:
        """Returns the cross-entropy of the next item at every position that counts; the SASRec's while it learns alone.

        Raises:
            ValueError: the batch has no targets.
        """
        known = self.network.known
        known.train(self.training and (bool(self.preparing) or self.network.learns))
        if self.preparing:
            return known.loss(batch)
        if batch.targets is None or batch.target_mask is None:
            raise ValueError("a training batch has targets")
        self.steps += 1
        self.network.share = int(self.steps) / self.config.curriculum if self.config.curriculum else 1.0
        rows, state = self.network.rows(batch, self.tokens.to(batch.items.device))
        at = batch.target_mask
        projected = self.network.views(rows, state, at)
        total = self.retrieval(self.network.fuse(projected, state[at]), self.item_vectors(), batch.targets[at])
        return Loss(total, {"retrieval": float(total.detach())}, int(at.sum()))
