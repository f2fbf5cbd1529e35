"""L2Rec: one frozen language model reads a history as text and as items; routed low-rank experts bend it for each."""

from collections.abc import Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional

from l2rec.errors import RunError, SettingError
from l2rec.models._base import Explaining, Growing, TextReader
from l2rec.models._third import add_third
from l2rec.models.llm._resume import Resuming
from l2rec.models.llm._settings import Config
from l2rec.nn import backbone as backbones
from l2rec.nn import bank, prompts, views
from l2rec.nn.fusion import bpc_loss
from l2rec.nn.losses import full_softmax, sampled_softmax
from l2rec.nn.network import Network
from l2rec.nn.readings import acf_readings, expert_use, routing_readings
from l2rec.nn.room import Room
from l2rec.nn.router import balance_loss
from l2rec.types import Batch, Items, Loss

__all__ = ["Config", "Model"]


class Model(Resuming, TextReader, Growing, Explaining):
    """The dual-view recommender; once items were put, it is there to score and no longer to be trained."""

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
        mean = text.mean(0)
        self.network = Network(config.plan(), frozen, bank.centred(text, mean), items.counts > 0, attributes)
        self.register_buffer("text_mean", mean, persistent=False)
        self.text_mean: Tensor
        self.register_buffer("counts", items.counts.float(), persistent=False)
        self.counts: Tensor
        self.register_buffer("steps", torch.zeros((), dtype=torch.long))
        self.steps: Tensor
        adapted = self.network.tower.text.clone() if config.item_side == "adapted" else torch.zeros(0)
        self.register_buffer("adapted_text", adapted)
        self.adapted_text: Tensor
        self.register_buffer("adapted_mean", mean.clone(), persistent=config.item_side == "adapted")
        self.adapted_mean: Tensor
        self.token_counts = self._token_counts(self.tokens)
        self._room = Room()
        self._average: tuple[object, Tensor] | None = None
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
        projected, state = self._last(batch)
        vectors, known = self._scaled(self.network.fuse(projected, state)), batch.mask.any(1, keepdim=True)
        return vectors if bool(known.all()) else torch.where(known, vectors, self._crowd())

    def item_vectors(self) -> Float[Tensor, "N D"]:
        """See the base class; every vector has length one."""
        return functional.normalize(self.network.tower(), dim=-1)

    def some_vectors(self, numbers: Int[Tensor, " P"]) -> Float[Tensor, "P D"]:
        """See the base class."""
        return functional.normalize(self.network.tower(numbers.to(self.counts.device)), dim=-1)

    @torch.no_grad()
    def put_items(self, numbers: Sequence[int], items: Items) -> None:
        """See the base class; a text is centred by the mean of the catalogue that the model was built with."""
        if not len(items):
            return
        at, device = torch.tensor(numbers), self.counts.device
        words = prompts.tokenize(self.tokenizer, items.texts, self.config.tokens_per_item)
        texts = prompts.tokenize(self.tokenizer, items.texts, self.config.item_tokens)
        frozen = bank.text_vectors(self.network.reader.backbone, texts, None)
        self.network.tower.put(at.to(device), bank.centred(frozen, self.text_mean))
        if self.config.item_side == "adapted" and int(self.steps):
            pooled = self.network.adapted_pool(texts, at.to(device)).to(device)
            self.network.tower.put(at.to(device), bank.centred(pooled, self.adapted_mean))
        self.tokens = prompts.put(self.tokens, at, words, self._room)
        self.token_counts = self._room.put("counts", self.token_counts, at, self._token_counts(words))
        self.item_count = len(self.token_counts)
        self.counts = functional.pad(self.counts, (0, self.item_count - len(self.counts)))

    def parts(self, batch: Batch, vectors: Float[Tensor, "N D"] | None = None) -> dict[str, Float[Tensor, "B N"]]:
        """See the base class; a network without two views of its own has one share for both, `mixed`."""
        projected, state = self._last(batch)
        known, items = batch.mask.any(1, keepdim=True), self.item_vectors() if vectors is None else vectors
        shares = self.network.shares(projected, state)
        length = torch.stack(shares).sum(0).norm(dim=-1, keepdim=True).clamp(min=1e-12) * self.network.temperature()
        found = {
            name: torch.where(known, share / length, 0.0) @ items.T
            for name, share in zip(self._share_names(), shares, strict=True)
        }
        if not bool(known.all()):
            found["average"] = torch.where(known, 0.0, self._crowd()) @ items.T
        return self.with_third(found, batch)

    def expert_use(self, batch: Batch) -> dict[str, list[list[float]]]:
        """See the base class."""
        rows, _ = self.network.rows(batch, self.tokens.to(batch.items.device))
        self.network.read(rows)
        return expert_use(self.network.reader.choices, rows)

    @property
    def can_read(self) -> bool:
        """See the base class; the semantic view reads."""
        return self.config.views != "behavioural"

    def text_vectors(self, texts: tuple[str, ...]) -> Float[Tensor, "B D"]:
        """See the base class; the text is read by the semantic view as if it were an item just taken.

        Raises:
            SettingError: the model was trained without a semantic view.
        """
        if not self.can_read:
            raise SettingError('model.views: "behavioural": cannot read text. Train with views = "both" or "semantic"')
        device = self.counts.device
        tokens = prompts.tokenize(self.tokenizer, texts, self.config.item_tokens).to(device)
        events = torch.arange(len(texts), device=device).unsqueeze(1)
        prompt = prompts.lay_out(tokens, events, torch.ones_like(events, dtype=torch.bool))
        words = self.network.reader.backbone.token_embedding(prompt.ids).float()
        state = words.new_zeros(len(texts), 1, words.shape[-1])
        hidden = self.network.read(views.semantic_rows(words, prompt, state, None))
        return self._scaled(self.network.project([hidden[0].squeeze(1)])[0])

    @torch.no_grad()
    def described(self, texts: tuple[str, ...]) -> Float[Tensor, "B D"]:
        """See the base class; the vector that an untrained item of this text would have, where the item side is frozen.

        Raises:
            SettingError: the model was trained without a semantic view.
        """
        if not self.can_read or self.config.item_side == "adapted":
            return self.text_vectors(texts)
        tokens = prompts.tokenize(self.tokenizer, texts, self.config.item_tokens)
        pooled = bank.text_vectors(self.network.reader.backbone, tokens, None)
        described: Tensor = self.network.tower.projection(bank.centred(pooled, self.text_mean))
        return functional.normalize(described, dim=-1)

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

    def _last(self, batch: Batch) -> tuple[list[Float[Tensor, "B D"]], Float[Tensor, "B D"]]:
        """What the views that are on say after the last event of every row, and the user state there."""
        rows, state = self.network.rows(batch, self.tokens.to(batch.items.device))
        last = (batch.lengths() - 1).clamp(min=0).view(-1, 1, 1).expand(-1, 1, state.shape[-1])
        projected = self.network.project([h.gather(1, last).squeeze(1) for h in self.network.read(rows)])
        return projected, state.gather(1, last).squeeze(1)

    def _crowd(self) -> Float[Tensor, "1 D"]:
        """The direction of the average event, at the length of a user's vector.

        It hangs on every item, so it is kept for as long as no tensor that it is made of is written to.
        """
        tower = self.network.tower
        made_of = (tower.text, tower.ids.weight, tower.projection.weight, self.counts)
        state = tuple((tensor.data_ptr(), tensor._version) for tensor in made_of)
        if torch.is_grad_enabled() or self.training or self._average is None or self._average[0] != state:
            average = (self.counts @ self.item_vectors()).unsqueeze(0)
            self._average = (state, average.detach())
            return self._scaled(average)
        return self._scaled(self._average[1])

    def _share_names(self) -> tuple[str, ...]:
        if self.config.integration == "input":
            return ("mixed",)
        return {"both": ("text", "behaviour"), "semantic": ("text",), "behavioural": ("behaviour",)}[self.config.views]

    def _token_counts(self, tokens: prompts.Tokens) -> Int[Tensor, " P"]:
        config = self.config
        words = tokens.lengths if config.views != "behavioural" else torch.zeros_like(tokens.lengths)
        return words + int(config.views != "semantic" and config.integration != "input")

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
        self.adapted_mean.copy_(pooled.mean(0))
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
