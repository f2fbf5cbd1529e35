"""What the models of this room share: items as texts and vectors, what reads them, and a cosine that retrieves."""

from abc import abstractmethod
from collections.abc import Sequence
from typing import Literal

import torch
from jaxtyping import Float, Int
from pydantic import Field
from torch import Tensor
from torch.nn import functional

from l2rec.errors import SettingError
from l2rec.models._base import Growing, Retriever, TextReader
from l2rec.models._settings import FrozenSettings
from l2rec.models._third import add_third
from l2rec.nn import arithmetic, bank, prompts, views
from l2rec.nn import backbone as backbones
from l2rec.nn.heads import last_events
from l2rec.nn.losses import full_softmax, sampled_softmax
from l2rec.nn.network import Network, Plan
from l2rec.nn.room import Room
from l2rec.nn.unit import unit
from l2rec.nn.words import WordBag, bags_of, words_of
from l2rec.types import Batch, Items


class ReadingSettings(FrozenSettings):
    """The settings that all of them have."""

    history: int = Field(default=20, ge=1, le=1000)
    """Items of a history that the model reads; older ones are cut off."""
    targets: Literal["ffn", "attention", "all"] = "ffn"
    """Matrices of a block that carry experts."""
    tokens_per_item: int = Field(default=8, ge=2, le=512)
    """Tokens of an item in the semantic view, its separator counted."""
    item_tokens: int = Field(default=64, ge=2, le=512)
    """Tokens of an item's text that its pooled vector is made of."""
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
    temperature: float = Field(default=0.07, ge=0.01)
    """Starting temperature of the cosine between user and item; learnt."""

    @abstractmethod
    def plan(self) -> Plan:
        """Returns the shape of the network."""


