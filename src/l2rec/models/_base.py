"""What a model owes: the abstract kinds of recommender that a file in this folder makes final."""

from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from l2rec.config import ModelSettings
from l2rec.errors import RunError
from l2rec.types import Batch, Histories, Items, Loss

_THIRD = "third."
"""What the names of a learner's third signal begin with in its state."""


class Recommender(nn.Module, ABC):
    """Anything that scores every item of the catalogue for a batch of histories."""

    def __init__(self, config: ModelSettings, items: Items, attributes: int = 0) -> None:
        """Keeps the settings.

        Args:
            config: The model's own `Config`.
            items: The catalogue; a model keeps what it needs of it.
            attributes: Columns A of a user's attribute vector; 0 where the data has none.
        """
        super().__init__()
        self.settings = config
        self.item_count = len(items)
        self.attribute_count = attributes

    @abstractmethod
    def scores(self, batch: Batch) -> Float[Tensor, "B N"]:
        """Returns a finite score of every item for every row; rows with an empty history included."""

    @abstractmethod
    def state(self) -> dict[str, Tensor]:
        """Returns every tensor that was learnt or counted, by name; what construction gives again is left out."""

    @abstractmethod
    def load_state(self, state: dict[str, Tensor]) -> None:
        """Takes what `state` returned.

        Raises:
            RunError: a name or a shape does not fit.
        """


class Counter(Recommender):
    """A floor: a recommender that counts the training events once and learns nothing by gradient.

    Attributes:
        tables: What was counted, by name. The constructor puts tables of their final shape here, filled with zeros, so
            that a file of another catalogue is refused; one that it leaves empty may take any shape.
    """

    def __init__(self, config: ModelSettings, items: Items, attributes: int = 0) -> None:
        """See the base class."""
        super().__init__(config, items, attributes)
        self.tables: dict[str, Tensor] = {}

    @abstractmethod
    def count(self, histories: Histories) -> None:
        """Fills `tables` from the training part."""

    def state(self) -> dict[str, Tensor]:
        """See the base class."""
        return dict(self.tables)

    def load_state(self, state: dict[str, Tensor]) -> None:
        """See the base class."""
        wrong = sorted(set(self.tables) ^ set(state))
        wrong += [n for n, t in self.tables.items() if t.numel() and n in state and t.shape != state[n].shape]
        if wrong:
            raise RunError(f"weights: {wrong[0]}: does not fit the model or the catalogue. Use the run's own folder.")
        self.tables = dict(state)


class Learner(Recommender):
    """A recommender whose weights follow the gradient of `loss`.

    Attributes:
        token_counts: Positions that each item takes in the model's input; batches are bucketed by their sum. Ones,
            unless the model's constructor says otherwise.
        readings: What the log shows of the model's inner life since the last step that was logged, e.g. expert use;
            the model fills it in `loss`, the loop copies it.
        third: A floor whose scores stand beside the model's own; counted before the first step, no part of the loss.
            None where there is none.
        third_weight: Factor of its scores.
        preparation: First epochs that prepare, e.g. on a loss without targets; nothing is validated after them, as the
            weights cannot rank yet.
    """

    third: Counter | None

    def __init__(self, config: ModelSettings, items: Items, attributes: int = 0) -> None:
        """See the base class."""
        super().__init__(config, items, attributes)
        self.token_counts: Int[Tensor, " N"] = torch.ones(len(items), dtype=torch.long)
        self.readings: dict[str, float] = {}
        self.third = None
        self.third_weight = 0.0
        self.preparation = 0

    @abstractmethod
    def loss(self, batch: Batch) -> Loss:
        """Returns the loss of a batch with targets; a mean over the positions of `target_mask`."""

    def begin(self, epoch: int) -> None:
        """Called before the first batch of every epoch, for models that learn in stages.

        A resume calls it only where the epoch had not begun, so what it changes must be in `state`.

        Args:
            epoch: Number of the pass, from 0.
        """

    def state(self) -> dict[str, Tensor]:
        """Returns trainable parameters, persistent buffers and what `third` counted; frozen weights stay behind."""
        frozen = {name for name, p in self.named_parameters() if not p.requires_grad}
        counted = {} if self.third is None else self.third.state()
        own = {name: t for name, t in self.state_dict().items() if name not in frozen}
        return own | {_THIRD + name: t for name, t in counted.items()}

    def load_state(self, state: dict[str, Tensor]) -> None:
        """See the base class."""
        expected = self.state()
        wrong = sorted(set(expected) ^ set(state))
        learnt = {n for n in expected.keys() & state.keys() if not n.startswith(_THIRD)}
        wrong += sorted(n for n in learnt if expected[n].shape != state[n].shape)
        if wrong:
            raise RunError(f"weights: {wrong[0]}: does not fit the model's settings. Use the run's own config.toml.")
        if self.third is not None:
            self.third.load_state({n.removeprefix(_THIRD): t for n, t in state.items() if n not in learnt})
        self.load_state_dict({n: state[n] for n in learnt}, strict=False)

    def load_learnt(self, state: dict[str, Tensor]) -> None:
        """Takes what was learnt of a `state`; what a third signal counted there is left, and stays as it is here.

        Raises:
            RunError: a name or a shape does not fit.
        """
        counted = {} if self.third is None else self.third.state()
        own = {name: t for name, t in state.items() if not name.startswith(_THIRD)}
        self.load_state(own | {_THIRD + name: t for name, t in counted.items()})


