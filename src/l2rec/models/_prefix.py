"""The abstract kind of model that reads on where it stopped."""

from abc import ABC, abstractmethod
from collections.abc import Sequence

from jaxtyping import Float
from torch import Tensor

from l2rec.nn.prefix import Prefix


class PrefixReader(ABC):
    """A retriever that reads of a history only what was added since it last did."""

    @abstractmethod
    def read_on(
        self,
        prefixes: Sequence[Prefix | None],
        histories: Sequence[Sequence[int]],
        attributes: Float[Tensor, "B A"],
    ) -> tuple[Float[Tensor, "B D"], list[Prefix | None]]:
        """Returns `user_vectors` of histories, to the tolerance of the arithmetic, and what was read of them.

        Args:
            prefixes: What this method returned for the beginning of each history, from the same weights and the same
                item texts; None where there is nothing.
            histories: Item numbers, oldest first, of the newest `history` events at most; may be empty.
            attributes: Attribute vectors of the users.

        Raises:
            ValueError: a prefix is not how its history begins, or a history is too long.
        """