class Reading(Retriever, TextReader, Growing):
    """A retriever on a frozen language model; once items were put, it is there to score and no longer to be trained.

    Attributes:
        network: Everything that holds weights.
        tokens: The catalogue's tokens, as a history shows them.
        texts: The catalogue's tokens, as a text is pooled.
    """

    def __init__(self, config: ReadingSettings, items: Items, attributes: int = 0) -> None:
        """Loads the backbone, pools the catalogue's texts and puts the experts in. See the base class."""
        config = config.model_copy(update={"dtype": arithmetic.dtype_of(config.dtype)})
        super().__init__(config, items, attributes)
        self.reading = config
        dtype = arithmetic.torch_dtype(config.dtype)
        frozen = backbones.load(config.backbone, pretrained=config.pretrained, dtype=dtype)
        plan = config.plan()
        _refuse_long_histories(config, plan.views, frozen.limit)
        self.tokenizer = backbones.tokenizer(config.backbone)
        self.tokens = prompts.tokenize(self.tokenizer, items.texts, config.tokens_per_item)
        self.texts = prompts.tokenize(self.tokenizer, items.texts, config.item_tokens)
        identity = [backbones.fingerprint(config.backbone), config.dtype] if config.pretrained else None
        text = bank.text_vectors(frozen, self.texts, identity)
        mean = text.mean(0)
        kind, known = self.network_kind(), items.counts > 0
        text = bank.centred(text, mean)
        size = float(text.norm(dim=1).mean())
        bag = WordBag(bags_of(items), known, frozen.width, size) if plan.words else None
        self.network = kind(plan, frozen, text, known, attributes, bag)
        self.register_buffer("text_mean", mean, persistent=False)
        self.text_mean: Tensor
        self.register_buffer("counts", items.counts.float(), persistent=False)
        self.counts: Tensor
        self.token_counts = self._token_counts(self.tokens)
        self._room = Room()
        self._average: tuple[object, Tensor] | None = None
        add_third(self, config, items)

    def network_kind(self) -> type[Network]:
        """Returns the class of `network`."""
        return Network

    def user_vectors(self, batch: Batch) -> Float[Tensor, "B D"]:
        """See the base class; an empty history gets the direction of the average event."""
        projected, state = self.last(batch)
        vectors, known = self.scaled(self.network.fuse(projected, state)), batch.mask.any(1, keepdim=True)
        return vectors if bool(known.all()) else torch.where(known, vectors, self.crowd())

    def item_vectors(self) -> Float[Tensor, "N D"]:
        """See the base class; every vector has length one."""
        return unit(self.network.tower())

    def some_vectors(self, numbers: Int[Tensor, " P"]) -> Float[Tensor, "P D"]:
        """See the base class."""
        return unit(self.network.tower(numbers.to(self.counts.device)))

    @torch.no_grad()
    def put_items(self, numbers: Sequence[int], items: Items) -> None:
        """See the base class; a text is centred by the mean of the catalogue that the model was built with."""
        if not len(items):
            return
        at = torch.tensor(numbers)
        words = prompts.tokenize(self.tokenizer, items.texts, self.reading.tokens_per_item)
        texts = prompts.tokenize(self.tokenizer, items.texts, self.reading.item_tokens)
        if self.network.tower.words is not None:
            self.network.tower.words.put(at.to(self.counts.device), bags_of(items))
        self.put_texts(at.to(self.counts.device), texts)
        self.tokens = prompts.put(self.tokens, at, words, self._room)
        self.token_counts = self._room.put("counts", self.token_counts, at, self._token_counts(words))
        self.item_count = len(self.token_counts)
        self.counts = functional.pad(self.counts, (0, self.item_count - len(self.counts)))

    def put_texts(self, at: Int[Tensor, " P"], texts: prompts.Tokens) -> None:
        """Gives the item tower the pooled texts of items, known ones or the next in order."""
        frozen = bank.text_vectors(self.network.reader.backbone, texts, None)
        self.network.tower.put(at, bank.centred(frozen, self.text_mean))

    @property
    def reads_tokens(self) -> bool:
        """Whether there is a semantic view."""
        return self.network.plan.views != "behavioural"

    def text_vectors(self, texts: tuple[str, ...]) -> Float[Tensor, "B D"]:
        """See the base class; the text is read as an item just taken, by the semantic view where there is one."""
        if not self.reads_tokens:
            return self._after_event(self._untrained(texts))
        device = self.counts.device
        tokens = prompts.tokenize(self.tokenizer, texts, self.reading.item_tokens).to(device)
        events = torch.arange(len(texts), device=device).unsqueeze(1)
        prompt = prompts.lay_out(tokens, events, torch.ones_like(events, dtype=torch.bool))
        words = self.network.reader.backbone.token_embedding(prompt.ids).float()
        state = words.new_zeros(len(texts), 1, words.shape[-1])
        hidden = self.network.read(views.semantic_rows(words, prompt, state, None))
        projected = self.network.project([hidden[0].squeeze(1)])
        if self.network.shortcut is not None:
            projected = self.network.shortened(projected, self._untrained(texts), state.squeeze(1))
        return self.scaled(projected[0])

    def _after_event(self, items: Float[Tensor, "B D"]) -> Float[Tensor, "B D"]:
        """What the behavioural view says of users with one event, an item of that vector."""
        there = torch.ones(len(items), 1, dtype=torch.bool, device=items.device)
        inputs, state = self.network.projector(items).unsqueeze(1), items.unsqueeze(1)
        hidden = self.network.read(views.behavioural_rows(inputs, there, state))
        said = self.network.project([hidden[0].squeeze(1)])
        return self.scaled(self.network.shortened(said, items, items)[0])

    @torch.no_grad()
    def described(self, texts: tuple[str, ...]) -> Float[Tensor, "B D"]:
        """See the base class; the vector that an untrained item of this text would have."""
        return unit(self._untrained(texts))

    @torch.no_grad()
    def _untrained(self, texts: tuple[str, ...]) -> Float[Tensor, "B D"]:
        """The vectors of untrained items of these texts, as long as items' vectors are."""
        tokens = prompts.tokenize(self.tokenizer, texts, self.reading.item_tokens)
        tower, pooled = self.network.tower, bank.text_vectors(self.network.reader.backbone, tokens, None)
        vectors: Tensor = tower.projection(bank.centred(pooled, self.text_mean))
        return vectors if tower.words is None else vectors + tower.words.of([words_of(text) for text in texts])

    def last(self, batch: Batch) -> tuple[list[Float[Tensor, "B D"]], Float[Tensor, "B D"]]:
        """Returns what the views that are on say after the last event of every row, and the user state there."""
        rows, state = self.network.rows(batch, self.tokens.to(batch.items.device))
        last = last_events(batch.mask)
        return self.network.views(rows, state, last), state[last]

    def crowd(self) -> Float[Tensor, "1 D"]:
        """Returns the direction of the average event, at the length of a user's vector.

        It hangs on every item, so it is kept for as long as no tensor that it is made of is written to.
        """
        tower = self.network.tower
        bag = () if tower.words is None else (tower.words.vectors.weight, tower.words.words, tower.words.weights)
        made_of = (tower.text, tower.ids.weight, tower.projection.weight, self.counts, *bag)
        state = tuple((tensor.data_ptr(), tensor._version) for tensor in made_of)
        if torch.is_grad_enabled() or self.training or self._average is None or self._average[0] != state:
            average = (self.counts @ self.item_vectors()).unsqueeze(0)
            self._average = (state, average.detach())
            return self.scaled(average)
        return self.scaled(self._average[1])

    def scaled(self, vectors: Float[Tensor, "P D"]) -> Float[Tensor, "P D"]:
        """Returns the vectors at the length of one over the temperature."""
        return unit(vectors) / self.network.temperature()

    def retrieval(
        self, vectors: Float[Tensor, "P D"], items: Float[Tensor, "N D"], targets: Int[Tensor, " P"]
    ) -> Float[Tensor, ""]:
        """Returns the mean cross-entropy of the targets that the settings ask for; see `nn.losses`."""
        queries = self.scaled(vectors)
        if not self.reading.negatives:
            return full_softmax(queries, items, targets, smoothing=self.reading.smoothing)
        return sampled_softmax(queries, items, targets, self.counts, self.reading.negatives)

    def _token_counts(self, tokens: prompts.Tokens) -> Int[Tensor, " P"]:
        plan = self.network.plan
        words = tokens.lengths if self.reads_tokens else torch.zeros_like(tokens.lengths)
        return words + int(plan.views != "semantic" and not plan.inject)


def _refuse_long_histories(config: ReadingSettings, views: str, limit: int | None) -> None:
    longest = config.history * (config.tokens_per_item if views != "behavioural" else 1) + 1
    if limit is not None and longest > limit:
        raise SettingError(
            f"model.history: {config.history} items of {config.tokens_per_item} tokens: up to {longest} positions, and "
            f"{config.backbone} has {limit}. Lower model.history or model.tokens_per_item, or use another backbone."
        )
