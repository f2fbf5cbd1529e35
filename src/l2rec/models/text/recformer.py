"""RecFormer: a language model reads a history as key-value text, newest item first, and so reads every item, too."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

import torch
from jaxtyping import Bool, Float, Int
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from l2rec.errors import SettingError
from l2rec.models._base import Retriever, TextReader
from l2rec.models._space import Choices, Range, Space
from l2rec.models._third import ThirdSettings, add_third
from l2rec.nn import arithmetic, bank, keyed
from l2rec.nn import backbone as backbones
from l2rec.nn.losses import full_softmax, matched_softmax
from l2rec.nn.masked import WordTask
from l2rec.nn.tuned import Tuned
from l2rec.types import Batch, Items, Loss

_AT_ONCE = 8192
"""Tokens, about, that are read at once where nothing is learnt."""


class Config(ThirdSettings):
    """Settings of RecFormer; temperature, shares and weights are those of the authors."""

    history: int = Field(default=50, ge=1, le=1000)
    """Items of a history that the model may read; older ones are cut off, and what `tokens` do not hold."""
    backbone: str = backbones.MINILM
    """Language model to start from: all-MiniLM-L6-v2, a local folder, or a name on the Hugging Face hub."""
    pretrained: bool = True
    """Whether the backbone's weights are loaded; without, they are random in the same shape."""
    dtype: Literal["auto", "bfloat16", "float32"] = "auto"
    """Type of the arithmetic, auto: bfloat16 where the device has units for it; the weights, which learn, are in single
    precision."""
    trained_layers: int = Field(default=6, ge=1)
    """Upper blocks of the backbone that learn; with as many as it has, its token vectors learn too, as in the paper."""
    tokens: int = Field(default=128, ge=4, le=8192)
    """Tokens of a history, at most; the oldest are cut off. 128 hold some five items of `item_tokens`."""
    item_tokens: int = Field(default=24, ge=2, le=512)
    """Tokens of an item, at most, names of attributes counted."""
    value_tokens: int = Field(default=12, ge=1, le=512)
    """Tokens of an attribute's value, at most."""
    dropout: float = Field(default=0.1, ge=0, lt=1)
    """Dropout of the backbone in training."""
    temperature: float = Field(default=0.05, gt=0)
    """Temperature of the cosine between user and item."""
    smoothing: float = Field(default=0.0, ge=0, lt=1)
    """Label smoothing of the softmax over the whole catalogue."""
    preparation: int = Field(default=0, ge=0)
    """First epochs, on hidden words and on telling the next item from those of the batch."""
    word_weight: float = Field(default=0.1, ge=0)
    """Weight of the hidden words (MLM) in the preparation."""
    hidden: float = Field(default=0.15, gt=0, lt=1)
    """Probability that a word is hidden in the preparation."""
    first_stage: int = Field(default=2, ge=1)
    """Epochs after the preparation at whose beginning all items are read anew; in later ones they stay as they are."""


SPACE: Space = {
    "model.trained_layers": Choices(choices=(3, 6)),
    "model.dropout": Range(low=0, high=0.3),
    "model.smoothing": Range(low=0, high=0.3),
    "model.temperature": Range(low=0.03, high=0.1, log=True),
    "model.first_stage": Range(low=1, high=3),
    "model.preparation": Choices(choices=(0, 1)),
    "training.turned": Range(low=0, high=0.5),
    "training.batch_size": Choices(choices=(32, 64, 128)),
    "training.learning_rate": Range(low=3e-5, high=5e-4, log=True),
    "training.weight_decay": Range(low=0.001, high=0.3, log=True),
}


