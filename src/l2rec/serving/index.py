"""Which items have the highest dot product with a user's vector: all are looked at, or with faiss the nearest cells."""

import warnings
from abc import ABC, abstractmethod
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from l2rec.errors import MissingExtraError, SettingError
from l2rec.evaluation.ranking import TIE_SEED

EXACT_BELOW = 200_000
"""Items from which on `auto` means faiss."""
SCORES = 1 << 25
"""Scores that are held at a time, at most; 128 MiB."""
_ON_A_CARD = 8
"""How many times as many on a GPU, which has the room and waits for the CPU once a block."""
_GROUP = 64
"""Scores whose maximum is looked at before they are."""
GOAL = 0.95
"""Share of the exact list that faiss has to find on a sample of users; cells are added until it does."""
_SAMPLE_A_CELL = 64
"""Vectors a cell from which faiss learns where the cells lie."""

Found = tuple[Int[Tensor, "B K"], Float[Tensor, "B K"]]
Pairs = tuple[Int[Tensor, " S"], Int[Tensor, " S"]]
"""Rows of a batch, and for each an item number that the row may not get; no pair twice."""


class Index(ABC):
    """The catalogue's vectors, ready to be searched.

    Attributes:
        name: What a release says of it.
        vectors: The vectors, N x D.
    """

    name: str

    def __init__(self, vectors: Float[Tensor, "N D"]) -> None:
        """Keeps the vectors and the one order of the catalogue that breaks ties."""
        self.vectors = vectors
        self.weight = tie_order(len(vectors)).to(vectors.device)

    @abstractmethod
    def search(self, users: Float[Tensor, "B D"], k: int, seen: Pairs | None = None) -> Found:
        """Returns the numbers of the best items, best first, and their scores.

        Equal scores stand in the order of `evaluation.ranking.best`. Places beyond the last candidate have a score of
        minus infinity and any number.

        Args:
            users: Preference vectors.
            k: Places; K = min(k, N).
            seen: What is left out.
        """


