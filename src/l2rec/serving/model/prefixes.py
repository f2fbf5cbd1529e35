"""What a server process remembers of the users that it read last, within a budget of bytes."""

from collections import Counter, OrderedDict
from collections.abc import Collection, Sequence

from jaxtyping import Float
from torch import Tensor

from l2rec.models import PrefixReader
from l2rec.nn.prefix import Prefix


class Prefixes:
    """The newest prefix of each user, the user that was asked for longest ago forgotten first.

    Used from one thread at a time. A user's history, attributes and the weights' hash decide what is found, so that a
    new version of the run, or another past, is read from the start.

    Attributes:
        limit: Bytes of all prefixes together, at most.
        size: Bytes of them now.
        counts: How often a look-up found what it could read on from (`grown`) or had nothing to read (`same`), knew
            another past, as when the window of the newest items slides (`slid`), or knew nothing (`unknown`); and how
            many prefixes were let go for want of room (`dropped`).
    """

    def __init__(self, limit: int) -> None:
        """Remembers nobody yet.

        Args:
            limit: Bytes; 0 remembers nobody ever.
        """
        self.limit = limit
        self.size = 0
        self.counts: Counter[str] = Counter()
        self._kept: OrderedDict[tuple[str, str], Prefix] = OrderedDict()

    def __len__(self) -> int:
        return len(self._kept)

    def vectors(
        self,
        model: PrefixReader,
        weights: str,
        users: Sequence[str],
        histories: Sequence[Sequence[int]],
        attributes: Float[Tensor, "B A"],
    ) -> Float[Tensor, "B D"]:
        """Returns preference vectors of users, reads what is new of each, and remembers it.

        Args:
            model: What reads.
            weights: Hash of its weights.
            users: Outside ids; the empty id is nobody's, and nothing is remembered of it.
            histories: Item numbers of each, oldest first, cut to the model's window.
            attributes: Attribute vectors of the users, on the model's device.
        """
        asked = list(zip(users, histories, attributes, strict=True))
        found = [self.find(weights, user, history, own) if user else None for user, history, own in asked]
        vectors, read = model.read_on(found, histories, attributes)
        for user, prefix in zip(users, read, strict=True):
            if user:
                self.keep(weights, user, prefix)
        return vectors

    def find(
        self, weights: str, user_id: str, history: Sequence[int], attributes: Float[Tensor, " A"]
    ) -> Prefix | None:
        """Returns what was read of the beginning of a history; None where it has to be read from the start.

        Args:
            weights: Hash of the weights that read.
            user_id: Outside id of the user.
            history: Item numbers that the model is to read, oldest first, cut to its window.
            attributes: The user's attribute vector.
        """
        prefix = self._kept.get((weights, user_id))
        if prefix is None:
            self.counts["unknown"] += 1
            return None
        self._kept.move_to_end((weights, user_id))
        if not prefix.begins(history, attributes):
            self.counts["slid"] += 1
            return None
        self.counts["same" if len(prefix.items) == len(history) else "grown"] += 1
        return prefix

    def keep(self, weights: str, user_id: str, prefix: Prefix | None) -> None:
        """Remembers a user's prefix in the place of the one before; one above the whole budget is not kept.

        Args:
            weights: Hash of the weights that read it.
            user_id: Outside id of the user.
            prefix: What was read; None forgets the user.
        """
        self._drop((weights, user_id))
        if prefix is None:
            return
        if prefix.size > self.limit:
            self.counts["dropped"] += 1
            return
        while self.size + prefix.size > self.limit:
            self._drop(next(iter(self._kept)))
            self.counts["dropped"] += 1
        self._kept[weights, user_id] = prefix
        self.size += prefix.size

    def forget(self, numbers: Collection[int]) -> None:
        """Forgets every prefix that holds one of these items, whose texts were rewritten."""
        rewritten = set(numbers)
        for key in [key for key, prefix in self._kept.items() if not rewritten.isdisjoint(prefix.items)]:
            self._drop(key)

    def _drop(self, key: tuple[str, str]) -> None:
        prefix = self._kept.pop(key, None)
        self.size -= 0 if prefix is None else prefix.size
