"""Experts put into a frozen backbone: one forward call reads both views and bends the same weights for each."""

from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from l2rec.errors import BackboneError
from l2rec.nn.backbone import Backbone
from l2rec.nn.experts import AdaptedLinear, Route
from l2rec.nn.router import Choice, Layout, Pools, ViewRouter, products, rank_gates

if TYPE_CHECKING:
    from transformers import Cache

TARGETS = ("ffn", "attention", "all")


class DualView(nn.Module):
    """DPMoE: a backbone whose blocks carry shared and routed experts for two views (L2Rec).

    Attributes:
        choices: What the routers of each block decided in the last call: a pair per block, semantic and behavioural.
    """

    def __init__(
        self, backbone: Backbone, pools: Pools, targets: str, scale: float, inner: int, signals: tuple[str, ...]
    ) -> None:
        """Wraps the linear layers of every block.

        Args:
            backbone: The frozen model; its layers are replaced in place.
            pools: Experts of each block.
            targets: Which matrices: `ffn`, `attention` or `all`.
            scale: Factor of every correction.
            inner: Width of the routers' interaction.
            signals: What the routers read.
        """
        super().__init__()
        self.backbone = backbone
        self.pools = pools
        self.choices: list[tuple[Choice | None, Choice | None]] = []
        self._user: Tensor | None = None
        self._layout = Layout(0, 0)
        self._heard: list[list[list[Tensor]]] = []
        self._routes: list[Route] = []
        routers = []
        device = next(backbone.parameters()).device
        for block in blocks(backbone.network):
            with device:
                pair = [ViewRouter(backbone.width, n, pools.top, inner, signals) if n else None for n in pools.routed]
            route = Route()
            if pools.ranks:
                _adapt(block, targets, pools.ranks, scale, route)
            routers.append(nn.ModuleList([router or nn.Identity() for router in pair]))
            self._routes.append(route)
            block.register_forward_pre_hook(_Gatekeeper(self, len(routers) - 1, route), with_kwargs=True)
        self.routers = nn.ModuleList(routers)

    def forward(
        self,
        embeddings: Float[Tensor, "B T D"],
        visible: Bool[Tensor, "B T _keys"],
        positions: Int[Tensor, "B T"],
        user: Float[Tensor, "B T D"],
        layout: Layout,
        past: "Cache | None" = None,
    ) -> Float[Tensor, "B T D"]:
        """Returns the last hidden states of both views.

        Args:
            embeddings: Semantic positions first, then behavioural ones.
            visible: True where a query may look at a key.
            positions: Position within the own view.
            user: Causal user state at every position.
            layout: Where the views stand.
            past: Keys and values of earlier positions, as for the backbone; the gates of those are not asked again.
        """
        self._user, self._layout, self.choices = user, layout, []
        parts = layout.parts if visible.shape[1] == visible.shape[2] else ()
        try:
            hidden: Tensor = self.backbone(embeddings, visible, positions, parts, past)
        finally:
            self._forget()
        return hidden

    def plain(
        self,
        embeddings: Float[Tensor, "B T D"],
        visible: Bool[Tensor, "B T T"],
        positions: Int[Tensor, "B T"],
        layout: Layout,
    ) -> Float[Tensor, "B T D"]:
        """Returns what the frozen backbone says, every expert off; arguments as for `forward`."""
        self.choices = []
        hidden: Tensor = self.backbone(embeddings, visible, positions, layout.parts)
        return hidden

    def decide(self, number: int, context: Float[Tensor, "B T D"]) -> Float[Tensor, "B T ER"] | None:
        """Returns the gates of one block, and keeps the routers' choices; None while every expert is off."""
        if self._user is None or not self.pools.ranks:
            return None
        if number == 0:
            users = torch.split(self._user, list(self._layout.lengths), 1)
            self._heard = [self._hear(view, user) for view, user in enumerate(users)]
        pair: list[Choice | None] = []
        for view, part in enumerate(torch.split(context, list(self._layout.lengths), 1)):
            router = self._router(number, view)
            on = part.shape[1] and router is not None
            pair.append(router(part, self._heard[view][number]) if router is not None and on else None)
        self.choices.append((pair[0], pair[1]))
        return rank_gates(self.pools, (pair[0], pair[1]), self._layout, context)

    def _router(self, block: int, view: int) -> ViewRouter | None:
        pair = self.routers[block]
        assert isinstance(pair, nn.ModuleList)
        router = pair[view]
        return router if isinstance(router, ViewRouter) else None

    def _hear(self, view: int, user: Float[Tensor, "B T D"]) -> list[list[Tensor]]:
        """What the routers of all blocks make of the user, which no block changes, in one multiplication."""
        routers = [self._router(n, view) for n in range(len(self.routers))]
        maps = [[] if router is None else router.user_maps() for router in routers]
        found = iter(products(user, [w for own in maps for w in own]))
        return [[next(found) for _ in own] for own in maps]

    def _forget(self) -> None:
        """Lets go of what hangs on the graph of the call; the choices stay for the loss."""
        self._user, self._heard = None, []
        for route in self._routes:
            route.gates = None


class _Gatekeeper:
    """Sets the gates of a block just before it runs."""

    def __init__(self, owner: DualView, number: int, route: Route) -> None:
        self.decide = owner.decide
        self.number = number
        self.route = route

    def __call__(self, _: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        context = args[0] if args else kwargs["hidden_states"]
        self.route.gates = self.decide(self.number, context)


def blocks(network: nn.Module) -> list[nn.Module]:
    """Returns the Transformer blocks of a Hugging Face model, first to last.

    Raises:
        BackboneError: the model has no list of as many modules as its config says it has layers.
    """
    count = network.config.get_text_config().num_hidden_layers  # type: ignore[union-attr, operator]
    for module in network.modules():
        if isinstance(module, nn.ModuleList) and len(module) == count:
            return list(module)
    kind = type(network).__name__
    raise BackboneError(f"model.backbone: {kind}: its {count} blocks are not found. Use a BERT-like or decoder model.")


def _adapt(block: nn.Module, targets: str, ranks: int, scale: float, route: Route) -> None:
    for name, linear in [(n, m) for n, m in block.named_modules() if isinstance(m, nn.Linear)]:
        attention = "attn" in name or "attention" in name
        if targets == "all" or (targets == "attention") == attention:
            parent = block.get_submodule(name.rpartition(".")[0])
            parent.add_module(name.rpartition(".")[2], AdaptedLinear(linear, ranks, scale, route))
