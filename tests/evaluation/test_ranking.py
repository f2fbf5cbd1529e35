"""A ranking counts what the slow definition counts, hides what was seen, and refuses scores that say nothing."""

import dataclasses
import math

import pytest
import torch
from torch import Tensor

from l2rec.config import EvaluationSettings
from l2rec.errors import DataError, RunError, SettingError
from l2rec.evaluation import metrics, ranking
from l2rec.evaluation.ranking import Rankings, rank
from l2rec.types import Batch, Cases, Histories
from tests import worlds

ITEMS = 30


def scorer(table: Tensor):
    """Scores that depend on the last event only; a row of `table` an item, the last row for no history at all."""

    def score(batch: Batch) -> Tensor:
        last = batch.items.gather(1, (batch.lengths()[:, None] - 1).clamp(min=0))[:, 0]
        return table[torch.where(batch.lengths() > 0, last, len(table) - 1)]

    return score


def table_of(levels: int = 0, seed: int = 0) -> Tensor:
    """Random scores; with `levels` only so many different ones, so that most are tied."""
    chance = torch.Generator().manual_seed(seed)
    scores = torch.rand(ITEMS + 1, ITEMS, generator=chance)
    return (scores * levels).floor() if levels else scores


def ranked(table: Tensor, cases: Cases, **settings: object) -> Rankings:
    protocol = EvaluationSettings(**settings)  # type: ignore[arg-type]
    return rank(scorer(table), cases, history=5, token_counts=torch.ones(ITEMS).long(), settings=protocol)


@pytest.mark.parametrize("mask_seen", [True, False])
@pytest.mark.parametrize("levels", [0, 4])
def test_counts_are_those_of_the_slow_definition(cases: Cases, mask_seen: bool, levels: int) -> None:
    table = table_of(levels)
    rankings = ranked(table, cases, mask_seen=mask_seen, batch_size=7)
    for case in range(len(cases)):
        history, target = cases.histories.sequence(case).tolist(), int(cases.targets[case])
        scores = table[history[-1] if history else -1].tolist()
        others = [i for i in range(ITEMS) if i != target and not (mask_seen and i in history)]
        assert rankings.above[case] == sum(scores[i] > scores[target] for i in others)
        assert rankings.tied[case] == sum(scores[i] == scores[target] for i in others)
        assert rankings.candidates[case] == len(others) + 1
        best = sorted([scores[i] for i in [*others, target]], reverse=True)[:20]
        found = rankings.listed()[case]
        assert rankings.list_scores[case][found].tolist() == pytest.approx(best)
        listed = rankings.lists[case][found].tolist()
        assert [scores[i] for i in listed] == pytest.approx(best)
        assert len(set(listed)) == len(listed)
        assert set(listed) <= {*others, target}


def test_all_of_the_history_is_hidden_not_only_what_the_model_reads() -> None:
    histories = worlds.histories_of([list(range(12))])
    cases = Cases(torch.tensor([0]), histories, torch.tensor([20]), torch.tensor([12]))
    rankings = ranked(table_of(), cases)
    assert rankings.candidates.tolist() == [ITEMS - 12]
    assert not set(rankings.lists[0][rankings.listed()[0]].tolist()) & set(range(12))


def test_a_target_that_the_user_has_had_before_stays_a_candidate() -> None:
    histories = worlds.histories_of([[3, 4, 3]])
    cases = Cases(torch.tensor([0]), histories, torch.tensor([3]), torch.tensor([3]))
    table = torch.zeros(ITEMS + 1, ITEMS)
    table[3, 3], table[3, 4] = 1.0, 2.0
    rankings = ranked(table, cases)
    assert (int(rankings.above), int(rankings.candidates), int(rankings.lists[0, 0])) == (0, ITEMS - 1, 3)
    assert int(ranked(table, cases, mask_seen=False).above) == 1


def test_the_batch_size_changes_nothing(cases: Cases) -> None:
    one = ranked(table_of(3), cases, batch_size=1)
    many = ranked(table_of(3), cases, batch_size=64)
    for field in dataclasses.fields(one):
        assert torch.equal(vars(one)[field.name], vars(many)[field.name]), field.name


