"""The one place that knows both outside ids and numbers: `item_id` <-> item number, `user_id` <-> user number."""

import difflib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Self

from l2rec.errors import DataError


@dataclass(frozen=True)
class Ids:
    """A frozen list of distinct outside ids; an id's number is its place in the list.

    Attributes:
        values: The ids, by number.
        kind: What an id names, for the error messages: `item`, `user`.
    """

    values: tuple[str, ...]
    kind: str = "item"
    _places: Mapping[str, int] = field(init=False, repr=False, compare=False, default_factory=dict)

    def __post_init__(self) -> None:
        places = {value: number for number, value in enumerate(self.values)}
        if len(places) != len(self.values):
            twice = next(value for number, value in enumerate(self.values) if places[value] != number)
            raise DataError(f'{self.kind} id "{twice}": occurs twice. Give every {self.kind} one row.')
        object.__setattr__(self, "_places", places)

    @classmethod
    def of(cls, values: Sequence[str], kind: str = "item") -> Self:
        """Returns the ids numbered in the given order.

        Raises:
            DataError: an id occurs twice.
        """
        return cls(tuple(values), kind)

    def __len__(self) -> int:
        return len(self.values)

    def __contains__(self, value: object) -> bool:
        return value in self._places

    def number(self, value: str) -> int:
        """Returns the number of an id.

        Raises:
            DataError: the id is unknown; the nearest known one is named.
        """
        if value not in self._places:
            raise DataError(f'{self.kind} id "{value}": not among the {len(self)} known. {self._hint(value)}')
        return self._places[value]

    def id(self, number: int) -> str:
        """Returns the id of a number.

        Raises:
            DataError: the number is below 0 or beyond the last.
        """
        if not 0 <= number < len(self.values):
            raise DataError(f"{self.kind} number {number}: expected 0 to {len(self) - 1}. Use the numbers of this run.")
        return self.values[number]

    def numbers(self, values: Iterable[str]) -> list[int]:
        """Returns the numbers of several ids, in their order.

        Raises:
            DataError: an id is unknown.
        """
        return [self.number(value) for value in values]

    def ids(self, numbers: Iterable[int]) -> list[str]:
        """Returns the ids of several numbers, in their order.

        Raises:
            DataError: a number is out of range.
        """
        return [self.id(int(number)) for number in numbers]

    def _hint(self, value: str) -> str:
        close = difflib.get_close_matches(value, self.values, n=1) if len(self) <= 200_000 else []
        return f'Did you mean "{close[0]}"?' if close else f"Use an id of the {self.kind}s table of the prepared data."
