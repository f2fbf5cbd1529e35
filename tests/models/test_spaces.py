"""The spaces that models declare: every setting exists, and what is drawn from a space can be trained."""

import random

import pytest

from l2rec.config import overridden, validated
from l2rec.models import Choices, Range, find, names
from l2rec.run.space import SearchSettings, space_of

SEARCHED = [name for name in names() if find(name).space]


def drawn(kind: Choices | Range, chance: random.Random) -> object:
    if isinstance(kind, Choices):
        return chance.choice(kind.choices)
    return chance.choice((kind.low, kind.high))


def test_models_with_settings_that_decide_something_declare_a_space() -> None:
    assert {"l2rec", "sasrec", "transition", "itemknn", "ease", "recent_popularity"} <= set(SEARCHED)
    assert "popularity" not in SEARCHED


@pytest.mark.parametrize("name", SEARCHED)
def test_every_corner_of_a_declared_space_is_a_model(name: str) -> None:
    space, chance = space_of(name, SearchSettings()), random.Random(0)
    for _ in range(50):
        chosen = [f"{setting} = {_toml(drawn(kind, chance))}" for setting, kind in space.items()]
        values = overridden({"model": {}, "training": {}}, chosen)
        settings = validated(find(name).config, values["model"], "model")
        assert settings.model_dump(include=set(values["model"]), exclude_unset=True)


def _toml(value: object) -> str:
    return {True: "true", False: "false"}[value] if isinstance(value, bool) else repr(value)
