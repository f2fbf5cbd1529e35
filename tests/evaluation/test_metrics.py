"""The metrics are what two other libraries, brute force over every order of a tie, and chance say they are."""

import itertools
import math

import numpy as np
import polars as pl
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from l2rec.config import EvaluationSettings
from l2rec.errors import SettingError
from l2rec.evaluation import metrics
from l2rec.evaluation.ranking import Rankings, rank
from l2rec.types import Cases
from tests import worlds

CUTOFFS = (1, 5, 10, 20)
USERS, ITEMS = 60, 90


def rankings_of(scores: torch.Tensor, targets: torch.Tensor, users: torch.Tensor | None = None) -> Rankings:
    """One case a row of `scores`, with no history: nothing is hidden."""
    count = len(targets)
    histories = worlds.histories_of([[] for _ in range(count)])
    owners = torch.arange(count) if users is None else users
    cases = Cases(owners, histories, targets, torch.zeros(count).long())
    rows = iter(scores.split(16))
    ones = torch.ones(scores.shape[1]).long()
    settings = EvaluationSettings(cutoffs=CUTOFFS, batch_size=16)
    return rank(lambda _: next(rows), cases, history=1, token_counts=ones, settings=settings)


@pytest.fixture(scope="module")
def world() -> tuple[torch.Tensor, torch.Tensor]:
    chance = torch.Generator().manual_seed(3)
    # A permutation a row: no tie, and single precision cannot make one.
    scores = torch.stack([torch.randperm(ITEMS, generator=chance).float() for _ in range(USERS)])
    targets = torch.randint(ITEMS, (USERS,), generator=chance)
    # The target is somewhere on the first 30 places, or most metrics would be zero; a half, or it would be tied.
    places = torch.randint(30, (USERS,), generator=chance)
    scores[torch.arange(USERS), targets] = ITEMS - 0.5 - places
    return scores, targets


def ours(world: tuple[torch.Tensor, torch.Tensor]) -> pl.DataFrame:
    return metrics.per_case(rankings_of(*world), CUTOFFS)


@pytest.mark.slow  # ranx compiles itself on its first call
@pytest.mark.filterwarnings("ignore::numba.core.errors.NumbaTypeSafetyWarning")
def test_ranx_agrees(world: tuple[torch.Tensor, torch.Tensor]) -> None:
    from ranx import Qrels, Run, evaluate

    scores, targets = world
    qrels = Qrels({f"q{u:02}": {f"d{int(t)}": 1} for u, t in enumerate(targets)})
    run = Run({f"q{u:02}": {f"d{i}": float(s) for i, s in enumerate(row)} for u, row in enumerate(scores)})
    frame = ours(world)
    for name, theirs in (("recall", "hit_rate"), ("ndcg", "ndcg"), ("mrr", "mrr")):
        for k in CUTOFFS:
            values = evaluate(qrels, run, f"{theirs}@{k}", return_mean=False)
            assert np.abs(frame[f"{name}@{k}"].to_numpy() - values).max() < 1e-9, (name, k)
            assert values.max() > 0


def test_pytrec_eval_agrees(world: tuple[torch.Tensor, torch.Tensor]) -> None:
    import pytrec_eval

    scores, targets = world
    qrels = {f"q{u:02}": {f"d{int(t)}": 1} for u, t in enumerate(targets)}
    run = {f"q{u:02}": {f"d{i}": float(s) for i, s in enumerate(row)} for u, row in enumerate(scores)}
    wanted = {f"ndcg_cut.{','.join(map(str, CUTOFFS))}", f"recall.{','.join(map(str, CUTOFFS))}", "recip_rank"}
    found = pytrec_eval.RelevanceEvaluator(qrels, wanted).evaluate(run)
    frame = ours(world)
    for name, theirs in (("recall", "recall"), ("ndcg", "ndcg_cut")):
        for k in CUTOFFS:
            values = np.array([found[f"q{u:02}"][f"{theirs}_{k}"] for u in range(USERS)])
            assert np.abs(frame[f"{name}@{k}"].to_numpy() - values).max() < 1e-9, (name, k)
    whole = np.array([found[f"q{u:02}"]["recip_rank"] for u in range(USERS)])
    for k in CUTOFFS:
        assert np.abs(frame[f"mrr@{k}"].to_numpy() - np.where(whole >= 1 / k, whole, 0)).max() < 1e-9, k


