"""The index: blocks give what one look at all items gives, cells enough of it, and nothing seen comes back."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from l2rec.errors import MissingExtraError, SettingError
from l2rec.evaluation.ranking import best
from l2rec.serving import index as indices
from l2rec.serving.index import Cells, Exact, Pairs, index_of, ordered, recall, tie_order


def table(rows: int, width: int, seed: int) -> Tensor:
    """Small whole numbers, so that ties are many and sums the same in any order."""
    chance = torch.Generator().manual_seed(seed)
    return torch.randint(-2, 3, (rows, width), generator=chance).float()


def pairs(users: int, items: int, seed: int) -> Pairs:
    chance = torch.Generator().manual_seed(seed)
    row, item = (torch.rand(users, items, generator=chance) < 0.2).nonzero(as_tuple=True)
    return row, item


@given(
    users=st.integers(1, 6),
    items=st.integers(1, 60),
    k=st.integers(1, 70),
    sizes=st.tuples(st.integers(1, 200), st.integers(1, 8)),
    masked=st.booleans(),
    seed=st.integers(0, 10_000),
)
def test_blocks_give_the_best_of_all_scores(
    users: int, items: int, k: int, sizes: tuple[int, int], masked: bool, seed: int
) -> None:
    asked, vectors = table(users, 3, seed), table(items, 3, seed + 1)
    seen = pairs(users, items, seed) if masked else None
    scores = asked @ vectors.T
    if seen is not None:
        scores[seen] = -torch.inf
    numbers, values = best(scores, min(k, items))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(indices, "SCORES", sizes[0])
        patch.setattr(indices, "_GROUP", sizes[1])
        found, near = Exact(vectors).search(asked, k, seen)
    assert torch.equal(near, values)
    listed = values > -torch.inf
    assert torch.equal(found[listed], numbers[listed])


@pytest.mark.parametrize("items", [6400, 6401, 6463])
def test_groups_give_what_one_look_at_a_long_row_gives(items: int) -> None:
    scores = torch.randn(5, items, generator=torch.Generator().manual_seed(items))
    values, numbers = indices._topk(scores, 11)
    expected = scores.topk(11, 1)
    assert torch.equal(values, expected.values)
    assert torch.equal(numbers, expected.indices)


def test_few_scores_are_held_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    held: list[int] = []
    largest = indices._largest
    monkeypatch.setattr(indices, "SCORES", 1000)
    monkeypatch.setattr(
        indices, "_largest", lambda dots, weight, k: (held.append(dots.numel()), largest(dots, weight, k))[1]
    )
    Exact(torch.randn(5000, 4)).search(torch.randn(20, 4), 10)
    assert len(held) == 100
    assert max(held) == 1000


def test_candidates_stand_in_the_one_order_of_ties() -> None:
    scores = torch.tensor([[1.0, 2.0, 1.0, 1.0, 2.0, 0.0]])
    weight = tie_order(6)
    numbers, values = ordered(torch.arange(6).flip(0)[None], scores.flip(1), weight, 4)
    assert torch.equal(numbers, best(scores, 4)[0])
    assert values.tolist() == [[2.0, 2.0, 1.0, 1.0]]


@pytest.fixture(scope="module")
def clustered() -> tuple[Tensor, Tensor]:
    """Items around centres with lengths of their own, and users who like one or two of the centres."""
    chance = torch.Generator().manual_seed(0)
    centres = torch.randn(100, 32, generator=chance)
    items = centres[torch.randint(100, (20_000,), generator=chance)] + 0.7 * torch.randn(20_000, 32, generator=chance)
    items *= 0.6 + 0.8 * torch.rand(20_000, 1, generator=chance)
    tastes = centres[torch.randint(100, (200, 2), generator=chance)].mean(1)
    return items, tastes + 0.5 * torch.randn(200, 32, generator=chance)


def test_cells_find_most_of_the_exact_lists(clustered: tuple[Tensor, Tensor]) -> None:
    items, users = clustered
    near = Cells(items)
    told = near.tune(users[:100], 100)
    assert told >= 0.95
    assert near.probed < near.count
    share = recall(near.search(users[100:], 100), Exact(items).search(users[100:], 100))
    assert 0.92 < share < 1
    assert near.name == f"faiss IVF{near.count},Flat nprobe={near.probed}"


def test_more_cells_are_looked_at_until_enough_is_found(clustered: tuple[Tensor, Tensor]) -> None:
    items, users = clustered
    near = Cells(items)
    near.probe(1)
    poor = recall(near.search(users, 100), Exact(items).search(users, 100))
    assert poor < 0.9
    assert near.tune(users, 100, goal=0.9) >= 0.9
    assert near.tune(users, 100, goal=2.0) == 1.0
    assert near.probed == near.count


def test_all_cells_give_the_exact_lists_without_what_was_seen(clustered: tuple[Tensor, Tensor]) -> None:
    items, users = clustered
    near, exact = Cells(items), Exact(items)
    near.probe(near.count)
    best_places = exact.search(users, 30)[0]
    seen = torch.arange(200).repeat_interleave(15), best_places[:, ::2].reshape(-1)
    found, scores = near.search(users, 30, seen)
    assert torch.equal(found[:, :15], best_places[:, 1::2])
    assert not torch.isin(torch.arange(200)[:, None] * 20_000 + found, seen[0] * 20_000 + seen[1]).any()
    right, values = exact.search(users, 30, seen)
    assert recall((found, scores), (right, values)) == 1.0
    assert torch.allclose(scores, values, rtol=1e-5)


def test_the_same_vectors_give_the_same_cells(clustered: tuple[Tensor, Tensor]) -> None:
    items, users = clustered
    one, other = (Cells(items).search(users, 20) for _ in range(2))
    assert torch.equal(one[0], other[0])
    assert torch.equal(one[1], other[1])


def test_a_catalogue_smaller_than_the_list_is_searched_too() -> None:
    near = Cells(torch.eye(5))
    numbers, scores = near.search(torch.eye(5)[:2], 100, (torch.tensor([0]), torch.tensor([0])))
    assert numbers.shape == (2, 5)
    assert (scores[0] > -torch.inf).sum() == 4
    assert 0 not in numbers[0][scores[0] > -torch.inf].tolist()


def test_recall_counts_items_not_places() -> None:
    scores = torch.tensor([[3.0, 2.0], [2.0, -torch.inf]])
    exact = torch.tensor([[1, 2], [3, 0]]), scores
    assert recall((torch.tensor([[2, 1], [3, 0]]), scores), exact) == 1.0
    assert recall((torch.tensor([[2, 5], [0, 3]]), scores), exact) == pytest.approx(1 / 3)


def test_the_size_of_the_catalogue_decides(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(indices, "EXACT_BELOW", 300)
    assert isinstance(index_of(torch.randn(299, 4)), Exact)
    assert isinstance(index_of(torch.randn(300, 4)), Cells)
    assert isinstance(index_of(torch.randn(300, 4), "exact"), Exact)
    assert isinstance(index_of(torch.randn(80, 4), "faiss"), Cells)
    with pytest.raises(SettingError, match=r"index: hnsw: no such kind\. Choose auto, exact or faiss"):
        index_of(torch.randn(80, 4), "hnsw")


def test_without_faiss_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "faiss", None)
    with pytest.raises(MissingExtraError, match=r'faiss: not installed\. Run: pip install "l2rec\[serve\]"'):
        Cells(torch.randn(80, 4))
