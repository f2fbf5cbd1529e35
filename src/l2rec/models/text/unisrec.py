"""UniSRec: a Transformer over frozen text vectors that a mixture of experts has whitened, prepared by contrast."""

from collections.abc import Sequence
from typing import Literal

import torch
from jaxtyping import Bool, Float, Int, Shaped
from pydantic import Field, model_validator
from torch import Tensor, nn
from torch.nn import functional

from l2rec.models._base import Growing, Retriever, TextReader
from l2rec.models._settings import FrozenSettings, refuse_uneven_heads
from l2rec.models._space import Choices, Range, Space
from l2rec.models._third import add_third
from l2rec.nn import arithmetic, bank, prompts
from l2rec.nn import backbone as backbones
from l2rec.nn.losses import full_softmax, matched_softmax
from l2rec.nn.room import Room
from l2rec.nn.transformer import Dropout, Transformer
from l2rec.nn.unit import unit
from l2rec.nn.whitening import Whitening
from l2rec.types import Batch, Items, Loss


class Config(FrozenSettings):
    """Settings of UniSRec; shares, weights and temperature are those of the authors."""

    item_tokens: int = Field(default=64, ge=2, le=512)
    """Tokens of an item's text that its pooled vector is made of."""
    items: Literal["transductive", "inductive"] = "transductive"
    """What an item is after the preparation: its text and a learned ID vector, or its text alone."""
    experts: int = Field(default=8, ge=1, le=256)
    """Experts that whiten text vectors."""
    expert_dropout: float = Field(default=0.2, ge=0, lt=1)
    """Dropout on the text vectors that they take."""
    width: int = Field(default=300, ge=1)
    """Width of item vectors and of the network."""
    layers: int = Field(default=2, ge=0)
    """Transformer blocks."""
    heads: int = Field(default=2, ge=1)
    """Attention heads of a block; they divide the width."""
    inner: int = Field(default=256, ge=1)
    """Hidden width of the feed-forward half of a block."""
    dropout: float = Field(default=0.5, ge=0, lt=1)
    """Dropout on input vectors and on what each half of a block adds."""
    temperature: float = Field(default=0.07, gt=0)
    """Temperature of the cosine between user and item, and between sequences."""
    smoothing: float = Field(default=0.1, ge=0, lt=1)
    """Label smoothing of the softmax over the whole catalogue; ours."""
    preparation: int = Field(default=5, ge=0)
    """First epochs, on text alone and by contrast; the others are on the softmax over the whole catalogue."""
    sequence_weight: float = Field(default=1e-3, ge=0)
    """Weight of the contrast between a sequence and its altered copy, beside that between a sequence and its item."""
    dropped: float = Field(default=0.2, ge=0, lt=1)
    """Probability that an event is dropped from the copy, or a word from its text."""
    item_drop_share: float = Field(default=0.9, ge=0, le=1)
    """Share of the copies that lose events; the others lose words in that share of their events."""

    @model_validator(mode="after")
    def _heads_divide_the_width(self) -> "Config":
        refuse_uneven_heads(self.width, self.heads)
        return self


SPACE: Space = {
    "model.width": Choices(choices=(64, 128, 300)),
    "model.layers": Range(low=1, high=3),
    "model.heads": Choices(choices=(1, 2, 4)),
    "model.dropout": Range(low=0.1, high=0.7),
    "model.smoothing": Range(low=0, high=0.4),
    "model.preparation": Choices(choices=(0, 1, 3, 5)),
    "model.temperature": Range(low=0.03, high=0.2, log=True),
    "training.turned": Range(low=0, high=0.5),
    "training.batch_size": Choices(choices=(64, 128, 256)),
    "training.learning_rate": Range(low=2e-4, high=5e-3, log=True),
    "training.weight_decay": Range(low=0.01, high=5, log=True),
}