def test_the_models_own_table_is_not_written_to(cases: Cases) -> None:
    table = table_of()[:1].repeat(len(cases), 1)
    before = table.clone()
    shared = table[0].clone()
    ones, settings = torch.ones(ITEMS).long(), EvaluationSettings()
    rank(lambda batch: table[: len(batch)], cases, history=5, token_counts=ones, settings=settings)
    rank(lambda batch: shared.expand(len(batch), -1), cases, history=5, token_counts=ones, settings=settings)
    assert torch.equal(table, before)
    assert torch.equal(shared, before[0])


def test_the_list_is_as_long_as_the_largest_cutoff_or_twenty_or_the_catalogue(cases: Cases) -> None:
    assert ranked(table_of(), cases, cutoffs=(5,)).lists.shape[1] == 20
    assert ranked(table_of(), cases, cutoffs=(25,)).lists.shape[1] == 25
    assert ranked(table_of(), cases, cutoffs=(100,)).lists.shape[1] == ITEMS


def test_equal_scores_are_listed_in_an_order_that_is_not_the_item_numbers() -> None:
    equal, _ = ranking.best(torch.zeros(2, 1000), 20)
    assert torch.equal(equal[0], equal[1])
    order = equal[0].tolist()
    assert order != sorted(order)
    assert order != sorted(order, reverse=True)
    assert max(order) > 500
    assert torch.equal(ranking.best(torch.zeros(2, 1000), 20)[0], equal)


def test_of_a_tie_across_the_end_of_the_list_the_same_order_chooses() -> None:
    whole = ranking.best(torch.zeros(1, 50), 50)[0][0].tolist()
    scores = torch.zeros(1, 50)
    scores[0, whole[-1]] = 1.0
    scores[0, whole[:3]] = -1.0
    assert ranking.best(scores, 10)[0][0].tolist() == [whole[-1], *whole[3:12]]


@pytest.mark.parametrize("poison", [math.nan, math.inf, -math.inf])
def test_a_score_that_is_not_finite_is_refused_with_its_place(cases: Cases, poison: float) -> None:
    table = table_of()
    table[-1, 7] = poison
    with pytest.raises(
        RunError, match=r"scores: case 0, item number 7: -?(nan|inf): expected a finite number\. If the "
    ):
        ranked(table, cases)


def test_large_finite_scores_are_taken(cases: Cases) -> None:
    ranked(torch.full((ITEMS + 1, ITEMS), 3e38), cases)


def test_scores_of_the_wrong_shape_are_refused(cases: Cases) -> None:
    with pytest.raises(RunError, match=r"scores: 40 x 29: expected 40 x 30, a row a case and a column an item"):
        ranked(table_of()[:, 1:], cases)


def test_no_case_is_refused() -> None:
    empty = Histories(torch.zeros(0).long(), torch.zeros(0).long(), torch.zeros(1).long(), torch.zeros(0, 0))
    none = torch.zeros(0).long()
    with pytest.raises(DataError, match=r"cases: 0: expected at least one\. Prepare the data with a larger"):
        ranked(table_of(), Cases(none, empty, none, none))


@pytest.mark.parametrize(("cutoffs", "value"), [((), "none"), ((0, 5), "0")])
def test_cutoffs_that_no_list_has_are_refused(cases: Cases, cutoffs: tuple[int, ...], value: str) -> None:
    with pytest.raises(SettingError, match=rf"evaluation\.cutoffs: {value}: expected list lengths of at least 1"):
        ranked(table_of(), cases, cutoffs=cutoffs)


def test_the_means_of_a_perfect_scorer_are_one(cases: Cases) -> None:
    table = torch.zeros(ITEMS + 1, ITEMS)
    for item in range(ITEMS):
        table[item, worlds.successor(item, ITEMS)] = 1
    table[-1, 0] = 1
    found = metrics.means(ranked(table, cases), (1, 10))
    assert set(found) == {"recall@1", "recall@10", "ndcg@1", "ndcg@10", "mrr@1", "mrr@10"}
    assert all(value == pytest.approx(1.0) for value in found.values())