@pytest.mark.parametrize(("name", "precision"), [("recall", 1e-9), ("mrr", 1e-7), ("ndcg", 1e-6)])
def test_torchmetrics_agrees(world: tuple[torch.Tensor, torch.Tensor], name: str, precision: float) -> None:
    """To 1e-9, but for its MRR and NDCG, which it computes in single precision."""
    from torchmetrics.functional import retrieval

    theirs = {
        "recall": retrieval.retrieval_recall,
        "ndcg": retrieval.retrieval_normalized_dcg,
        "mrr": retrieval.retrieval_reciprocal_rank,
    }[name]
    frame = ours(world)
    for user, (scores, target) in enumerate(zip(*world, strict=True)):
        relevant = torch.arange(ITEMS) == target
        for k in CUTOFFS:
            expected = float(theirs(scores.double(), relevant, top_k=k))
            assert frame[f"{name}@{k}"][user] == pytest.approx(expected, abs=precision), k


def test_torchmetrics_averages_ndcg_over_ties_as_we_do(world: tuple[torch.Tensor, torch.Tensor]) -> None:
    from torchmetrics.functional.retrieval import retrieval_normalized_dcg

    scores, targets = (world[0] / 7).floor(), world[1]
    frame = ours((scores, targets))
    assert frame["tied"].max() > 3
    for user in range(USERS):
        expected = float(retrieval_normalized_dcg(scores[user], torch.arange(ITEMS) == targets[user], top_k=10))
        assert frame["ndcg@10"][user] == pytest.approx(expected, abs=1e-6)


@given(st.lists(st.integers(0, 2), min_size=2, max_size=6), st.integers(1, 7), st.data())
def test_ties_are_the_mean_over_every_order(scores: list[int], cutoff: int, data: st.DataObject) -> None:
    target = data.draw(st.integers(0, len(scores) - 1))
    above = np.array([sum(s > scores[target] for s in scores)])
    tied = np.array([sum(s == scores[target] for s in scores) - 1])
    places = []
    for order in itertools.permutations(range(len(scores))):
        places.append(sorted(order, key=lambda i: -scores[i]).index(target) + 1)  # sorted is stable: the order decides
    within = [p for p in places if p <= cutoff]
    count = len(places)
    assert metrics.recall(above, tied, cutoff)[0] == pytest.approx(len(within) / count, abs=1e-9)
    expected = sum(1 / math.log2(p + 1) for p in within) / count
    assert metrics.ndcg(above, tied, cutoff)[0] == pytest.approx(expected, abs=1e-9)
    assert metrics.mrr(above, tied, cutoff)[0] == pytest.approx(sum(1 / p for p in within) / count, abs=1e-9)


def test_a_constant_scorer_scores_exactly_what_chance_gives() -> None:
    scores = torch.full((USERS, ITEMS), 0.3)
    found = metrics.means(rankings_of(scores, torch.arange(USERS)), CUTOFFS)
    for k in CUTOFFS:
        assert found[f"recall@{k}"] == pytest.approx(k / ITEMS, abs=1e-12)
        chance = sum(1 / math.log2(p + 1) for p in range(1, k + 1)) / ITEMS
        assert found[f"ndcg@{k}"] == pytest.approx(chance, abs=1e-12)
        assert found[f"mrr@{k}"] == pytest.approx(sum(1 / p for p in range(1, k + 1)) / ITEMS, abs=1e-12)


def test_a_user_with_many_cases_counts_once() -> None:
    scores = torch.zeros(4, ITEMS)
    scores[:3, 5] = 1
    scores[3, 6] = -1
    users = torch.tensor([7, 7, 7, 2])
    rankings = rankings_of(scores, torch.tensor([5, 5, 5, 6]), users)
    assert metrics.means(rankings, (10,))["recall@10"] == pytest.approx(0.5)
    frame = metrics.per_user(metrics.per_case(rankings, (10,)))
    assert frame["user"].to_list() == [2, 7]
    assert frame["cases"].to_list() == [1, 3]


def test_the_frame_keeps_what_every_metric_came_from(world: tuple[torch.Tensor, torch.Tensor]) -> None:
    frame = ours(world)
    assert frame.columns[:6] == ["case", "user", "target", "above", "tied", "candidates"]
    assert frame.columns[6:] == metrics.metric_names(CUTOFFS)
    assert frame["target"].to_list() == world[1].tolist()
    assert frame["candidates"].unique().to_list() == [ITEMS]


def test_cutoffs_are_counted_once_and_in_order() -> None:
    assert metrics.metric_names((10, 5, 10)) == ["recall@5", "recall@10", "ndcg@5", "ndcg@10", "mrr@5", "mrr@10"]


def test_impossible_cutoffs_are_refused() -> None:
    rankings = rankings_of(torch.zeros(1, 3), torch.tensor([0]))
    with pytest.raises(SettingError, match=r"evaluation\.cutoffs: -1: expected list lengths of at least 1"):
        metrics.per_case(rankings, (-1, 5))