class Model(Retriever, TextReader, Growing):
    """Universal sequence representation learning (Hou et al. 2022).

    With x the frozen text vector of an item, w the whitening of `nn/whitening.py`, p the positions and f a causal
    Transformer: `v = w(x)`, `u_t = f(LN(v_1 + p_1), ..., LN(v_t + p_t))_t`, `score(j) = cos(u_t, v_j) / tau`. The
    preparation minimises `-log exp(cos(u_t, v) / tau) / sum exp(cos(u_t, v') / tau)` over the v' that are next in the
    batch, and with a small weight the same between u and the last state of an altered copy of its sequence; what has
    the same next item is no negative. Then `v = w(x) + id` (transductive; untrained items have no id) or `v = w(x)`
    (inductive), with the softmax over the whole catalogue. The comparison is with models that have an id for each item,
    so transductive is the default; inductive is the row for new items.

    Deviations: the text vector is the mean of the backbone's last states, as in L2Rec, not [CLS]; every b of the
    whitening starts at the catalogue's mean; it prepares on the data that it then learns, having no other domain,
    in batches of the run's size, and so nothing of the network is frozen afterwards; every position is asked, the copy
    only at the last one, so a user's own other items of the batch are negatives of each other, about one in eighty; one
    draw of gate noise and dropout serves histories and what is next; ids start at zero; MiniLM is in place of BERT;
    blocks have the norm before each half and a last one, and dropout none on attention; which words a text loses is
    drawn once. Each stage has its own course of the learning rate.
    """

    def __init__(self, config: Config, items: Items, attributes: int = 0) -> None:
        """Loads the backbone and pools the catalogue's texts. See the base class."""
        config = config.model_copy(update={"dtype": arithmetic.dtype_of(config.dtype)})
        super().__init__(config, items, attributes)
        self.config, self.preparation = config, config.preparation
        dtype = arithmetic.torch_dtype(config.dtype)
        self.backbone = backbones.load(config.backbone, pretrained=config.pretrained, dtype=dtype)
        self.tokenizer = backbones.tokenizer(config.backbone)
        self._identity = [backbones.fingerprint(config.backbone), config.dtype] if config.pretrained else None
        self.register_buffer("text", self._pooled(items.texts, self._identity), persistent=False)
        self.text: Tensor
        self.register_buffer("trained", items.counts > 0, persistent=False)
        self.trained: Tensor
        self.register_buffer("preparing", torch.zeros((), dtype=torch.bool))
        self.preparing: Tensor
        self.whitening = Whitening(self.text.mean(0), config.width, config.experts, config.expert_dropout)
        self.ids = nn.Embedding(len(items), config.width) if config.items == "transductive" else None
        self.positions = nn.Embedding(config.history, config.width)
        nn.init.normal_(self.positions.weight, std=0.02)
        if self.ids is not None:
            nn.init.zeros_(self.ids.weight)
        self.norm, self.dropout = nn.LayerNorm(config.width), Dropout(config.dropout)
        self.network = Transformer(config.width, config.layers, config.heads, config.inner, config.dropout)
        self._texts, self._room = items.texts, Room()
        self._worn: Tensor | None = None
        add_third(self, config, items)

    def begin(self, epoch: int) -> None:
        """See the base class; the first epochs prepare."""
        self.preparing.fill_(epoch < self.preparation)

    def loss(self, batch: Batch) -> Loss:
        """Returns the cross-entropy of the next item, or the contrasts while the model prepares.

        Raises:
            ValueError: the batch has no targets.
        """
        if batch.targets is None or batch.target_mask is None:
            raise ValueError("a training batch has targets")
        asked = batch.target_mask
        if self.preparing:
            parts = self._contrasts(batch, batch.targets, asked)
        else:
            vectors = self._vectors()
            queries = self._scaled(self._read(vectors[batch.items], batch.mask)[asked])
            items, smoothing = unit(vectors), self.config.smoothing
            parts = {"retrieval": full_softmax(queries, items, batch.targets[asked], smoothing=smoothing)}
        total = torch.stack(list(parts.values())).sum()
        return Loss(total, {name: float(part.detach()) for name, part in parts.items()}, int(asked.sum()))

    def user_vectors(self, batch: Batch) -> Float[Tensor, "B D"]:
        """See the base class."""
        vectors = self._vectors(batch.items.flatten()).view(*batch.items.shape, -1)
        return self._scaled(_last(self._read(vectors, batch.mask), batch.mask))

    def item_vectors(self) -> Float[Tensor, "N D"]:
        """See the base class."""
        return unit(self._vectors())

    def some_vectors(self, numbers: Int[Tensor, " P"]) -> Float[Tensor, "P D"]:
        """See the base class."""
        return unit(self._vectors(numbers.to(self.trained.device)))

    @torch.no_grad()
    def put_items(self, numbers: Sequence[int], items: Items) -> None:
        """See the base class."""
        if not len(items):
            return
        at = torch.tensor(numbers)
        self.text = self._room.put("text", self.text, at.to(self.text.device), self._pooled(items.texts))
        self.trained = functional.pad(self.trained, (0, len(self.text) - len(self.trained)))
        self.token_counts = self._room.put("counts", self.token_counts, at, torch.ones_like(at))
        self.item_count = len(self.token_counts)

    def text_vectors(self, texts: tuple[str, ...]) -> Float[Tensor, "B D"]:
        """See the base class; the text is read as if it were an item just taken."""
        vectors: Tensor = self.whitening(self._pooled(texts)).unsqueeze(1)
        mask = torch.ones(len(texts), 1, dtype=torch.bool, device=vectors.device)
        return self._scaled(self._read(vectors, mask).squeeze(1))

    def described(self, texts: tuple[str, ...]) -> Float[Tensor, "B D"]:
        """See the base class; the vector that an untrained item of this text would have."""
        return functional.normalize(self.whitening(self._pooled(texts)), dim=-1)

    def _pooled(self, texts: tuple[str, ...], identity: list[str] | None = None) -> Float[Tensor, "B Dt"]:
        """The frozen text vectors; from disk where `identity` tells whose they are."""
        tokens = prompts.tokenize(self.tokenizer, texts, self.config.item_tokens)
        return bank.text_vectors(self.backbone, tokens, identity)

    def _vectors(self, numbers: Int[Tensor, " P"] | None = None) -> Float[Tensor, "P D"]:
        """The vectors of some items, or of the whole catalogue; an item without a training event has no ID."""
        chosen = torch.arange(len(self.text), device=self.text.device) if numbers is None else numbers
        vectors: Tensor = self.whitening(self.text[chosen])
        if self.ids is None:
            return vectors
        ids: Tensor = self.ids(chosen.clamp(max=self.ids.num_embeddings - 1))
        return vectors + ids * self.trained[chosen].unsqueeze(-1)

    def _read(self, vectors: Float[Tensor, "B L D"], mask: Bool[Tensor, "B L"]) -> Float[Tensor, "B L D"]:
        """The state after every event; padding reads as an event of no item."""
        place = torch.arange(vectors.shape[1], device=vectors.device).clamp(max=self.config.history - 1)
        events = vectors * mask.unsqueeze(-1) + self.positions(place)
        out: Tensor = self.network(self.dropout(self.norm(events)))
        return out

    def _scaled(self, vectors: Float[Tensor, "P D"]) -> Float[Tensor, "P D"]:
        scaled: Tensor = functional.normalize(vectors, dim=-1) / self.config.temperature
        return scaled

    def _contrasts(
        self, batch: Batch, targets: Int[Tensor, "B L"], asked: Bool[Tensor, "B L"]
    ) -> dict[str, Float[Tensor, ""]]:
        """Sequence against item at every position that counts, and sequence against altered copy at the last."""
        shown = torch.cat((batch.items, targets), 1)
        each, where = shown.unique(return_inverse=True)  # type: ignore[no-untyped-call]
        vectors: Tensor = self.whitening(self.text[each])
        before, after = vectors[where].chunk(2, 1)
        states, nexts = self._read(before, batch.mask), targets[asked]
        items = functional.normalize(after[asked], dim=-1)
        found = matched_softmax(self._scaled(states[asked]), items, nexts.unsqueeze(1) == nexts)
        copied, mask = self._copied(before, batch.items, batch.mask)
        copies = functional.normalize(_last(self._read(copied, mask), mask), dim=-1)
        final = _last(targets.unsqueeze(-1), batch.mask)
        same = matched_softmax(self._scaled(_last(states, batch.mask)), copies, final == final.T)
        return {"items": found, "sequences": self.config.sequence_weight * same}

    def _copied(
        self, vectors: Float[Tensor, "B L D"], items: Int[Tensor, "B L"], mask: Bool[Tensor, "B L"]
    ) -> tuple[Float[Tensor, "B L D"], Bool[Tensor, "B L"]]:
        """Sequences that lost events, the first apart, or in which some texts lost words; moved up to the left."""
        lost = torch.rand(items.shape, device=items.device) < self.config.dropped
        by_events = torch.rand(len(items), 1, device=items.device) < self.config.item_drop_share
        kept = mask & ~(lost & by_events)
        kept[:, 0] = mask[:, 0]
        worn = lost & ~by_events & mask
        changed = vectors.clone()
        changed[worn] = self.whitening(self._worn_text()[items[worn]]).to(vectors.dtype)
        order = kept.int().argsort(stable=True, dim=1, descending=True)
        return changed.gather(1, order.unsqueeze(-1).expand_as(changed)), kept.gather(1, order)

    def _worn_text(self) -> Float[Tensor, "N Dt"]:
        """The text vectors of the catalogue when every text has lost some words; made when first asked for."""
        if self._worn is None:
            texts = without_words(self._texts, self.config.dropped)
            self._worn = self._pooled(texts, self._identity).to(self.text.device)
        return self._worn


def without_words(texts: tuple[str, ...], share: float) -> tuple[str, ...]:
    """Returns every text without some of its words, which are drawn alike every time; one word at least stays.

    Args:
        texts: Words with blanks between them.
        share: Probability that a word is left out.
    """
    chance = torch.Generator().manual_seed(0)
    found = []
    for text in texts:
        words = text.split(" ")
        kept = torch.rand(len(words), generator=chance) >= share
        found.append(" ".join(word for word, stays in zip(words, kept.tolist(), strict=True) if stays) or words[0])
    return tuple(found)


def _last(states: Shaped[Tensor, "B L D"], mask: Bool[Tensor, "B L"]) -> Shaped[Tensor, "B D"]:
    """What stands at the last event of every row; the first position of an empty one."""
    last = (mask.sum(1) - 1).clamp(min=0)
    return states[torch.arange(len(states), device=last.device), last]
