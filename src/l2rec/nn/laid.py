"""Keys and values of several users' pasts in one tensor, copied once, together with the new ones."""

from collections.abc import Sequence

from jaxtyping import Float
from torch import Tensor
from transformers.cache_utils import DynamicLayer

States = Sequence[Float[Tensor, "_heads _before _head"]]


class Laid(DynamicLayer):  # type: ignore[no-untyped-call]
    """One block's keys and values: side by side, each past filled up to the longest, the new behind them."""

    def __init__(self, keys: States, values: States) -> None:
        """Keeps pasts, one for each user; nothing is copied before the new ones are there."""
        super().__init__()  # type: ignore[no-untyped-call]
        self._past = keys, values

    def get_seq_length(self) -> int:
        """Returns the positions of the longest past, and the new ones once they are there."""
        if self.keys is not None:
            return int(self.keys.shape[2])
        return max(state.shape[1] for state in self._past[0])

    def update(self, key_states: Tensor, value_states: Tensor, *_: object) -> tuple[Tensor, Tensor]:
        """Takes the new keys and values; returns all."""
        keys, values = self._past
        self.keys, self.values = stacked(keys, key_states), stacked(values, value_states)
        self.is_initialized = True
        return self.keys, self.values


def stacked(states: States, new: Float[Tensor, "B _heads _new _head"]) -> Float[Tensor, "B _heads T _head"]:
    """Returns pasts, filled up with zeros to the longest, and behind them what is new."""
    longest = max(state.shape[1] for state in states)
    both = new.new_empty(*new.shape[:2], longest + new.shape[2], new.shape[3])
    for row, state in zip(both, states, strict=True):
        row[:, : state.shape[1]] = state
        if state.shape[1] < longest:
            row[:, state.shape[1] : longest] = 0
    both[:, :, longest:] = new
    return both
