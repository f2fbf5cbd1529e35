"""Rows are compared at equal tuning budgets, or each says its own."""

import json

import pytest

from l2rec.errors import RunError
from l2rec.evaluation.comparison import Comparison, compare
from l2rec.evaluation.leaderboard import budgets, tuning_table
from l2rec.evaluation.report import ReportData, page
from l2rec.evaluation.results import Measured, Results
from tests.evaluation.test_comparison import run_of


def tuned(label: str, skill: float = 0.3, seed: int = 0, **tuning: object) -> Measured:
    """A run that says how its settings were chosen."""
    run = run_of(label, skill, seed=seed)
    told = {
        **json.loads(run.results.model_dump_json()),
        "origin": {**run.results.origin.model_dump(), "tuning": tuning},
    }
    return Measured(Results.model_validate(told), run.frame)


UNEQUAL = [
    ({"trials": 16}, {"trials": 1}, "16 trials (a) and 1 trial (b)"),
    (
        {"trials": 16, "before": ("9 trials by hand",)},
        {"trials": 16},
        "9 trials by hand + 16 trials (a) and 16 trials (b)",
    ),
    ({"trials": 16}, {}, "16 trials (a) and not said (b)"),
    ({}, {"trials": 0}, "not said (a) and 0 trials (b)"),
    ({"trials": 4, "seconds": 60}, {"trials": 4}, "4 trials in 60 s (a) and 4 trials (b)"),
    ({"seconds": 60}, {"seconds": 61.5}, "60 s (a) and 61.5 s (b)"),
]


@pytest.mark.parametrize(("one", "two", "said"), UNEQUAL)
def test_unequal_budgets_are_refused_unless_labelled(one: dict[str, object], two: dict[str, object], said: str) -> None:
    runs = [tuned("a", **one), tuned("b", **two)]
    with pytest.raises(RunError) as refused:
        compare(runs)
    assert str(refused.value) == (
        f"tuning: {said}: unequal budgets, expected one for all rows. Tune alike and say so under [tuning], or pass "
        "--labelled."
    )
    found = compare(runs, labelled=True)
    assert found.unequal()
    assert not found.mixed()
    assert len(found.contrasts) == 1, "they are tested, as they answer the same cases"


def test_a_third_row_of_another_budget_is_found() -> None:
    with pytest.raises(RunError, match=r"9 trials \(b\) and 8 trials \(c\): unequal budgets"):
        compare([tuned("a", trials=9), tuned("b", trials=9), tuned("c", trials=8)])


@pytest.mark.parametrize(
    ("tuning", "sentence"),
    [
        ({}, "Tuning budget of every row: not said."),
        ({"method": "hand"}, "Tuning budget of every row: not said."),
        ({"trials": 1}, "Tuning budget of every row: 1 trial."),
        ({"trials": 1200, "seconds": 90.5}, "Tuning budget of every row: 1,200 trials in 90.5 s."),
    ],
)
def test_equal_budgets_are_compared_and_said_once(tuning: dict[str, object], sentence: str) -> None:
    found = compare([tuned("a", **tuning), tuned("b", **tuning)])
    assert not found.unequal()
    assert budgets(found) == sentence


def test_searched_spaces_may_differ_at_one_budget() -> None:
    found = compare([tuned("a", trials=9, method="hand"), tuned("b", trials=9, space={"model.width": [64, 128]})])
    assert budgets(found) == "Tuning budget of every row: 9 trials."


@pytest.fixture
def labelled() -> Comparison:
    """Rows of three budgets and two that say none."""
    space = {"model.width": [64, 128], "training.learning_rate": [1e-3]}
    runs = [
        tuned("ours", 2.0, trials=16, space=space),
        tuned("floor", 0.5, trials=150, seconds=3600, method="search"),
        tuned("bare", 0.3),
        tuned("none", -0.5),
    ]
    return compare(runs, labelled=True)


def test_every_row_says_its_own_budget_where_they_are_unequal(labelled: Comparison) -> None:
    assert budgets(labelled) == (
        "Tuning budgets are unequal: ours 16 trials, floor 150 trials in 3,600 s; not said: bare, none."
    )
    both = compare([tuned("ours", trials=2), tuned("floor", trials=1)], labelled=True)
    assert sorted(budgets(both).split(": ")[1].rstrip(".").split(", ")) == ["floor 1 trial", "ours 2 trials"]


def test_the_report_says_budgets_and_what_was_searched(labelled: Comparison) -> None:
    assert tuning_table(labelled).rows == (
        ("ours", "16 trials", "not said", "model.width 64, 128; training.learning_rate 0.001"),
        ("floor", "150 trials in 3,600 s", "search", "not said"),
    )
    told = page(ReportData(title="t", comparison=labelled))
    assert f'<p class="protocol">{budgets(labelled)}</p>' in told
    assert "How the settings were chosen" in told
    assert "model.width 64, 128; training.learning_rate 0.001" in told
    silent = page(ReportData(title="t", comparison=compare([tuned("a")])))
    assert "Tuning budget: not said." in silent
    assert "How the settings were chosen" not in silent


def test_seeds_that_say_different_budgets_are_one_row_that_says_both() -> None:
    seeds = [tuned("m", 0.4, seed=0, trials=5), tuned("m", 0.4, seed=1), tuned("m", 0.4, seed=2)]
    alone = compare(seeds)
    assert len(alone.rows) == 1
    assert budgets(alone) == "Tuning budget: 5 trials or not said."
    with pytest.raises(RunError, match=r"5 trials or not said \(m\) and 5 trials \(n\): unequal budgets"):
        compare([*seeds, tuned("n", trials=5)])


def test_results_of_before_there_were_budgets_are_read_as_not_said() -> None:
    told = json.loads(run_of("a", 0.3).results.model_dump_json())
    del told["origin"]["tuning"]
    assert Results.model_validate(told).origin.tuning.budget == (None, None)
