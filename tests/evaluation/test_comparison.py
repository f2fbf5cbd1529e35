"""Results and comparisons: seeds averaged, users paired, nothing compared that is not comparable."""

import json
from functools import cache

import numpy as np
import pytest
import torch

from l2rec.config import EvaluationSettings
from l2rec.errors import RunError
from l2rec.evaluation import leaderboard
from l2rec.evaluation.comparison import compare
from l2rec.evaluation.metrics import per_user
from l2rec.evaluation.protocol import protocol_name
from l2rec.evaluation.ranking import rank
from l2rec.evaluation.results import Measured, Origin, Results, measure
from l2rec.evaluation.significance import interval
from l2rec.types import Cases
from tests import worlds

USERS, ITEMS = 80, 30
SETTINGS = EvaluationSettings()


@cache
def run_of(label: str, skill: float, *, users: int = USERS, **origin: object) -> Measured:
    """A run whose scores are noise plus `skill` for the target; the noise depends on label and seed."""
    facts = {"label": label, "model": label, "data": "little", "fingerprint": "f", "seed": 0}
    facts |= {"protocol": protocol_name("loo", SETTINGS)} | origin
    items, cases = worlds.tiny_items(ITEMS), worlds.tiny_cases(users, ITEMS)
    chance = torch.Generator().manual_seed(int(facts["seed"]) * 1000 + sum(map(ord, label)))  # type: ignore[call-overload]
    scores = torch.rand(users, ITEMS, generator=chance)
    scores[torch.arange(users), cases.targets] += skill
    order = iter(torch.argsort(cases.histories.lengths().clamp(max=50), descending=True, stable=True).split(256))
    rankings = rank(
        lambda _: scores[next(order)], cases, history=50, token_counts=torch.ones(ITEMS).long(), settings=SETTINGS
    )
    counts = cases.histories.lengths()
    return measure(rankings, cases, items, counts, SETTINGS, Origin.model_validate(facts))


def test_results_hold_every_number_and_survive_the_trip_to_json() -> None:
    run = run_of("a", 0.3)
    found = run.results
    assert set(found.metrics) == {f"{m}@{k}" for m in ("recall", "ndcg", "mrr") for k in (5, 10, 20)}
    assert set(found.beyond) == {
        f"{m}@{k}" for m in ("coverage", "gini", "novelty", "similarity", "lift") for k in (5, 10, 20)
    }
    assert (found.users, found.cases, found.items) == (USERS, USERS, ITEMS)
    for name, estimate in found.metrics.items():
        values = run.frame[name].to_numpy()
        assert estimate.mean == pytest.approx(values.mean())
        low, high = interval(values[np.argsort(run.frame["user"].to_numpy())][:, None])
        assert (estimate.low, estimate.high) == (pytest.approx(low[0]), pytest.approx(high[0]))
    text = found.model_dump_json()
    assert Results.model_validate_json(text) == found
    json.loads(text, parse_constant=pytest.fail)


def test_slices_are_means_of_their_cases_and_an_empty_one_says_so() -> None:
    run = run_of("a", 0.3)
    short = run.frame.filter(run.frame["short histories"])
    assert 0 < len(short) < USERS
    assert run.results.slices["short histories"].cases == len(short)
    assert run.results.slices["short histories"].metrics["ndcg@10"].mean == pytest.approx(short["ndcg@10"].mean())
    assert run.results.slices["new users"].users == 1
    assert run.results.slices["long histories"].metrics == {}
    assert run.results.slices["long histories"].cases == 0


def test_the_best_row_is_first_and_each_is_tested_against_the_strongest_baseline() -> None:
    runs = [
        run_of("weak", 0.0, baseline=True),
        run_of("ours", 2.0),
        run_of("floor", 0.5, baseline=True),
        run_of("middling", 0.5),
    ]
    found = compare(runs)
    assert found.rows[0].origin.label == "ours"
    assert {(c.label, c.against) for c in found.contrasts} == {
        ("ours", "floor"),
        ("weak", "floor"),
        ("middling", "floor"),
    }
    verdicts = {c.label: c.verdict for c in found.contrasts}
    assert verdicts == {"ours": "better", "weak": "worse", "middling": "not shown"}


def test_a_contrast_is_paired_by_user() -> None:
    one, two = run_of("one", 0.6), run_of("two", 0.3, baseline=True)
    (contrast,) = compare([one, two]).contrasts
    differences = (per_user(one.frame)["ndcg@10"] - per_user(two.frame)["ndcg@10"]).to_numpy()
    low, high = interval(differences[:, None])
    assert contrast.difference == pytest.approx(differences.mean())
    assert (contrast.low, contrast.high) == (pytest.approx(low[0]), pytest.approx(high[0]))
    assert contrast.p == contrast.p_holm


def test_a_named_row_is_tested_against_too_and_holm_corrects_for_all() -> None:
    runs = [run_of("a", 0.9), run_of("b", 0.5), run_of("c", 0.1, baseline=True)]
    found = compare(runs, against=["b"])
    assert [(c.label, c.against) for c in found.contrasts] == [("a", "c"), ("b", "c"), ("a", "b")]
    for contrast in found.contrasts:
        assert contrast.p_holm >= contrast.p
    assert max(c.p_holm / c.p for c in found.contrasts) == pytest.approx(3, abs=0.01)


def test_without_a_baseline_the_best_row_is_what_the_others_are_tested_against() -> None:
    found = compare([run_of("a", 0.1), run_of("b", 0.9)])
    assert [(c.label, c.against) for c in found.contrasts] == [("a", "b")]


