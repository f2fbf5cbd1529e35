"""Items as vectors: frozen pooled text and a learned ID vector, and the projector that turns them into positions."""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from l2rec.nn.room import Room
from l2rec.nn.words import WordBag


class ItemTower(nn.Module):
    """v = W text + words + id, the ID left out for items that were never trained and, in training, at random."""

    def __init__(
        self,
        text: Float[Tensor, "N Dt"],
        trained: Bool[Tensor, " N"],
        width: int,
        id_dropout: float,
        words: WordBag | None = None,
    ) -> None:
        """Keeps the text vectors.

        Args:
            text: Frozen pooled text vectors.
            trained: True for an item with a training event.
            width: Width D of the item vectors.
            id_dropout: Probability that a training step sees an item without its ID.
            words: Learned vectors of the items' words; None leaves them out.
        """
        super().__init__()
        self.words = words
        self.register_buffer("text", text, persistent=False)
        self.register_buffer("trained", trained, persistent=False)
        self.text: Tensor
        self.trained: Tensor
        self.id_dropout = id_dropout
        self._room = Room()
        self.projection = nn.Linear(text.shape[1], width, bias=False)
        self.ids = nn.Embedding(len(text), width)
        nn.init.zeros_(self.ids.weight)
        if text.shape[1] == width:
            nn.init.eye_(self.projection.weight)

    def forward(self, items: Int[Tensor, " P"] | None = None) -> Float[Tensor, "P D"]:
        """Returns the vectors of `items`, or of the whole catalogue."""
        text, ids, trained = self.text, self.ids.weight, self.trained
        late = len(text) - len(ids)
        if items is not None:
            ids = self.ids(items.clamp(max=len(ids) - 1) if late else items)
            text, trained = text[items], trained[items]
        elif late:
            ids = nn.functional.pad(ids, (0, 0, 0, late))
        kept = trained
        if self.training and self.id_dropout > 0:
            kept = kept & (torch.rand(len(text), device=text.device) >= self.id_dropout)
        out: Tensor = self.projection(text) + ids * kept.unsqueeze(-1)
        return out if self.words is None else out + self.words(items)

    def put(self, items: Int[Tensor, " P"], text: Float[Tensor, "P Dt"]) -> None:
        """Gives items a new text; those beyond the last are appended, untrained and without an ID.

        Args:
            items: Item numbers, each once: known ones, or the next in order.
            text: Their text vectors.
        """
        self.text = self._room.put("text", self.text, items, text)
        self.trained = nn.functional.pad(self.trained, (0, len(self.text) - len(self.trained)))


class Projector(nn.Module):
    """A two-layer map from item vectors to input positions, at the size of the backbone's token vectors."""

    def __init__(self, width: int, inner: int, size: float, dropout: float) -> None:
        """Builds the map.

        Args:
            width: Width D of item vectors and backbone.
            inner: Width of the hidden layer.
            size: Standard deviation of the backbone's token vectors, which the output starts with.
            dropout: On the item vectors.
        """
        super().__init__()
        self.dropout = nn.Dropout(dropout)
        self.rise = nn.Linear(width, inner)
        self.fall = nn.Linear(inner, width)
        self.norm = nn.LayerNorm(width)
        nn.init.constant_(self.norm.weight, size)

    def forward(self, items: Float[Tensor, "*B D"]) -> Float[Tensor, "*B D"]:
        """Returns one input vector per item."""
        x = self.dropout(items)
        out: Tensor = self.norm(x + self.fall(nn.functional.gelu(self.rise(x))))
        return out


class Shortcut(nn.Module):
    """S [LN(v_t); LN(u_t)]: what the item just read and the user state say by themselves, past the backbone.

    It begins as v_t + u_t / 2, both normalised, so that an untrained model already finds items like those of the
    history; a frozen backbone, trained to read words, hands an item's vector on only as far as it is taught to.
    """

    def __init__(self, width: int) -> None:
        """Builds the map.

        Args:
            width: Width D of items and views.
        """
        super().__init__()
        self.norm = nn.LayerNorm(width, elementwise_affine=False)
        self.map = nn.Linear(2 * width, width, bias=False)
        with torch.no_grad():
            self.map.weight.copy_(torch.cat([torch.eye(width), torch.eye(width) / 2], 1))

    def forward(
        self, dropout: nn.Dropout, items: Float[Tensor, "P D"], state: Float[Tensor, "P D"]
    ) -> Float[Tensor, "P D"]:
        """Returns what is added to a view.

        Args:
            dropout: Of the views.
            items: The vector of the item just read.
            state: The user state there.
        """
        out: Tensor = self.map(torch.cat([dropout(self.norm(items)), dropout(self.norm(state))], -1))
        return out


def last_events(mask: Bool[Tensor, "B L"]) -> Bool[Tensor, "B L"]:
    """Returns True at the last event of every row, once a row; at the first place where a row has none."""
    last = (mask.sum(1, keepdim=True) - 1).clamp(min=0)
    return torch.arange(mask.shape[1], device=mask.device) == last


def running_mean(
    vectors: Float[Tensor, "B L D"],
    mask: Bool[Tensor, "B L"],
    before: tuple[Float[Tensor, "B D"], Int[Tensor, " B"]] | None = None,
) -> Float[Tensor, "B L D"]:
    """Returns, at every position, the mean of the vectors up to and including it; the causal user state.

    Args:
        vectors: One for every position.
        mask: True where there is one.
        before: Sum and number of the vectors that came before the first position; None where there was none.
    """
    weights = mask.unsqueeze(-1).to(vectors.dtype)
    sums, counts = (vectors * weights).cumsum(1), weights.cumsum(1)
    if before is not None:
        sums, counts = sums + before[0].unsqueeze(1), counts + before[1].view(-1, 1, 1)
    return sums / counts.clamp(min=1)