class Model(Retriever, TextReader):
    """Text is all you need (Li et al. 2023).

    An item is its attributes, name and value by turns; a history is [CLS] and its items, the most recent first. With
    w the token vectors, a those of position (in the backbone), b those of what a token is (opening, name, value) and c
    those of the item's place (0 for [CLS], 1 for the most recent), `h = f(LN(w + a + b + c))[CLS]`, for a history as
    for an item alone, and `score(j) = cos(h_user, h_j) / tau`. The preparation minimises

        -log exp(cos(h, h+) / tau) / sum over the batch of exp(cos(h, h') / tau)  +  lambda MLM

    where history and items are read by the same weights, with gradient, the history with its hidden words. Then the
    loss is the cross-entropy of the next item over the catalogue's matrix, which has no gradient: in the first stage it
    is read anew at every epoch's beginning, in the second it stays and the reader goes on. Targets and negatives both
    come from that matrix: were the target alone read live, the loss could be lowered by telling new vectors from old
    ones.

    Deviations: a sentence encoder of six layers takes the place of Longformer, and as rows have some hundred tokens,
    attention has no window; there is no pre-training on other domains. One position of every window is drawn as the end
    of its history and stands for all that count, so that the mean is that over positions, as in the authors' code. That
    reads histories a second time for the contrast, with no word hidden, and hides words of items too. Vectors of kind
    and place begin at zero, so that the untrained model is the sentence encoder, but [CLS] is read, where that was
    trained to be averaged; rows are a tenth as long as the authors', of 1,024 tokens. The second stage goes on from the
    last epoch of the first, not from its best one. The head of MLM is new, its table that of the token vectors.
    Attributes are those of the catalogue, cut by `value_tokens`. A later item cannot be added, as the reader has moved
    on from the matrix.
    """

    def __init__(self, config: Config, items: Items, attributes: int = 0) -> None:
        """Loads the backbone and reads the catalogue. See the base class."""
        config = config.model_copy(update={"dtype": arithmetic.dtype_of(config.dtype)})
        super().__init__(config, items, attributes)
        self.config, self.preparation = config, config.preparation
        frozen = backbones.load(config.backbone, pretrained=config.pretrained)
        _refuse_long_rows(config, frozen.limit)
        self.tokenizer = backbones.tokenizer(config.backbone)
        self.texts = self._keyed(keyed.attributes_of(items.titles, items.attributes))
        self.token_counts = self.texts.tokens.lengths
        self.reader = Tuned(frozen, config.trained_layers, config.dropout, config.dtype == "bfloat16")
        self.kinds = nn.Embedding(3, frozen.width)
        self.places = nn.Embedding(config.history + 1, frozen.width)
        nn.init.zeros_(self.kinds.weight)
        nn.init.zeros_(self.places.weight)
        self.words = WordTask(self.tokenizer, frozen.token_embedding, config.hidden) if config.preparation else None
        self.register_buffer("preparing", torch.zeros((), dtype=torch.bool))
        self.preparing: Tensor
        self.register_buffer("matrix", self._first_matrix())
        self.matrix: Tensor
        add_third(self, config, items)

    def begin(self, epoch: int) -> None:
        """See the base class; the first epochs prepare, those of the first stage read all items anew."""
        self.preparing.fill_(epoch < self.preparation)
        if self.preparation <= epoch < self.preparation + self.config.first_stage:
            self.matrix.copy_(self._catalogue())

    def loss(self, batch: Batch) -> Loss:
        """Returns the cross-entropy of the next item at drawn positions, or the preparation's two tasks.

        Raises:
            ValueError: the batch has no targets.
        """
        if batch.targets is None or batch.target_mask is None:
            raise ValueError("a training batch has targets")
        rows, ends = drawn(batch.target_mask)
        place = torch.arange(batch.mask.shape[1], device=ends.device)
        items, mask = batch.items[rows], batch.mask[rows] & (place <= ends.unsqueeze(1))
        targets = batch.targets[rows, ends]
        if self.preparing and self.words is not None:
            parts = self._prepared(self.words, items, mask, targets)
        else:
            queries = self._encoded(items, mask) / self.config.temperature
            parts = {"retrieval": full_softmax(queries, self.matrix, targets, smoothing=self.config.smoothing)}
        total = torch.stack(list(parts.values())).sum()
        found = {name: float(part.detach()) for name, part in parts.items()}
        return Loss(total, found, int(batch.target_mask.sum()))

    def user_vectors(self, batch: Batch) -> Float[Tensor, "B D"]:
        """See the base class; an empty history is the opening token alone."""
        return self._encoded(batch.items, batch.mask) / self.config.temperature

    def item_vectors(self) -> Float[Tensor, "N D"]:
        """See the base class; the matrix, whose rows have length one."""
        return self.matrix

    def text_vectors(self, texts: tuple[str, ...]) -> Float[Tensor, "B D"]:
        """See the base class; the text is read as the title of an item just taken."""
        said = self._keyed([[("title", text)] for text in texts]).to(self.matrix.device)
        numbers = torch.arange(len(texts), device=self.matrix.device).unsqueeze(1)
        line = keyed.newest_first(said, numbers, torch.ones_like(numbers, dtype=torch.bool), self.config.tokens)
        return self._opening(self._read(line)) / self.config.temperature

    def _keyed(self, rows: Sequence[keyed.Attributes]) -> keyed.Keyed:
        return keyed.tokenize_keyed(self.tokenizer, rows, self.config.value_tokens, self.config.item_tokens)

    def _encoded(self, items: Int[Tensor, "B L"], mask: Bool[Tensor, "B L"]) -> Float[Tensor, "B D"]:
        """The state of [CLS] after a history, of length one."""
        return self._opening(self._read(self._line(items, mask)))

    def _line(self, items: Int[Tensor, "B L"], mask: Bool[Tensor, "B L"]) -> keyed.Line:
        return keyed.newest_first(self.texts.to(items.device), items, mask, self.config.tokens)

    def _read(self, line: keyed.Line) -> Float[Tensor, "B T D"]:
        words = self.reader.backbone.token_embedding(line.ids)
        states: Tensor = self.reader(words + self.kinds(line.kinds) + self.places(line.items), line.mask)
        return states

    def _opening(self, states: Float[Tensor, "B T D"]) -> Float[Tensor, "B D"]:
        return functional.normalize(states[:, 0], dim=-1)

    def _prepared(
        self, words: WordTask, items: Int[Tensor, "B L"], mask: Bool[Tensor, "B L"], targets: Int[Tensor, " B"]
    ) -> dict[str, Tensor]:
        """The contrast of histories and next items, both read live, and the words that were hidden in the histories."""
        line = self._line(items, mask)
        ids, hidden = words.hide(line.ids, line.kinds != keyed.OPENING)
        states = self._read(replace(line, ids=ids))
        alone = targets.unsqueeze(1)
        nexts = self._encoded(alone, torch.ones_like(alone, dtype=torch.bool))
        queries = self._opening(states) / self.config.temperature
        table = self.reader.backbone.token_embedding.weight
        assert isinstance(table, Tensor)
        return {
            "items": matched_softmax(queries, nexts, alone == targets),
            "words": self.config.word_weight * words(states[hidden], line.ids[hidden], table),
        }

    def _first_matrix(self) -> Float[Tensor, "N D"]:
        """The catalogue as the backbone reads it, on which vectors of zero change nothing; from disk where known."""
        config, tokens = self.config, self.texts.tokens
        if not config.pretrained:
            return self._catalogue()
        who = [backbones.fingerprint(config.backbone), config.dtype, "keyed", tokens.start]
        return bank.cached([*who, tokens.ids.tolist(), tokens.lengths.tolist()], self._catalogue)

    @torch.no_grad()
    def _catalogue(self) -> Float[Tensor, "N D"]:
        """Every item as it is read now, the longest first."""
        was_training = self.training
        self.eval()
        device = self.places.weight.device
        order = self.texts.tokens.lengths.argsort(descending=True).to(device)
        rows = max(1, _AT_ONCE // (self.texts.tokens.ids.shape[1] + 1))
        one = torch.ones(len(order), 1, dtype=torch.bool, device=device)
        parts = [self._encoded(part.unsqueeze(1), one[: len(part)]) for part in torch.split(order, rows)]
        self.train(was_training)
        return torch.cat(parts)[order.argsort()]


def drawn(asked: Bool[Tensor, "B L"]) -> tuple[Int[Tensor, " P"], Int[Tensor, " P"]]:
    """Returns rows and columns of positions that count, each at most once, drawn alike; as many as there are rows."""
    rows, ends = asked.nonzero(as_tuple=True)
    chosen = torch.randperm(len(rows), device=rows.device)[: len(asked)]
    return rows[chosen], ends[chosen]


def _refuse_long_rows(config: Config, limit: int | None) -> None:
    if limit is not None and config.tokens > limit:
        raise SettingError(
            f"model.tokens: {config.tokens}: {config.backbone} has {limit} positions. "
            "Lower model.tokens, or use another backbone."
        )
