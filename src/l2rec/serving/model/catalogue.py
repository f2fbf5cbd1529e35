"""The catalogue of a run that is alive: what the training knew, what came later, and what is gone."""

from collections.abc import Iterable, Mapping, Sequence

from l2rec.data.ids import Ids
from l2rec.errors import DataError
from l2rec.serving.records import LiveItem
from l2rec.types import Items


class Catalogue:
    """Outside ids and item numbers, and what a person is shown of an item; grows behind the trained items.

    The number of a later item is its place in the order in which this catalogue heard of it; it means nothing to
    another process, so what is stored of later items is their ids.

    Attributes:
        trained: Items that the training knew; their numbers are below it.
        titles: What a person is shown, by number; may be empty.
        texts: What a language model reads, by number.
        attributes: Tokens of the form `column=value`, by number.
        deleted: Numbers that may not be recommended.
        waiting: Ids of items that came and that the model cannot take up before it is trained with them.
    """

    def __init__(self, items: Items, ids: Ids) -> None:
        """Begins with what the training knew.

        Args:
            items: The run's items.
            ids: Their outside ids.
        """
        self.trained = len(ids)
        self._trained_texts = items.texts
        self.titles = list(items.titles)
        self.texts = list(items.texts)
        self.attributes = list(items.attributes)
        self.deleted: set[int] = set()
        self.waiting: set[str] = set()
        self._ids = ids
        self._later: dict[str, int] = {}
        self._later_ids: list[str] = []

    def __len__(self) -> int:
        return self.trained + len(self._later_ids)

    def __contains__(self, item_id: object) -> bool:
        return item_id in self._later or item_id in self._ids

    @property
    def ids(self) -> tuple[str, ...]:
        """Every outside id, by number; made anew at every call."""
        return (*self._ids.values, *self._later_ids)

    def number(self, item_id: str) -> int:
        """Returns the number of an id.

        Raises:
            DataError: the id is unknown; the nearest known one is named.
        """
        later = self._later.get(item_id)
        return self._ids.number(item_id) if later is None else later

    def numbers(self, item_ids: Iterable[str]) -> list[int]:
        """Returns the numbers of several ids, in their order.

        Raises:
            DataError: an id is unknown.
        """
        return [self.number(item_id) for item_id in item_ids]

    def id(self, number: int) -> str:
        """Returns the id of a number.

        Raises:
            DataError: the number is below 0 or beyond the last.
        """
        if number >= len(self):
            raise DataError(f"item number {number}: expected 0 to {len(self) - 1}. Use the numbers of this run.")
        return self._ids.id(number) if number < self.trained else self._later_ids[number - self.trained]

    def title(self, number: int) -> str:
        """Returns what a person is shown of an item: its title, or its id where it has none."""
        return self.titles[number] or self.id(number)

    def is_rewritten(self, number: int) -> bool:
        """Returns whether a language model reads another text of a trained item than it did in the training."""
        return number < self.trained and self.texts[number] != self._trained_texts[number]

    def numbered(self, changes: Sequence[LiveItem], grows: bool) -> dict[int, LiveItem]:
        """Returns the newest of the changes of every item under its number, which a new item gets here; takes nothing.

        Args:
            changes: In order; of an item that is unknown and can get no number nothing is returned.
            grows: Whether new items get numbers.
        """
        found: dict[int, LiveItem] = {}
        fresh: dict[str, int] = {}
        for change in changes:
            name = change.item_id
            if name in self or name in fresh:
                found[fresh[name] if name in fresh else self.number(name)] = change
            elif grows and not change.deleted:
                fresh[name] = len(self) + len(fresh)
                found[fresh[name]] = change
        return found

    def take(self, numbered: Mapping[int, LiveItem]) -> None:
        """Takes what `numbered` returned."""
        for number in sorted(numbered):
            change = numbered[number]
            if number == len(self):
                self._later[change.item_id] = number
                self._later_ids.append(change.item_id)
                self._describe(number, change)
            elif not change.deleted:
                self._describe(number, change)
            (self.deleted.add if change.deleted else self.deleted.discard)(number)

    def wait(self, changes: Sequence[LiveItem]) -> None:
        """Notes which of the changes are of items that still have no number."""
        for change in changes:
            out = change.deleted or change.item_id in self
            (self.waiting.discard if out else self.waiting.add)(change.item_id)

    def _describe(self, number: int, item: LiveItem) -> None:
        for column, cell in ((self.titles, item.title), (self.texts, read_of(item))):
            column[number : number + 1] = [cell]
        self.attributes[number : number + 1] = [item.attributes]


def read_of(item: LiveItem) -> str:
    """Returns what a language model reads of a later item: its text, or its title where it has none."""
    return item.text or item.title