def test_seeds_are_averaged_case_by_case_and_their_spread_is_said() -> None:
    seeds = [run_of("m", 0.4, seed=s) for s in (2, 0, 1)]
    (row,) = compare(seeds).rows
    means = [run.results.metrics["ndcg@10"].mean for run in seeds]
    assert row.seeds == (0, 1, 2)
    assert row.metrics["ndcg@10"].mean == pytest.approx(np.mean(means))
    assert row.spread["ndcg@10"] == pytest.approx(np.std(means, ddof=1))
    averaged = np.mean([run.frame["ndcg@10"].to_numpy() for run in seeds], axis=0)
    low, _ = interval(averaged[:, None])
    assert row.metrics["ndcg@10"].low == pytest.approx(low[0])
    coverage = [run.results.beyond["coverage@10"] for run in seeds]
    assert row.beyond["coverage@10"] == pytest.approx(np.mean(coverage))  # type: ignore[arg-type]
    assert compare(seeds[:1]).rows[0].spread == {}


OTHER = [
    (
        {"protocol": "loo/full/all/expected-ties/@5,10,20"},
        'protocol: "loo/full/unseen/.*" \\(a\\) and "loo/full/all/.*" \\(b\\)',
    ),
    ({"fingerprint": "g"}, 'data fingerprint: "f" \\(a\\) and "g" \\(b\\)'),
    ({"part": "validation"}, 'part: "test" \\(a\\) and "validation" \\(b\\)'),
]


@pytest.mark.parametrize(("other", "said"), OTHER)
def test_what_is_not_comparable_is_refused_unless_labelled(other: dict[str, str], said: str) -> None:
    runs = [run_of("a", 0.3), run_of("b", 0.3, **other), run_of("c", 0.1)]
    with pytest.raises(RunError, match=said + r": not comparable\. Evaluate both alike, or pass --labelled\."):
        compare(runs)
    found = compare(runs, labelled=True)
    assert found.mixed()
    assert {frozenset((c.label, c.against)) for c in found.contrasts} == {frozenset("ac")}
    table = leaderboard.leaderboard(found)
    assert "protocol" in table.columns
    assert "different protocols" in table.caption


def test_runs_that_cannot_stand_in_one_table_are_refused() -> None:
    with pytest.raises(RunError, match=r"runs: 0: expected at least one\. Name the run folders"):
        compare([])
    with pytest.raises(RunError, match=r"a: two runs with seed 0\. Leave one out, or give them different labels"):
        compare([run_of("a", 0.1), run_of("a", 0.2)])
    with pytest.raises(RunError, match=r"a: the settings of seed 0 and seed 1 differ\. Give them different labels"):
        compare([run_of("a", 0.1, settings="x"), run_of("a", 0.1, seed=1, settings="y")])
    with pytest.raises(RunError, match=r"a and b: different cases\. Evaluate both on the same prepared data"):
        compare([run_of("a", 0.1), run_of("b", 0.1, users=70)])
    with pytest.raises(RunError, match=r"a: its seeds have different cases\. Evaluate them on the same prepared"):
        compare([run_of("a", 0.1), run_of("a", 0.1, users=70, seed=1)])
    with pytest.raises(RunError, match=r'metric: "ndcg@7": not measured in a\. Known: recall@5, '):
        compare([run_of("a", 0.1)], metric="ndcg@7")
    with pytest.raises(RunError, match=r'against: "x": no such row\. Known: a\.'):
        compare([run_of("a", 0.1)], against=["x"])


def test_the_table_has_protocol_interval_and_verdict() -> None:
    runs = [run_of("m", 2.0, seed=s) for s in (0, 1)] + [run_of("floor", 0.2, baseline=True)]
    found = compare(runs)
    table = leaderboard.leaderboard(found)
    assert table.caption == "little, test: loo/full/unseen/expected-ties/@5,10,20. 80 users."
    assert table.columns[:5] == ("model", "seeds", "recall@10", "ndcg@10", "95 % interval")
    first, second = table.rows
    assert first[:2] == ("m", "2")
    assert "±" in first[3]
    assert first[-1] == "better"
    assert first[-2] == "< .001"
    assert first[-3].startswith("+.")
    assert second[-4:] == ("-", "-", "-", "-")
    contrasts = leaderboard.contrasts_table(found)
    assert all(len(row) == len(contrasts.columns) for row in contrasts.rows)
    assert all(len(row) == len(table.columns) for row in table.rows)


@pytest.mark.parametrize(
    ("p", "said"), [(1.0, "1"), (0.0004, "< .001"), (0.0416, ".042"), (0.25, ".250"), (0.9999, "1.000")]
)
def test_p_values_are_rounded_not_cut(p: float, said: str) -> None:
    assert leaderboard.probability(p) == said


@pytest.mark.parametrize(
    ("value", "said"), [(0.0531, "+.0531"), (-0.0531, "-.0531"), (0.0, "+.0000"), (1.0, "+1.0000")]
)
def test_differences_carry_their_sign(value: float, said: str) -> None:
    assert leaderboard.signed(value) == said


def test_a_value_that_nobody_has_is_none_and_survives_the_trip() -> None:
    cases = Cases(torch.arange(3), worlds.histories_of([[], [], []]), torch.tensor([1, 2, 3]), torch.zeros(3).long())
    ones = torch.ones(ITEMS).long()
    rankings = rank(lambda batch: torch.rand(len(batch), ITEMS), cases, history=5, token_counts=ones, settings=SETTINGS)
    origin = Origin(label="a", model="a", data="d", fingerprint="f", protocol=protocol_name("loo", SETTINGS))
    found = measure(rankings, cases, worlds.tiny_items(ITEMS), torch.zeros(3).long(), SETTINGS, origin)
    assert found.results.beyond["lift@10"] is None
    assert Results.model_validate_json(found.results.model_dump_json()) == found.results
    assert compare([found]).rows[0].beyond["lift@10"] is None
