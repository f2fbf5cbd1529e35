"""L2Rec: one frozen language model reads a history as text or items; low-rank experts bend it for view and user."""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from l2rec.errors import RunError, SettingError
from l2rec.models._base import Explaining
from l2rec.models._space import Choices, Range, Space
from l2rec.models.llm._reading import Reading
from l2rec.models.llm._resume import Resuming
from l2rec.models.llm._settings import Config
from l2rec.nn import bank, prompts, views
from l2rec.nn.fusion import bpc_loss
from l2rec.nn.readings import acf_readings, expert_use, routing_readings
from l2rec.nn.router import Choice, balance_loss
from l2rec.types import Batch, Items, Loss

__all__ = ["SPACE", "Config", "Model"]

SPACE: Space = {
    "model.rank": Choices(choices=(4, 8, 16)),
    "model.dropout": Range(low=0.1, high=0.6),
    "model.id_dropout": Range(low=0, high=0.6),
    "model.smoothing": Range(low=0, high=0.4),
    "model.view_weight": Range(low=0, high=1),
    "model.bpc_weight": Range(low=0.005, high=0.2, log=True),
    "training.turned": Range(low=0, high=0.5),
    "training.batch_size": Choices(choices=(24, 64, 128)),
    "training.learning_rate": Range(low=2e-4, high=3e-3, log=True),
    "training.weight_decay": Range(low=0.001, high=3, log=True),
}


