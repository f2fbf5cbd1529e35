"""LEARN: a causal Transformer over a frozen language model's vectors of items, asked for all that came later."""

from collections.abc import Sequence
from typing import Literal

import torch
from jaxtyping import Bool, Float, Int
from pydantic import Field, model_validator
from torch import Tensor, nn
from torch.nn import functional

from l2rec.models._base import Growing, Retriever, TextReader
from l2rec.models._settings import FrozenSettings, refuse_uneven_heads
from l2rec.models._space import Choices, Range, Space
from l2rec.models._third import add_third
from l2rec.nn import arithmetic, bank, prompts
from l2rec.nn import backbone as backbones
from l2rec.nn.dense import dense_sampled, dense_softmax, shares
from l2rec.nn.losses import draw
from l2rec.nn.room import Room
from l2rec.nn.transformer import Dropout, Transformer
from l2rec.types import Batch, Items, Loss


class Config(FrozenSettings):
    """Settings of LEARN."""

    item_tokens: int = Field(default=64, ge=2, le=512)
    """Tokens of an item's text that its content vector is made of."""
    item_tower: Literal["own", "shared"] = "own"
    """What turns content into the vector of an item that is asked for: a projection of its own, or the user tower,
    which reads the item as a history of one."""
    width: int = Field(default=384, ge=1)
    """Width of the vectors and of the preference tower."""
    layers: int = Field(default=2, ge=0)
    """Transformer blocks of the preference tower."""
    heads: int = Field(default=4, ge=1)
    """Attention heads of a block; they divide the width."""
    inner: int = Field(default=768, ge=1)
    """Hidden width of the projections and of the feed-forward half of a block."""
    dropout: float = Field(default=0.3, ge=0, lt=1)
    """Dropout on content vectors, on input vectors and inside the tower."""
    horizon: int = Field(default=10, ge=1)
    """Later items that every position is asked for, at most; 1 leaves the next one."""
    decay: float = Field(default=1.0, gt=0, le=1)
    """Weight of a later item against the one before it; 1 is the authors'."""
    negatives: int = Field(default=0, ge=0)
    """Negatives drawn for each batch, in proportion to training events plus one; 0 takes the whole catalogue."""
    smoothing: float = Field(default=0.1, ge=0, lt=1)
    """Label smoothing of the softmax over the whole catalogue."""
    temperature: float = Field(default=0.07, gt=0)
    """Temperature of the cosine between user and item."""

    @model_validator(mode="after")
    def _heads_divide_the_width(self) -> "Config":
        refuse_uneven_heads(self.width, self.heads)
        return self


SPACE: Space = {
    "model.item_tower": Choices(choices=("own", "shared")),
    "model.width": Choices(choices=(256, 384)),
    "model.layers": Range(low=1, high=3),
    "model.heads": Choices(choices=(1, 2, 4)),
    "model.inner": Choices(choices=(256, 768)),
    "model.dropout": Range(low=0.1, high=0.5),
    "model.horizon": Choices(choices=(1, 3, 10)),
    "model.decay": Range(low=0.3, high=1.0),
    "model.smoothing": Range(low=0, high=0.3),
    "model.temperature": Range(low=0.03, high=0.2, log=True),
    "training.turned": Range(low=0, high=0.5),
    "training.batch_size": Choices(choices=(64, 128, 256)),
    "training.learning_rate": Range(low=3e-4, high=3e-3, log=True),
    "training.weight_decay": Range(low=0.01, high=2, log=True),
}


