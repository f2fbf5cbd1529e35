"""L2Rec: one frozen language model reads a history as text and as items; routed low-rank experts bend it for each."""

from typing import Literal

import torch
from jaxtyping import Float, Int
from pydantic import Field, model_validator
from torch import Tensor
from torch.nn import functional

from l2rec.errors import SettingError
from l2rec.models._base import TextReader
from l2rec.models._third import ThirdSettings, add_third
from l2rec.models.llm._resume import Resuming
from l2rec.nn import backbone as backbones
from l2rec.nn import bank, prompts, views
from l2rec.nn.fusion import bpc_loss
from l2rec.nn.losses import full_softmax, sampled_softmax
from l2rec.nn.network import Network, Plan
from l2rec.nn.readings import acf_readings, routing_readings
from l2rec.nn.router import Pools, balance_loss
from l2rec.types import Batch, Items, Loss


class Config(ThirdSettings):
    """Settings of L2Rec; the defaults are what validated best on amazon-scientific-2018 with MiniLM."""

    history: int = Field(default=20, ge=1, le=1000)
    """Items of a history that the model reads; older ones are cut off."""
    backbone: str = backbones.MINILM
    """Frozen language model: all-MiniLM-L6-v2, a local folder, or a name on the Hugging Face hub."""
    pretrained: bool = True
    """Whether the backbone's weights are loaded; without, they are random in the same shape."""
    dtype: Literal["bfloat16", "float32"] = "bfloat16"
    """Type of the frozen weights and of the arithmetic with them."""
    views: Literal["both", "semantic", "behavioural"] = "both"
    """Which views of the history are read."""
    fusion: Literal["acf", "mean", "gate-less"] = "acf"
    """How two views become one vector: a dynamic gate, one half each, or one learned gate for everybody."""
    integration: Literal["parameter", "input", "output"] = "parameter"
    """Where behaviour meets text: experts on shared weights, item vectors in the text, or two passes tied by a loss."""
    targets: Literal["ffn", "attention", "all"] = "ffn"
    """Matrices of a block that carry experts."""
    shared: int = Field(default=2, ge=0, le=64)
    """Shared experts, always on."""
    semantic: int = Field(default=4, ge=0, le=64)
    """Experts that the semantic view chooses from."""
    behavioural: int = Field(default=4, ge=0, le=64)
    """Experts that the behavioural view chooses from."""
    rank: int = Field(default=8, ge=1, le=256)
    """Rank of each expert."""
    top: int = Field(default=2, ge=1, le=64)
    """Routed experts that are on at a position."""
    scale: float = Field(default=2.0, gt=0)
    """Factor of the experts' correction."""
    signals: tuple[Literal["context", "user", "interaction"], ...] = ("context", "user", "interaction")
    """What a router reads; an empty list gives static gates, the same for every user."""
    router_width: int = Field(default=8, ge=1, le=1024)
    """Width of the router's interaction between context and user."""
    tokens_per_item: int = Field(default=8, ge=2, le=512)
    """Tokens of an item in the semantic view, its separator counted."""
    item_tokens: int = Field(default=64, ge=2, le=512)
    """Tokens of an item's text that its pooled vector is made of."""
    item_side: Literal["frozen", "adapted"] = "frozen"
    """Whether item texts are pooled by the frozen backbone or by the adapted one."""
    refresh_every: int = Field(default=200, ge=1)
    """Steps between two refreshes of the item texts' vectors, where the item side is adapted."""
    projector_width: int = Field(default=256, ge=1, le=8192)
    """Hidden width of the projector from item vectors to input positions."""
    dropout: float = Field(default=0.3, ge=0, lt=1)
    """Dropout on item vectors that go in and on view vectors that come out."""
    id_dropout: float = Field(default=0.15, ge=0, le=1)
    """Probability that an item is shown without its ID vector in a training step; 1 uses text alone."""
    negatives: int = Field(default=0, ge=0)
    """Sampled negatives of the softmax; 0 ranks the whole catalogue."""
    smoothing: float = Field(default=0.2, ge=0, lt=1)
    """Label smoothing of the softmax over the whole catalogue."""
    transition_weight: float = Field(default=16.0, ge=0)
    """Factor of the transition floor's score beside the model's own; 0 leaves this third signal out."""
    temperature: float = Field(default=0.07, gt=0)
    """Starting temperature of the cosine between user and item; learnt."""
    view_weight: float = Field(default=0.5, ge=0)
    """Weight of each view's own retrieval loss beside that of the fused vector."""
    bpc_weight: float = Field(default=0.05, ge=0)
    """Weight of the bidirectional preference contrastive loss; 0 switches it off."""
    bpc_temperature: float = Field(default=0.1, gt=0)
    """Temperature of that loss."""
    balance_weight: float = Field(default=0.01, ge=0)
    """Weight of the load-balancing loss; 0 switches it off."""

    @model_validator(mode="after")
    def _consistent(self) -> "Config":
        if self.integration != "parameter" and self.views != "both":
            raise ValueError(f'integration "{self.integration}" needs both views. Set views = "both"')
        return self

    def plan(self) -> Plan:
        """Returns the shape of the network; the controls of the claim keep the same number of ranks."""
        total = self.shared + self.semantic + self.behavioural
        pools, signals, fusion = (self.shared, self.semantic, self.behavioural), self.signals, self.fusion
        top, half = self.top, max(total // 2, 1)
        if self.integration == "input":
            pools, signals = (total, 0, 0), ()
        if self.integration == "output":
            pools, signals, fusion, top = (0, half, max(total - half, 1)), (), "mean", total
        return Plan(
            pools=Pools(*pools, self.rank, top),
            targets=self.targets,
            scale=self.scale,
            signals=signals,
            router_width=self.router_width,
            projector_width=self.projector_width,
            views=self.views,
            inject=self.integration == "input",
            fusion=fusion,
            dropout=self.dropout,
            id_dropout=self.id_dropout,
            temperature=self.temperature,
        )


class Model(Resuming, TextReader):
    """The dual-view recommender."""

    def __init__(self, config: Config, items: Items, attributes: int = 0) -> None:
        """Loads the backbone, pools the catalogue's texts and puts the experts in. See the base class."""
        super().__init__(config, items, attributes)
        self.config = config
        dtype = torch.bfloat16 if config.dtype == "bfloat16" else torch.float32
        frozen = backbones.load(config.backbone, pretrained=config.pretrained, dtype=dtype)
        _refuse_long_histories(config, frozen.limit)
        self.tokenizer = backbones.tokenizer(config.backbone)
        self.tokens = prompts.tokenize(self.tokenizer, items.texts, config.tokens_per_item)
        self.texts = prompts.tokenize(self.tokenizer, items.texts, config.item_tokens)
        identity = [backbones.fingerprint(config.backbone), config.dtype] if config.pretrained else None
        text = bank.text_vectors(frozen, self.texts, identity)
        self.network = Network(config.plan(), frozen, bank.centred(text, text.mean(0)), items.counts > 0, attributes)
        self.register_buffer("counts", items.counts.float(), persistent=False)
        self.counts: Tensor
        self.register_buffer("steps", torch.zeros((), dtype=torch.long))
        self.steps: Tensor
        adapted = self.network.tower.text.clone() if config.item_side == "adapted" else torch.zeros(0)
        self.register_buffer("adapted_text", adapted)
        self.adapted_text: Tensor
        words = self.tokens.lengths if config.views != "behavioural" else torch.zeros_like(self.tokens.lengths)
        self.token_counts = words + int(config.views != "semantic" and config.integration != "input")
        add_third(self, config, items)

    def loss(self, batch: Batch) -> Loss:
        """Returns retrieval + view retrieval + BPC + balance (specification of L2Rec's objective)."""
        assert batch.targets is not None
        assert batch.target_mask is not None
        if self.config.item_side == "adapted" and int(self.steps) % self.config.refresh_every == 0:
            self._refresh()
        self.steps += 1
        tokens = self.tokens.to(batch.items.device)
        rows, state = self.network.rows(batch, tokens)
        at = batch.target_mask
        projected = self.network.project([h[at] for h in self.network.read(rows)])
        targets, owners = batch.targets[at], _owners(batch).unsqueeze(1).expand_as(at)[at]
        items = self.item_vectors()
        parts = {"balance": self.config.balance_weight * self._balance(rows)}
        if self.config.integration != "output":
            parts["retrieval"] = self._retrieval(self.network.fuse(projected, state[at]), items, targets)
        if len(projected) == 2:
            parts |= self._view_losses(projected, items, targets, owners)
        if int(self.steps) % 10 == 1:
            self.readings = routing_readings(self.network.reader.choices, rows)
            if len(projected) == 2:
                share = self.network.fusion.share(projected[0], projected[1], state[at]).detach().mean(-1)
                self.readings |= acf_readings(share, batch.mask.cumsum(1)[at])
        total = torch.stack(list(parts.values())).sum()
        return Loss(total, {name: float(part.detach()) for name, part in parts.items()}, len(targets))

    def user_vectors(self, batch: Batch) -> Float[Tensor, "B D"]:
        """See the base class; an empty history gets the direction of the average event."""
        rows, state = self.network.rows(batch, self.tokens.to(batch.items.device))
        last = (batch.lengths() - 1).clamp(min=0).view(-1, 1, 1).expand(-1, 1, state.shape[-1])
        projected = self.network.project([h.gather(1, last).squeeze(1) for h in self.network.read(rows)])
        fused = self.network.fuse(projected, state.gather(1, last).squeeze(1))
        vectors, known = self._scaled(fused), batch.mask.any(1, keepdim=True)
        if bool(known.all()):
            return vectors
        crowd = functional.normalize(self.counts @ self.item_vectors(), dim=-1)
        return torch.where(known, vectors, crowd / self.network.temperature())

    def item_vectors(self) -> Float[Tensor, "N D"]:
        """See the base class; every vector has length one."""
        return functional.normalize(self.network.tower(), dim=-1)

    def text_vectors(self, texts: tuple[str, ...]) -> Float[Tensor, "B D"]:
        """See the base class; the text is read by the semantic view as if it were an item just taken.

        Raises:
            SettingError: the model was trained without a semantic view.
        """
        if self.config.views == "behavioural":
            raise SettingError('model.views: "behavioural": cannot read text. Train with views = "both" or "semantic"')
        device = self.counts.device
        tokens = prompts.tokenize(self.tokenizer, texts, self.config.item_tokens).to(device)
        events = torch.arange(len(texts), device=device).unsqueeze(1)
        prompt = prompts.lay_out(tokens, events, torch.ones_like(events, dtype=torch.bool))
        words = self.network.reader.backbone.token_embedding(prompt.ids).float()
        state = words.new_zeros(len(texts), 1, words.shape[-1])
        hidden = self.network.read(views.semantic_rows(words, prompt, state, None))
        return self._scaled(self.network.project([hidden[0].squeeze(1)])[0])

    def load_state(self, state: dict[str, Tensor]) -> None:
        """See the base class."""
        super().load_state(state)
        if self.config.item_side == "adapted":
            self.network.tower.text.copy_(self.adapted_text)

    def _scaled(self, vectors: Float[Tensor, "P D"]) -> Float[Tensor, "P D"]:
        scaled: Tensor = functional.normalize(vectors, dim=-1) / self.network.temperature()
        return scaled

    def _retrieval(
        self, vectors: Float[Tensor, "P D"], items: Float[Tensor, "N D"], targets: Int[Tensor, " P"]
    ) -> Float[Tensor, ""]:
        queries = self._scaled(vectors)
        if not self.config.negatives:
            return full_softmax(queries, items, targets, smoothing=self.config.smoothing)
        return sampled_softmax(queries, items, targets, self.counts, self.config.negatives)

    def _view_losses(
        self,
        projected: list[Tensor],
        items: Float[Tensor, "N D"],
        targets: Int[Tensor, " P"],
        owners: Int[Tensor, " P"],
    ) -> dict[str, Tensor]:
        config, parts = self.config, {}
        weight = 1.0 if config.integration == "output" else config.view_weight
        if weight:
            own = [self._retrieval(vectors, items, targets) for vectors in projected]
            parts["view_retrieval"] = weight * torch.stack(own).mean()
        if config.bpc_weight:
            parts["bpc"] = config.bpc_weight * bpc_loss(projected[0], projected[1], owners, config.bpc_temperature)
        return parts

    def _balance(self, rows: views.Rows) -> Float[Tensor, ""]:
        terms = [
            balance_loss(choice, rows.mask[:, part])
            for pair in self.network.reader.choices
            for choice, part in zip(pair, rows.layout.slices, strict=True)
            if choice is not None
        ]
        return torch.stack(terms).mean() if terms else rows.embeddings.new_zeros(())

    @torch.no_grad()
    def _refresh(self) -> None:
        """Pools all item texts anew, targets and negatives alike, so that freshness tells nothing."""
        was_training = self.network.training
        self.network.eval()
        pooled = self.network.adapted_pool(self.texts)
        text = bank.centred(pooled, pooled.mean(0))
        self.network.train(was_training)
        self.network.tower.text.copy_(text)
        self.adapted_text.copy_(text)


def _owners(batch: Batch) -> Int[Tensor, " B"]:
    """The user of every row; a long history gives several windows, and each sees the user that it belongs to."""
    return torch.arange(len(batch), device=batch.items.device) if batch.users is None else batch.users


def _refuse_long_histories(config: Config, limit: int | None) -> None:
    longest = config.history * (config.tokens_per_item if config.views != "behavioural" else 1) + 1
    if limit is not None and longest > limit:
        raise SettingError(
            f"model.history: {config.history} items of {config.tokens_per_item} tokens: up to {longest} positions, and "
            f"{config.backbone} has {limit}. Lower model.history or model.tokens_per_item, or use another backbone."
        )