class Model(Reading, Resuming, Explaining):
    """The dual-view recommender."""

    def __init__(self, config: Config, items: Items, attributes: int = 0) -> None:
        """Loads the backbone, pools the catalogue's texts and puts the experts in. See the base class."""
        super().__init__(config, items, attributes)
        self.config = config
        self.register_buffer("steps", torch.zeros((), dtype=torch.long))
        self.steps: Tensor
        adapted = self.network.tower.text.clone() if config.item_side == "adapted" else torch.zeros(0)
        self.register_buffer("adapted_text", adapted)
        self.adapted_text: Tensor
        self.register_buffer("adapted_mean", self.text_mean.clone(), persistent=config.item_side == "adapted")
        self.adapted_mean: Tensor

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
        said = self.network.said(rows, at)
        projected = self.network.completed(said, rows, state, at)
        targets, owners = batch.targets[at], _owners(batch).unsqueeze(1).expand_as(at)[at]
        items = self.item_vectors()
        parts = {"balance": self.config.balance_weight * self._balance(rows)}
        if self.config.integration != "output":
            parts["retrieval"] = self.retrieval(self.network.fuse(projected, state[at]), items, targets)
        if len(projected) == 2:
            parts |= self._view_losses(projected, items, targets) | self._tied(said, owners)
        if int(self.steps) % 10 == 1:
            self.readings = routing_readings(self._choices, rows)
            if len(projected) == 2 and self.network.plan.fusion != "mean":
                share = self.network.fusion.share(projected[0], projected[1], state[at]).detach().mean(-1)
                self.readings |= acf_readings(share, batch.mask.cumsum(1)[at])
        total = torch.stack(list(parts.values())).sum()
        return Loss(total, {name: float(part.detach()) for name, part in parts.items()}, len(targets))

    def put_texts(self, at: Int[Tensor, " P"], texts: prompts.Tokens) -> None:
        """See the base class; read by the adapted backbone where that reads the catalogue."""
        super().put_texts(at, texts)
        if self.config.item_side == "adapted" and int(self.steps):
            pooled = self.network.adapted_pool(texts, at).to(at.device)
            self.network.tower.put(at, bank.centred(pooled, self.adapted_mean))

    def parts(self, batch: Batch, vectors: Float[Tensor, "N D"] | None = None) -> dict[str, Float[Tensor, "B N"]]:
        """See the base class; a network without two views of its own has one share for both, `mixed`."""
        projected, state = self.last(batch)
        known, items = batch.mask.any(1, keepdim=True), self.item_vectors() if vectors is None else vectors
        shares = self.network.shares(projected, state)
        length = torch.stack(shares).sum(0).norm(dim=-1, keepdim=True).clamp(min=1e-12) * self.network.temperature()
        found = {
            name: torch.where(known, share / length, 0.0) @ items.T
            for name, share in zip(self._share_names(), shares, strict=True)
        }
        if not bool(known.all()):
            found["average"] = torch.where(known, 0.0, self.crowd()) @ items.T
        return self.with_third(found, batch)

    def expert_use(self, batch: Batch) -> dict[str, list[list[float]]]:
        """See the base class."""
        rows, _ = self.network.rows(batch, self.tokens.to(batch.items.device))
        self.network.read(rows)
        return expert_use(self._choices, rows)

    @property
    def _choices(self) -> list[tuple[Choice | None, Choice | None]]:
        """What the routers chose in the last pass, a pair for each block; empty where the gates are static."""
        return self.network.reader.choices if self.network.plan.signals else []

    @property
    def can_read(self) -> bool:
        """See the base class; where the item side is adapted, there is no vector of a text for the behavioural view."""
        return self.reads_tokens or self.config.item_side == "frozen"

    def text_vectors(self, texts: tuple[str, ...]) -> Float[Tensor, "B D"]:
        """See the base class.

        Raises:
            SettingError: there is no semantic view, and the item side is adapted.
        """
        if not self.can_read:
            raise SettingError(
                'model.item_side: "adapted": with the behavioural view alone it cannot read text. Train with "frozen"'
            )
        return super().text_vectors(texts)

    @torch.no_grad()
    def described(self, texts: tuple[str, ...]) -> Float[Tensor, "B D"]:
        """See the base class; where the item side is adapted, no item's vector can be made without its number."""
        return self.text_vectors(texts) if self.config.item_side == "adapted" else super().described(texts)

    def load_state(self, state: dict[str, Tensor]) -> None:
        """See the base class."""
        if self.config.item_side == "adapted" and "adapted_mean" not in state and len(state.get("adapted_text", ())):
            raise RunError(
                'weights: adapted_mean: missing: an earlier l2rec trained this run with model.item_side = "adapted", '
                "and later items cannot be read without it. Train the run again."
            )
        super().load_state(state)
        if self.config.item_side == "adapted":
            self.network.tower.text.copy_(self.adapted_text)

    def _share_names(self) -> tuple[str, ...]:
        if self.config.integration == "input":
            return ("mixed",)
        return {"both": ("text", "behaviour"), "semantic": ("text",), "behavioural": ("behaviour",)}[self.config.views]

    def _view_losses(
        self,
        projected: list[Tensor],
        items: Float[Tensor, "N D"],
        targets: Int[Tensor, " P"],
    ) -> dict[str, Tensor]:
        weight = 1.0 if self.config.integration == "output" else self.config.view_weight
        if not weight:
            return {}
        own = [self.retrieval(vectors, items, targets) for vectors in projected]
        return {"view_retrieval": weight * torch.stack(own).mean()}

    def _tied(self, said: list[Float[Tensor, "P D"]], owners: Int[Tensor, " P"]) -> dict[str, Tensor]:
        """BPC of what the backbone says; what comes past it is the same in both views and would meet the loss alone."""
        config = self.config
        if not config.bpc_weight:
            return {}
        return {"bpc": config.bpc_weight * bpc_loss(said[0], said[1], owners, config.bpc_temperature)}

    def _balance(self, rows: views.Rows) -> Float[Tensor, ""]:
        terms = [
            balance_loss(choice, rows.mask[:, part])
            for pair in self._choices
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
        self.adapted_mean.copy_(pooled.mean(0))
        text = bank.centred(pooled, pooled.mean(0))
        self.network.train(was_training)
        self.network.tower.text.copy_(text)
        self.adapted_text.copy_(text)


def _owners(batch: Batch) -> Int[Tensor, " B"]:
    """The user of every row; a long history gives several windows, and each sees the user that it belongs to."""
    return torch.arange(len(batch), device=batch.items.device) if batch.users is None else batch.users