class Projection(nn.Module):
    """Content to preference: a linear map that keeps cosines at first, and beside it a small network that bends it."""

    def __init__(self, content: int, inner: int, width: int, dropout: float) -> None:
        """Builds the maps.

        Args:
            content: Width Dt of the content vectors.
            inner: Hidden width of the network.
            width: Width D of the result.
            dropout: On the content vectors.
        """
        super().__init__()
        self.dropout = Dropout(dropout)
        self.turn = nn.Linear(content, width, bias=False)
        self.rise, self.fall = nn.Linear(content, inner), nn.Linear(inner, width)
        nn.init.orthogonal_(self.turn.weight)
        nn.init.zeros_(self.fall.weight)
        nn.init.zeros_(self.fall.bias)

    def forward(self, content: Float[Tensor, "P Dt"]) -> Float[Tensor, "P D"]:
        """Returns the vectors of items in the space of preferences."""
        x = self.dropout(content)
        out: Tensor = self.turn(x) + self.fall(functional.gelu(self.rise(x)))
        return out


class Model(Retriever, TextReader, Growing):
    """Knowledge adaptation from large language model to recommendation (Jia et al. 2024).

    Content extraction (CEX): x_j, the mean of the frozen language model's last states over the text of item j.
    Preference alignment (PAL): with projections P and Q and a causal Transformer f,

        u_i = f(LN(P x_1) + p_1, ..., LN(P x_i) + p_i)_i      v_j = Q x_j      score(j) = cos(u_i, v_j) / tau

    or, where the towers share their weights, v_j = f(LN(P x_j)), the item being a history of one. The dense all-action
    loss asks every position i for each later item t_j of its window, i <= j < i + horizon:

        mean_i sum_j s_ij (log(exp score_i(t_j) + sum_k exp score_i(k)) - score_i(t_j)),   s_ij ~ decay^(j - i)

    over negatives k that i's user did not take; or k runs over the whole catalogue and is not told from the targets.

    Deviations: a MiniLM reads the texts, not a model of seven billion weights; content vectors lose their common part.
    Histories are not cut in two: every position is history to what follows it, where the paper draws targets from the
    part behind the history. The loss is over the whole catalogue, with smoothing, while it fits (`negatives` draws them
    with logQ correction; the paper has those of the batch), and `decay` may favour what came soon. The tower is shallow
    and has the norm before each half. The industrial part, a head inside an online ranking model, is left out.
    """

    def __init__(self, config: Config, items: Items, attributes: int = 0) -> None:
        """Loads the backbone and pools the catalogue's texts. See the base class."""
        config = config.model_copy(update={"dtype": arithmetic.dtype_of(config.dtype)})
        super().__init__(config, items, attributes)
        self.config = config
        dtype = arithmetic.torch_dtype(config.dtype)
        self.backbone = backbones.load(config.backbone, pretrained=config.pretrained, dtype=dtype)
        self.tokenizer = backbones.tokenizer(config.backbone)
        pooled = self._pooled(
            items.texts, [backbones.fingerprint(config.backbone), config.dtype] if config.pretrained else None
        )
        self.register_buffer("mean", pooled.mean(0), persistent=False)
        self.mean: Tensor
        self.register_buffer("content", bank.centred(pooled, self.mean), persistent=False)
        self.content: Tensor
        self.register_buffer("counts", items.counts, persistent=False)
        self.counts: Tensor
        shape = (pooled.shape[1], config.inner, config.width, config.dropout)
        self.reading = Projection(*shape)
        self.asking = Projection(*shape) if config.item_tower == "own" else None
        self.positions = nn.Embedding(config.history, config.width)
        nn.init.normal_(self.positions.weight, std=0.02)
        self.norm, self.dropout = nn.LayerNorm(config.width), Dropout(config.dropout)
        self.network = Transformer(config.width, config.layers, config.heads, config.inner, config.dropout)
        self._room = Room()
        add_third(self, config, items)

    def loss(self, batch: Batch) -> Loss:
        """Returns the dense all-action loss.

        Raises:
            ValueError: the batch has no targets.
        """
        if batch.targets is None or batch.target_mask is None:
            raise ValueError("a training batch has targets")
        queries = self._scaled(self._read(self._events(batch), batch.mask))
        parts = shares(batch.target_mask, self.config.horizon, self.config.decay)
        items = self.item_vectors()
        if self.config.negatives:
            drawn = draw(self.counts + 1, self.config.negatives)
            total = dense_sampled(queries, items, batch.targets, parts, drawn)
        else:
            total = dense_softmax(queries, items, batch.targets, parts, smoothing=self.config.smoothing)
        return Loss(total, {"retrieval": float(total.detach())}, int(batch.target_mask.sum()))

    def user_vectors(self, batch: Batch) -> Float[Tensor, "B D"]:
        """See the base class."""
        last = (batch.lengths() - 1).clamp(min=0)
        states = self._read(self._events(batch), batch.mask)
        return self._scaled(states[torch.arange(len(batch), device=last.device), last])

    def item_vectors(self) -> Float[Tensor, "N D"]:
        """See the base class; every vector has length one."""
        return self._asked(self.content)

    def some_vectors(self, numbers: Int[Tensor, " P"]) -> Float[Tensor, "P D"]:
        """See the base class."""
        return self._asked(self.content[numbers.to(self.content.device)])

    @torch.no_grad()
    def put_items(self, numbers: Sequence[int], items: Items) -> None:
        """See the base class; a text is centred by the mean of the catalogue that the model was built with."""
        if not len(items):
            return
        at = torch.tensor(numbers)
        self.content = self._room.put("content", self.content, at.to(self.mean.device), self._said(items.texts))
        self.token_counts = self._room.put("counts", self.token_counts, at, torch.ones_like(at))
        self.item_count = len(self.token_counts)

    def text_vectors(self, texts: tuple[str, ...]) -> Float[Tensor, "B D"]:
        """See the base class; the text is read as if it were an item just taken."""
        vectors: Tensor = self.reading(self._said(texts)).unsqueeze(1)
        mask = torch.ones(len(texts), 1, dtype=torch.bool, device=vectors.device)
        return self._scaled(self._read(vectors, mask).squeeze(1))

    def described(self, texts: tuple[str, ...]) -> Float[Tensor, "B D"]:
        """See the base class; the vector that an item of this text would have."""
        return self._asked(self._said(texts))

    def _pooled(self, texts: tuple[str, ...], identity: list[str] | None = None) -> Float[Tensor, "B Dt"]:
        """What the frozen language model says; from disk where `identity` tells whose words they are."""
        tokens = prompts.tokenize(self.tokenizer, texts, self.config.item_tokens)
        return bank.text_vectors(self.backbone, tokens, identity)

    def _said(self, texts: tuple[str, ...]) -> Float[Tensor, "B Dt"]:
        return bank.centred(self._pooled(texts), self.mean)

    def _asked(self, content: Float[Tensor, "P Dt"]) -> Float[Tensor, "P D"]:
        """The vectors of items as answers."""
        if self.asking is not None:
            return functional.normalize(self.asking(content), dim=-1)
        alone = self.network(self.dropout(self.norm(self.reading(content))).unsqueeze(1))
        return functional.normalize(alone.squeeze(1), dim=-1)

    def _events(self, batch: Batch) -> Float[Tensor, "B L D"]:
        """The vector of every event as it is read."""
        vectors: Tensor = self.reading(self.content[batch.items.flatten()])
        return vectors.view(*batch.items.shape, -1)

    def _read(self, vectors: Float[Tensor, "B L D"], mask: Bool[Tensor, "B L"]) -> Float[Tensor, "B L D"]:
        """The state after every event; padding reads as an event of no item."""
        place = torch.arange(vectors.shape[1], device=vectors.device).clamp(max=self.config.history - 1)
        events = self.norm(vectors) * mask.unsqueeze(-1) + self.positions(place)
        out: Tensor = self.network(self.dropout(events))
        return out

    def _scaled(self, vectors: Float[Tensor, "P D"] | Float[Tensor, "B L D"]) -> Tensor:
        scaled: Tensor = functional.normalize(vectors, dim=-1) / self.config.temperature
        return scaled