class Retriever(Learner):
    """A learner whose own score is a dot product, so that its items can be indexed; `third` may add to it."""

    @abstractmethod
    def user_vectors(self, batch: Batch) -> Float[Tensor, "B D"]:
        """Returns the preference vector of every row after its last event; any finite vector for an empty history."""

    @abstractmethod
    def item_vectors(self) -> Float[Tensor, "N D"]:
        """Returns the vectors of the whole catalogue."""

    def scores(self, batch: Batch) -> Float[Tensor, "B N"]:
        """Returns the dot products of user and item vectors, and what `third` adds to them."""
        return self.scores_by(batch, self.item_vectors())

    def scores_by(self, batch: Batch, vectors: Float[Tensor, "N D"]) -> Float[Tensor, "B N"]:
        """Returns `scores`, given the item vectors, which need be made only once for many batches."""
        return self.scores_between(self.user_vectors(batch), vectors, batch)

    def scores_between(
        self, users: Float[Tensor, "B D"], vectors: Float[Tensor, "N D"], batch: Batch
    ) -> Float[Tensor, "B N"]:
        """Returns `scores`, given the vectors of both sides; the batch is read by `third` alone."""
        dots = users @ vectors.T
        return dots if self.third is None else dots + self._third_scores(batch, len(vectors))

    def with_third(self, parts: dict[str, Float[Tensor, "B N"]], batch: Batch) -> dict[str, Float[Tensor, "B N"]]:
        """Returns named shares of the dot products, and what `third` adds to them, where there is one."""
        if self.third is None:
            return parts
        return parts | {"transition": self._third_scores(batch, next(iter(parts.values())).shape[1])}

    def _third_scores(self, batch: Batch, count: int) -> Float[Tensor, "B N"]:
        """The weighted scores of `third`, which counts no item that came later: such an item gets 0 from it."""
        assert self.third is not None
        scores = self.third_weight * self.third.scores(batch)
        return nn.functional.pad(scores, (0, count - scores.shape[1]))


class TextReader(ABC):
    """A retriever that can also answer a query in words."""

    @abstractmethod
    def text_vectors(self, texts: tuple[str, ...]) -> Float[Tensor, "B D"]:
        """Returns a preference vector for every text, to be multiplied with `item_vectors`.

        Raises:
            SettingError: the model was trained without what reads text.
        """

    def described(self, texts: tuple[str, ...]) -> Float[Tensor, "B D"]:
        """Returns a vector for every text, to be multiplied with `item_vectors`: high for the items that it describes.

        `text_vectors` tell what is liked after such a text, which are other items in part. The same where a model does
        not tell the two apart.

        Raises:
            SettingError: the model was trained without what reads text.
        """
        return self.text_vectors(texts)

    @property
    def can_read(self) -> bool:
        """Whether this model, as it was trained, has what reads text."""
        return True


class Growing(ABC):
    """A retriever that takes up items which its training did not see."""

    @abstractmethod
    def put_items(self, numbers: Sequence[int], items: Items) -> None:
        """Gives items to the model, or a new text to items that it has; only their rows are computed.

        An item beyond the last is appended and scores as if it had stood in the catalogue untrained: without an ID
        vector and with no event; its `counts` are not looked at, and `third` gives it 0.

        Args:
            numbers: Item number of every row, each once: one that is known, or the next ones in order.
            items: Texts, titles and attributes, a row for each number.
        """

    @abstractmethod
    def some_vectors(self, numbers: Int[Tensor, " P"]) -> Float[Tensor, "P D"]:
        """Returns those rows of `item_vectors`, and computes no other."""


class Explaining(ABC):
    """A retriever whose score is a sum of parts that have names."""

    @abstractmethod
    def parts(self, batch: Batch, vectors: Float[Tensor, "N D"] | None = None) -> dict[str, Float[Tensor, "B N"]]:
        """Returns what every part gives to every score; they add up to `scores`.

        Names are `text` and `behaviour` for the views, `mixed` where both stand in one sequence, `average` for what an
        empty history gets instead, and `transition` for the third signal. A part that the model lacks is not named.

        Args:
            batch: Histories.
            vectors: The item vectors, where they are at hand; made anew where None.
        """

    @abstractmethod
    def expert_use(self, batch: Batch) -> dict[str, list[list[float]]]:
        """Returns, for each view, block and expert, the share of choices in row 0 that fell on the expert.

        A view where nothing chooses among experts is left out; the shares of one block add up to 1.
        """
