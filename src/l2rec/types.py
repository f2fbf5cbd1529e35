"""The nouns that every floor shares, and the legend of their shapes.

`B` users in a batch, `N` items in the catalogue, `U` users or cases, `M` events, `L` items of a history, `T` tokens,
`D` backbone width, `E` experts, `R` rank of an expert, `K` length of a list, `C` codes of an item, `A` columns of a
user's attribute vector. An item number is an index 0..N-1; padding is said by a mask, never by a number.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor


@dataclass(frozen=True)
class Items:
    """The catalogue as a model sees it: row n describes item number n.

    Attributes:
        texts: What a language model reads of an item: `title | attribute | attribute`.
        titles: What a person is shown.
        attributes: Tokens of the form `column=value`, for heuristics that count attributes.
        counts: Events of the item in the training part; 0 for an item that was never trained.
    """

    texts: tuple[str, ...]
    titles: tuple[str, ...]
    attributes: tuple[tuple[str, ...], ...]
    counts: Int[Tensor, " N"]

    def __len__(self) -> int:
        return len(self.texts)


@dataclass(frozen=True)
class Histories:
    """Event sequences, one per user or case, oldest first, stored end to end.

    Attributes:
        items: Item numbers of all events.
        times: Timestamp of every event, in the data set's own unit (seconds, or a position).
        offsets: Sequence u is `items[offsets[u]:offsets[u + 1]]`; U + 1 values, the first 0, the last M.
        attributes: Attribute vector of each sequence's user; A = 0 where the data has none.
    """

    items: Int[Tensor, " M"]
    times: Int[Tensor, " M"]
    offsets: Int[Tensor, " U_plus_1"]
    attributes: Float[Tensor, "U A"]

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def lengths(self) -> Int[Tensor, " U"]:
        """Returns the number of events of every sequence."""
        return self.offsets[1:] - self.offsets[:-1]

    def sequence(self, row: int) -> Int[Tensor, " L"]:
        """Returns the item numbers of one sequence, oldest first."""
        return self.items[int(self.offsets[row]) : int(self.offsets[row + 1])]

    def where(self, kept: Bool[Tensor, " M"]) -> "Histories":
        """Returns the same sequences with some of their events alone; one that keeps none is empty."""
        zero = self.offsets.new_zeros(1)
        before = torch.cat([zero, kept.cumsum(0).to(self.offsets.dtype)])
        return Histories(self.items[kept], self.times[kept], before[self.offsets.long()], self.attributes)


@dataclass(frozen=True)
class Cases:
    """What is asked in an evaluation: after this history, which item came next?

    Attributes:
        users: Row of the user in the prepared users table, U values; several cases may belong to one user.
        histories: Everything that the user did before the target, U sequences; may be empty.
        targets: The item number that came next.
        target_times: Its timestamp.
    """

    users: Int[Tensor, " U"]
    histories: Histories
    targets: Int[Tensor, " U"]
    target_times: Int[Tensor, " U"]

    def __len__(self) -> int:
        return len(self.targets)


@dataclass(frozen=True)
class Batch:
    """Histories as tensors, padded on the right, oldest first.

    Attributes:
        items: Item numbers; anything where `mask` is False.
        mask: True at an event.
        times: Timestamps; anything where `mask` is False.
        attributes: Attribute vectors of the users.
        targets: For training, the item that came after each position; None otherwise.
        target_mask: True at a position whose target counts; None where `targets` is None.
        users: For training, the row of each window's sequence in the training histories, so that two windows of one
            user are known as such; None where nobody asks, every row being a user of its own.
    """

    items: Int[Tensor, "B L"]
    mask: Bool[Tensor, "B L"]
    times: Int[Tensor, "B L"]
    attributes: Float[Tensor, "B A"]
    targets: Int[Tensor, "B L"] | None = None
    target_mask: Bool[Tensor, "B L"] | None = None
    users: Int[Tensor, " B"] | None = None

    def __len__(self) -> int:
        return len(self.items)

    def lengths(self) -> Int[Tensor, " B"]:
        """Returns the number of events of every row; 0 for an empty history."""
        return self.mask.sum(1)

    def to(self, device: torch.device) -> "Batch":
        """Returns the same batch with every tensor on `device`."""
        targets = None if self.targets is None else self.targets.to(device)
        target_mask = None if self.target_mask is None else self.target_mask.to(device)
        users = None if self.users is None else self.users.to(device)
        history = (self.items.to(device), self.mask.to(device), self.times.to(device))
        return Batch(*history, self.attributes.to(device), targets, target_mask, users)


@dataclass(frozen=True)
class Loss:
    """What one training step minimises, and its named parts for the log.

    Attributes:
        total: The scalar to differentiate.
        parts: Detached scalars by name, e.g. `retrieval`, `bpc`, `balance`.
        weight: How many targets `total` is a mean over; weighs batches against each other across processes.
    """

    total: Float[Tensor, ""]
    parts: dict[str, float]
    weight: int
