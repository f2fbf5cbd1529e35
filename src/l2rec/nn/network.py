"""The dual-view network: backbone with experts, item tower, projector and fusion in one place."""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from l2rec.nn import bank, prompts, views
from l2rec.nn.backbone import Backbone
from l2rec.nn.fusion import Fusion
from l2rec.nn.heads import ItemTower, Projector, Shortcut, running_mean
from l2rec.nn.inject import DualView
from l2rec.nn.router import Layout, Pools
from l2rec.nn.words import WordBag
from l2rec.types import Batch

if TYPE_CHECKING:
    from transformers import Cache

Before = tuple[Float[Tensor, "B D"], Int[Tensor, " B"]]
"""Sum and number of the item vectors that every user came with."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """The shape of a dual-view network.

    Attributes:
        pools: Experts of each block.
        targets: Matrices that carry experts: `ffn`, `attention` or `all`.
        scale: Factor of the experts' correction.
        signals: What the routers read.
        router_width: Width of their interaction.
        projector_width: Hidden width of the projector.
        views: `both`, `semantic` or `behavioural`.
        inject: Whether item vectors stand in the text instead of in a view of their own.
        fusion: `acf`, `mean` or `gate-less`.
        dropout: On item vectors that go in and on view vectors that come out.
        id_dropout: Probability that a training step sees an item without its ID.
        temperature: Starting temperature of the cosine.
        shortcut: Whether item vectors reach the preference vector past the backbone, too.
        words: Whether the words that items share have vectors of their own; who builds the network brings them.
    """

    pools: Pools
    targets: str
    scale: float
    signals: tuple[str, ...]
    router_width: int
    projector_width: int
    views: str
    inject: bool
    fusion: str
    dropout: float
    id_dropout: float
    temperature: float
    shortcut: bool = False
    words: bool = False


class Network(nn.Module):
    """Everything of L2Rec that holds weights: backbone with experts, item tower, projector and fusion."""

    def __init__(
        self,
        plan: Plan,
        frozen: Backbone,
        text: Float[Tensor, "N Dt"],
        trained: Bool[Tensor, " N"],
        people: int,
        words: WordBag | None = None,
    ) -> None:
        """Puts the parts together.

        Args:
            plan: Shape of the parts.
            frozen: The backbone; its layers are replaced in place.
            text: Centred text vectors of the catalogue.
            trained: True for an item with a training event.
            people: Columns of a user's attribute vector.
            words: What the words of the items give to their vectors; None for nothing.
        """
        super().__init__()
        self.plan = plan
        self.reader = DualView(frozen, plan.pools, plan.targets, plan.scale, plan.router_width, plan.signals)
        self.tower = ItemTower(text, trained, frozen.width, plan.id_dropout, words)
        self.projector = Projector(frozen.width, plan.projector_width, frozen.token_size(), plan.dropout)
        self.people = nn.Linear(people, frozen.width, bias=False) if people else None
        self.fusion = Fusion(frozen.width, plan.fusion)
        self.shortcut = Shortcut(frozen.width) if plan.shortcut else None
        self.dropout = nn.Dropout(plan.dropout)
        self.log_temperature = nn.Parameter(torch.tensor(plan.temperature, device=text.device).log())

    def user_state(
        self, items: Float[Tensor, "B L D"], batch: Batch, before: Before | None = None
    ) -> Float[Tensor, "B L D"]:
        """Returns the causal user state: mean of the item vectors so far, and who the user is."""
        state = running_mean(items, batch.mask, before)
        return state if self.people is None else state + self.people(batch.attributes).unsqueeze(1)

    def rows(
        self, batch: Batch, tokens: prompts.Tokens, before: Before | None = None
    ) -> tuple[views.Rows, Float[Tensor, "B L D"]]:
        """Returns what the backbone reads, and the user state after every item, as `views` takes them.

        Args:
            batch: Histories, or what was added to them.
            tokens: The catalogue's tokens.
            before: Sum and number of the item vectors that came before; None where the histories are whole.
        """
        items = self.tower(batch.items.flatten()).view(*batch.items.shape, -1)
        state = self.user_state(items, batch, before)
        return replace(self._laid(batch, tokens, self.projector(items), state), items=items), state

    def _laid(
        self, batch: Batch, tokens: prompts.Tokens, inputs: Float[Tensor, "B L D"], state: Float[Tensor, "B L D"]
    ) -> views.Rows:
        """The views that are on, of items that stand in a sequence as `inputs`."""
        behavioural = views.behavioural_rows(inputs, batch.mask, state)
        if self.plan.views == "behavioural":
            return behavioural
        prompt = prompts.lay_out(tokens, batch.items, batch.mask)
        words = self.reader.backbone.token_embedding(prompt.ids).float()
        injected = inputs if self.plan.inject else None
        semantic = views.semantic_rows(words, prompt, state, injected)
        if self.plan.views == "semantic" or injected is not None:
            return semantic
        return views.side_by_side(semantic, behavioural)

    def read(self, rows: views.Rows, past: "Cache | None" = None) -> list[Float[Tensor, "B L D"]]:
        """Returns the hidden states of the views that are on, at every item.

        Args:
            rows: What is read.
            past: Keys and values of what was read before, the first that `rows.visible` speaks of; grows by the new.
        """
        hidden = self.reader(rows.embeddings, rows.visible, rows.positions, rows.user, rows.layout, past)
        found = []
        if rows.read is not None:
            at = rows.read.unsqueeze(-1).expand(-1, -1, hidden.shape[-1])
            found.append(hidden[:, rows.layout.slices[0]].gather(1, at))
        if rows.layout.behavioural:
            found.append(hidden[:, rows.layout.slices[1]])
        return found

    def said(
        self, rows: views.Rows, at: Bool[Tensor, "B L"], past: "Cache | None" = None
    ) -> list[Float[Tensor, "P D"]]:
        """Returns h'_v of the views that are on, what the backbone says alone; see `views`."""
        return self.project([hidden[at] for hidden in self.read(rows, past)])

    def completed(
        self, said: list[Float[Tensor, "P D"]], rows: views.Rows, state: Float[Tensor, "B L D"], at: Bool[Tensor, "B L"]
    ) -> list[Float[Tensor, "P D"]]:
        """Returns what `said` returned with what comes past the backbone, which is the same for every view."""
        return said if rows.items is None else self.shortened(said, rows.items[at], state[at])

    def views(
        self,
        rows: views.Rows,
        state: Float[Tensor, "B L D"],
        at: Bool[Tensor, "B L"],
        past: "Cache | None" = None,
    ) -> list[Float[Tensor, "P D"]]:
        """Returns what every view that is on says of the user after some items, ready to be fused.

        Args:
            rows: What is read.
            state: The user state after every item.
            at: After which items.
            past: See `read`.
        """
        return self.completed(self.said(rows, at, past), rows, state, at)

    def shortened(
        self, projected: list[Float[Tensor, "P D"]], items: Float[Tensor, "P D"], state: Float[Tensor, "P D"]
    ) -> list[Float[Tensor, "P D"]]:
        """Returns the views with what comes past the backbone added to each; as they are where nothing does."""
        if self.shortcut is None:
            return projected
        more = self.shortcut(self.dropout, items, state)
        return [view + more for view in projected]

    def project(self, hidden: list[Float[Tensor, "P D"]]) -> list[Float[Tensor, "P D"]]:
        """Returns h'_v of the views that are on."""
        first = 1 if self.plan.views == "behavioural" else 0
        return [self.fusion.project(self.dropout(h), first + n) for n, h in enumerate(hidden)]

    def fuse(self, projected: list[Float[Tensor, "P D"]], state: Float[Tensor, "P D"]) -> Float[Tensor, "P D"]:
        """Returns the preference vectors."""
        fused: Tensor = projected[0] if len(projected) == 1 else self.fusion(projected[0], projected[1], state)
        return fused

    def shares(self, projected: list[Float[Tensor, "P D"]], state: Float[Tensor, "P D"]) -> list[Float[Tensor, "P D"]]:
        """Returns what each view that is on puts into the preference vectors; they add up to what `fuse` returns."""
        if len(projected) == 1:
            return projected
        a = self.fusion.share(projected[0], projected[1], state)
        return [a * projected[0], (1 - a) * projected[1]]

    def temperature(self) -> Float[Tensor, ""]:
        """Returns the learnt temperature, .01 at least; below that its gradient still passes, so that it can rise."""
        learnt = self.log_temperature.exp()
        return learnt + (learnt.clamp(min=0.01) - learnt).detach()

    def adapted_pool(self, tokens: prompts.Tokens, items: Int[Tensor, " N"] | None = None) -> Float[Tensor, "N D"]:
        """Returns texts as the adapted backbone pools them; the item itself is the user state.

        Args:
            tokens: The texts.
            items: The item number of each; the whole catalogue in order where None.
        """
        base = self.tower(items).detach()

        def encode(ids: Tensor, mask: Tensor, items: Tensor) -> Tensor:
            words = self.reader.backbone.token_embedding(ids).float()
            state = base[items.to(base.device)].unsqueeze(1).expand_as(words)
            positions = torch.arange(ids.shape[1], device=ids.device).expand_as(ids)
            hidden: Tensor = self.reader(words, views.causal(mask), positions, state, Layout(ids.shape[1], 0))
            return hidden

        return bank.pooled(encode, tokens, base.device)
