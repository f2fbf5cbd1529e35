"""What a search tries: the declared space and what the file makes of it, every value looked at."""

from typing import Any

import pytest
from pydantic import ValidationError

from l2rec.config import validated
from l2rec.errors import SettingError
from l2rec.models import Choices, Range
from l2rec.run.space import SearchSettings, space_of, values_of


def space(model: str = "sasrec", *, declared: bool = True, **given: Any) -> dict[str, Choices | Range]:
    return space_of(model, validated(SearchSettings, {"declared": declared, **given}, "search"))


def test_the_file_changes_what_is_declared_adds_to_it_or_replaces_it() -> None:
    own = space()
    assert own["model.width"] == Choices(choices=(64, 128, 256))
    narrowed = space(space={"model.width": {"choices": [32]}, "model.transition.decay": {"low": 0.5, "high": 1}})
    assert narrowed == {**own, "model.width": Choices(choices=(32,)), "model.transition.decay": Range(low=0.5, high=1)}
    assert list(narrowed) == sorted(narrowed), "the order of the file moves no proposal"
    only = space(declared=False, space={"training.epochs": {"low": 1, "high": 9, "step": 2}})
    assert only == {"training.epochs": Range(low=1, high=9, step=2)}


def test_bounds_are_whole_where_the_setting_is_and_only_there() -> None:
    found = space(
        declared=False, space={"model.width": {"low": 8.0, "high": 64}, "model.dropout": {"low": 0, "high": 0.5}}
    )
    width, dropout = found["model.width"], found["model.dropout"]
    assert isinstance(width, Range)
    assert isinstance(dropout, Range)
    assert [type(bound) for bound in (width.low, width.high, dropout.low, dropout.high)] == [int, int, float, float]
    assert values_of(width) == (8, 64)
    assert values_of(Choices(choices=("a", True, 2))) == ("a", True, 2)


@pytest.mark.parametrize(
    ("name", "values", "said"),
    [
        ("model.widht", {"choices": [1]}, 'no such setting. Did you mean "model.width"?'),
        ("seed", {"choices": [1]}, "a search of sasrec has no such setting. See `l2rec models sasrec`."),
        ("model.width", {"choices": []}, "choices: (): tuple should have at least 1 item"),
        ("model.width", {"chioces": [1]}, "no such setting. Known: high, log, low, step."),
        ("model.width", {"low": 0, "high": 4}, '"model.width": 0: input should be greater than or equal to 1.'),
        ("model.width", {"low": 1, "high": 4.5}, '"model.width": 4.5: input should be a valid integer'),
        ("model.width", {"low": 1, "high": 4, "step": 1.5}, '"model.width": step 1.5: expected a whole number.'),
        ("model.dropout", {"choices": [0.5, 1.0]}, '"model.dropout": 1.0: input should be less than 1.'),
        ("model.loss", {"choices": ["full", "half"]}, "\"model.loss\": 'half': input should be 'full' or 'sampled'."),
        ("model.loss", {"low": 1, "high": 2}, '"model.loss": 1: input should be'),
    ],
)
def test_what_cannot_be_tried_is_refused_by_name(name: str, values: dict[str, Any], said: str) -> None:
    with pytest.raises(SettingError) as refused:
        space(space={name: values})
    assert said in str(refused.value).replace("[]", "()")
    assert str(refused.value).startswith("search.space")


def test_a_model_that_counts_is_not_searched_for_how_it_learns() -> None:
    with pytest.raises(SettingError, match=r'"training.epochs": a search of itemknn has no such setting'):
        space("itemknn", space={"training.epochs": {"choices": [1]}})
    with pytest.raises(SettingError, match=r"search.space: empty: popularity declares none. Add settings under"):
        space("popularity")


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"low": 2, "high": 2}, "low 2 is not below high 2. Raise high, or use choices"),
        ({"low": 0, "high": 2, "log": True}, "log needs low above 0 and no step"),
        ({"low": 1, "high": 3, "log": True, "step": 1}, "log needs low above 0 and no step"),
        ({"low": 0, "high": 1, "step": 0.3}, "step 0.3 does not lead from 0 to 1"),
    ],
)
def test_a_range_is_one(values: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        Range(**values)
    assert Range(low=0.1, high=0.7, step=0.1).step == 0.1