class Exact(Index):
    """Looks at every item, a block of them at a time."""

    name = "exact"

    def search(self, users: Float[Tensor, "B D"], k: int, seen: Pairs | None = None) -> Found:
        """See the base class; `room` scores are held at a time, or one a user where there are more users."""
        count = len(self.vectors)
        block = min(count, max(1, room(users.device.type) // max(1, len(users))))
        numbers, scores = [], []
        for begin in range(0, count, block):
            dots = users @ self.vectors[begin : begin + block].T
            if seen is not None:
                here = (seen[1] >= begin) & (seen[1] < begin + block)
                dots[seen[0][here], seen[1][here] - begin] = -torch.inf
            best, values = _largest(dots, self.weight[begin : begin + block], k)
            numbers.append(best + begin)
            scores.append(values)
        return ordered(torch.cat(numbers, 1), torch.cat(scores, 1), self.weight, k)


class Cells(Index):
    """Looks at the items of the cells whose centres are nearest to the user; needs the extra `serve`.

    Cells and not a graph: on 200,000 clustered vectors of many lengths, faiss's HNSW took longer to build and to search
    and found less by dot product, and several threads do not build the same graph twice.
    """

    def __init__(self, vectors: Float[Tensor, "N D"]) -> None:
        """Learns the cells and sorts the items into them; the same vectors give the same cells.

        Raises:
            MissingExtraError: faiss is not installed.
        """
        super().__init__(vectors)
        faiss = _faiss()
        rows = vectors.float().cpu().contiguous().numpy()
        self.count = max(1, min(len(rows) // 39, round(4 * len(rows) ** 0.5)))
        centres = faiss.IndexFlatIP(rows.shape[1])
        self.cells = faiss.IndexIVFFlat(centres, rows.shape[1], self.count, faiss.METRIC_INNER_PRODUCT)
        self.cells.cp.max_points_per_centroid = _SAMPLE_A_CELL
        self.cells.train(rows)
        self.cells.add(rows)
        self.probe(max(1, self.count // 64))

    def probe(self, cells: int) -> None:
        """Sets how many cells are looked at for a user."""
        self.probed = self.cells.nprobe = min(cells, self.count)
        self.name = f"faiss IVF{self.count},Flat nprobe={self.probed}"

    def search(self, users: Float[Tensor, "B D"], k: int, seen: Pairs | None = None) -> Found:
        """See the base class; a list may be shorter where few items lie in the cells that were looked at."""
        count = len(self.vectors)
        most = 0 if seen is None or not len(seen[0]) else int(torch.bincount(seen[0]).max())
        values, places = self.cells.search(users.float().cpu().contiguous().numpy(), min(k + most, count))
        numbers = torch.from_numpy(places).to(users.device)
        scores = torch.from_numpy(values).to(users.device)
        scores = scores.masked_fill(numbers < 0, -torch.inf)
        numbers = numbers.clamp(min=0)
        if seen is not None:
            keys = torch.arange(len(users), device=users.device)[:, None] * count + numbers
            scores = scores.masked_fill(torch.isin(keys, seen[0] * count + seen[1]), -torch.inf)
        return ordered(numbers, scores, self.weight, min(k, count))

    def tune(self, users: Float[Tensor, "B D"], k: int, goal: float = GOAL) -> float:
        """Adds cells until the lists of these users hold enough of the exact ones, and returns that share.

        Args:
            users: A sample of preference vectors.
            k: Length of the lists.
            goal: Share that is enough.
        """
        exact = Exact(self.vectors).search(users, k)
        while (found := recall(self.search(users, k), exact)) < goal and self.probed < self.count:
            self.probe(self.probed * 2)
        return found


def index_of(vectors: Float[Tensor, "N D"], kind: str = "auto") -> Index:
    """Returns the index of a catalogue: exact below `EXACT_BELOW` items, faiss from there on, or as asked.

    Raises:
        SettingError: there is no such kind.
        MissingExtraError: faiss is wanted and not installed.
    """
    refuse_unknown(kind)
    approximate = kind == "faiss" or (kind == "auto" and len(vectors) >= EXACT_BELOW)
    return Cells(vectors) if approximate else Exact(vectors)


def refuse_unknown(kind: str) -> None:
    """Refuses what is no kind of index.

    Raises:
        SettingError: it is none.
    """
    if kind not in ("auto", "exact", "faiss"):
        raise SettingError(f"index: {kind}: no such kind. Choose auto, exact or faiss.")


def room(kind: str) -> int:
    """Returns how many scores `Exact` holds at a time on a kind of device."""
    return SCORES * (1 if kind == "cpu" else _ON_A_CARD)


def recall(found: Found, exact: Found) -> float:
    """Returns the share of the exact lists' items that are among those found."""
    width = 1 + int(max(found[0].max(), exact[0].max()))
    rows = torch.arange(len(exact[0]), device=exact[0].device)[:, None] * width
    keys, sought = ((rows + numbers)[scores > -torch.inf] for numbers, scores in (found, exact))
    return float(torch.isin(sought, keys).double().mean()) if len(sought) else 1.0


def tie_order(count: int) -> Int[Tensor, " N"]:
    """Returns the weights of the order of `evaluation.ranking.best`: of equal scores the larger weight comes first."""
    return torch.randperm(count, generator=torch.Generator().manual_seed(TIE_SEED))


def ordered(
    numbers: Int[Tensor, "B C"], scores: Float[Tensor, "B C"], weight: Int[Tensor, " N"], k: int
) -> tuple[Int[Tensor, "B K"], Float[Tensor, "B K"]]:
    """Returns the best `k` of some candidates a row, no number twice, in the order of `evaluation.ranking.best`."""
    scores, by_score = scores.sort(dim=1, descending=True)
    numbers = numbers.gather(1, by_score)
    if not (scores[:, 1:] == scores[:, :-1]).any():
        return numbers[:, :k], scores[:, :k]
    by_weight = weight[numbers].argsort(dim=1, descending=True)
    numbers, scores = numbers.gather(1, by_weight), scores.gather(1, by_weight)
    scores, by_score = scores.sort(dim=1, descending=True, stable=True)
    return numbers.gather(1, by_score)[:, :k], scores[:, :k]


def _largest(dots: Float[Tensor, "B block"], weight: Int[Tensor, " block"], k: int) -> Found:
    """The best `k` of a block in no order; where a tie is cut, those of the larger weights stay."""
    count = dots.shape[1]
    values, numbers = _topk(dots, min(k + 1, count))
    if count <= k:
        return numbers, values
    cut = values[:, k] == values[:, k - 1]
    values, numbers = values[:, :k], numbers[:, :k]
    if cut.any():
        last = values[cut, -1:]
        keys = torch.where(dots[cut] == last, weight, -1)
        keys = torch.where(dots[cut] > last, int(weight.max()) + 1, keys)
        numbers[cut] = keys.topk(k, dim=1).indices
        values = dots.gather(1, numbers)
    return numbers, values


def _topk(dots: Float[Tensor, "B block"], k: int) -> tuple[Float[Tensor, "B K"], Int[Tensor, "B K"]]:
    """`dots.topk(k)`, faster where a row is long; of equal scores at the cut it may choose others.

    The best k lie in the k groups of the largest maxima, or behind the last whole group, so a row is read once for the
    maxima and hardly again.
    """
    rows, count = dots.shape
    groups = count // _GROUP
    if groups <= 4 * k:
        values, numbers = dots.topk(k, dim=1)
        return values, numbers
    whole = groups * _GROUP
    maxima = dots[:, :whole].view(rows, groups, _GROUP).amax(2)
    chosen = maxima.topk(k, dim=1, sorted=False).indices
    inside = torch.arange(_GROUP, device=dots.device)
    rest = torch.arange(whole, count, device=dots.device).expand(rows, -1)
    numbers = torch.cat([(chosen.unsqueeze(2) * _GROUP + inside).flatten(1), rest], 1)
    values, places = dots.gather(1, numbers).topk(k, dim=1)
    return values, numbers.gather(1, places)


def _faiss() -> Any:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # of the layer between C++ and Python, not ours
            import faiss
    except ImportError:
        raise MissingExtraError("faiss", "serve") from None
    return faiss
