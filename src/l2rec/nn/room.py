"""Tables that grow: a row is appended without a copy of all that stand before it."""

import torch
from jaxtyping import Int, Shaped
from torch import Tensor


class Room:
    """Spare rows behind some tables; a table that is full moves to a place an eighth larger."""

    def __init__(self) -> None:
        """Keeps no spare row before the first table grows."""
        self._places: dict[str, Tensor] = {}

    def put(
        self,
        name: str,
        table: Shaped[Tensor, "N *width"],
        numbers: Int[Tensor, " P"],
        rows: Shaped[Tensor, "P *width"],
    ) -> Shaped[Tensor, "more *width"]:
        """Returns the table with `rows` at `numbers`; `table` itself shows rewritten rows, too, unless it had to move.

        Args:
            name: Tells the tables of one room from each other.
            table: What `put` returned last time, or a table that is new here.
            numbers: Row numbers, each once: known ones, or the next in order.
            rows: What is written there.
        """
        size = max(len(table), int(numbers.max()) + 1)
        if size > len(table):
            table = self._place(name, table, size)[:size]
        table[numbers] = rows.to(table.dtype)
        return table

    def _place(self, name: str, table: Tensor, size: int) -> Tensor:
        """A place for at least `size` rows that begins with those of `table`."""
        place = self._places.get(name)
        if place is None or place.data_ptr() != table.data_ptr() or len(place) < size:
            place = torch.zeros(size + size // 8 + 64, *table.shape[1:], dtype=table.dtype, device=table.device)
            place[: len(table)] = table
            self._places[name] = place
        return place
