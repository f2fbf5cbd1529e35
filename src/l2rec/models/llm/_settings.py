"""The settings of L2Rec, and the shape of the network that they describe."""

from typing import Literal

from pydantic import Field, model_validator

from l2rec.models.llm._reading import ReadingSettings
from l2rec.nn.network import Plan
from l2rec.nn.router import Pools


class Config(ReadingSettings):
    """Settings of L2Rec; the defaults are the simplest that no other was shown to beat on amazon-scientific-2018."""

    views: Literal["both", "semantic", "behavioural"] = "behavioural"
    """Which views of the history are read; both take about four times as long as the behavioural one, and beside words
    and shortcut are not shown to help."""
    fusion: Literal["acf", "mean", "gate-less"] = "mean"
    """How two views become one vector: `acf`, a gate that reads views and user, as in the paper; `mean`, one half each;
    `gate-less`, one learned gate for everybody."""
    integration: Literal["parameter", "input", "output"] = "parameter"
    """Where behaviour meets text: experts on shared weights, item vectors in the text, or two passes tied by a loss."""
    shared: int = Field(default=2, ge=0, le=64)
    """Shared experts, always on."""
    semantic: int = Field(default=2, ge=0, le=64)
    """Experts of the semantic view; more than `top` are of use to a router that chooses among them (`signals`)."""
    behavioural: int = Field(default=2, ge=0, le=64)
    """Experts of the behavioural view, likewise."""
    rank: int = Field(default=8, ge=1, le=256)
    """Rank of each expert."""
    top: int = Field(default=2, ge=1, le=64)
    """Routed experts that are on at a position."""
    scale: float = Field(default=2.0, gt=0)
    """Factor of the experts' correction."""
    signals: tuple[Literal["context", "user", "interaction"], ...] = ()
    """What a router reads, any of context, user and interaction; with none the gates are the same for every user, and
    what a view has beyond `top` experts lies idle. The paper's router reads all three of them, and chooses two experts
    among four."""
    router_width: int = Field(default=8, ge=1, le=1024)
    """Width of the router's interaction between context and user."""
    words: bool = True
    """Whether every word and attribute that items share has a learned vector, which counts in their item vectors."""
    shortcut: bool = True
    """Whether the vector of the item just read and the user state reach the views past the backbone, too."""
    item_side: Literal["frozen", "adapted"] = "frozen"
    """Whether item texts are pooled by the frozen backbone or by the adapted one."""
    refresh_every: int = Field(default=200, ge=1)
    """Batches between two refreshes of the item texts' vectors, where the item side is adapted."""
    transition_weight: float = Field(default=16.0, ge=0)
    """Factor of the transition floor's score beside the model's own; 0 leaves this third signal out."""
    view_weight: float = Field(default=0.5, ge=0)
    """Weight of each view's own retrieval loss beside that of the fused vector."""
    bpc_weight: float = Field(default=0.05, ge=0)
    """Weight of the bidirectional preference contrastive loss; 0 switches it off."""
    bpc_temperature: float = Field(default=0.1, gt=0)
    """Temperature of that loss."""
    balance_weight: float = Field(default=0.01, ge=0)
    """Weight of the load-balancing loss of routers that read something; 0 switches it off."""

    @model_validator(mode="after")
    def _consistent(self) -> "Config":
        if self.integration != "parameter" and self.views != "both":
            raise ValueError(f'integration "{self.integration}" needs both views. Set views = "both"')
        return self

    def plan(self) -> Plan:
        """See the base class; input and output have as many ranks as all of the pools together."""
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
            shortcut=self.shortcut,
            words=self.words,
        )
