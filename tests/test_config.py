"""Settings are closed, complain with the name, the value and the remedy, and survive the trip to a file."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from l2rec import config
from l2rec.config import RunSettings, Settings, TrainingSettings, TuningSettings
from l2rec.errors import SettingError

BASE = {"data": "sample", "model": {"name": "sasrec"}}
KINDS = (config.ModelSettings, TrainingSettings, config.EvaluationSettings, TuningSettings, RunSettings)


@pytest.mark.parametrize(
    ("values", "complaint"),
    [
        ({"sed": 1}, r'^sed: no such setting\. Did you mean "seed"\?$'),
        ({"zzz": 1}, r"^zzz: no such setting\. Known: data, evaluation, model, seed, training, tuning\.$"),
        ({"training": {"epoch": 1}}, r'^training\.epoch: no such setting\. Did you mean "epochs"\?$'),
        ({"seed": -1}, r"^seed: -1: input should be greater than or equal to 0\. Change it with --set seed=\.\.\.$"),
        ({"training": {"epochs": "many"}}, r"^training\.epochs: 'many': input should be a valid integer.* Change it"),
        ({"training": {"schedule": "zigzag"}}, r"^training\.schedule: 'zigzag': string should match pattern .*cosine"),
        ({"tuning": {"trial": 1}}, r'^tuning\.trial: no such setting\. Did you mean "trials"\?$'),
        ({"tuning": {"trials": -1}}, r"^tuning\.trials: -1: input should be greater than or equal to 0\."),
        ({"tuning": {"method": "luck"}}, r"^tuning\.method: 'luck': string should match pattern .*hand\|search"),
        (
            {"tuning": {"space": {"width": [1]}}},
            r"^tuning\.space: \{'width': .*\}: expected settings under model or training, e\.g\. model\.width, which "
            r"width is not\. Change it with --set tuning\.space=\.\.\.$",
        ),
        ({"tuning": {"space": {"training.epoch": [1]}}}, r"^tuning\.space: .*, which training\.epoch is not\."),
        ({"tuning": {"space": {"seed": [1]}}}, r"^tuning\.space: .*, which seed is not\."),
        ({"tuning": {"space": {"model": [1]}}}, r"^tuning\.space: .*, which model is not\."),
        ({"tuning": {"space": {"model.width": []}}}, r"^tuning\.space: .*model\.width has no values, expected one"),
        ({"seed": -1, "zzz": 1}, r"^seed: -1: .*; zzz: no such setting"),
    ],
)
def test_a_wrong_setting_is_named_with_its_remedy(values: dict[str, Any], complaint: str) -> None:
    with pytest.raises(SettingError, match=complaint):
        config.validated(RunSettings, BASE | values, "")


def test_a_missing_setting_is_named_with_its_remedy() -> None:
    with pytest.raises(SettingError, match=r"^data: missing\. Set it in the TOML file or with --set data=\.\.\.$"):
        config.validated(RunSettings, {"model": {}}, "")


def test_the_place_of_a_group_stands_before_its_settings() -> None:
    with pytest.raises(SettingError, match=r"^training\.epochs: 0: "):
        config.validated(TrainingSettings, {"epochs": 0}, "training")


def test_settings_do_not_change() -> None:
    settings = TrainingSettings()
    with pytest.raises(ValidationError, match="frozen"):
        settings.epochs = 3  # type: ignore[misc]


@pytest.mark.parametrize("kind", KINDS)
def test_every_setting_says_what_it_is(kind: type[Settings]) -> None:
    for name, field in kind.model_fields.items():
        assert field.description, name
        assert field.description.endswith("."), name


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("seed=3", {"seed": 3}),
        ("training.learning_rate=3e-4", {"training": {"learning_rate": 3e-4}}),
        ("model.name=l2rec", {"model": {"name": "l2rec"}}),
        ('model.name="l2rec"', {"model": {"name": "l2rec"}}),
        ("evaluation.cutoffs=[5, 10]", {"evaluation": {"cutoffs": [5, 10]}}),
        ("evaluation.mask_seen=false", {"evaluation": {"mask_seen": False}}),
        ('data=a "quoted" \\path=b', {"data": 'a "quoted" \\path=b'}),
        ("data=", {"data": ""}),
    ],
)
def test_an_override_is_toml_and_a_bare_word_is_text(override: str, expected: dict[str, Any]) -> None:
    assert config.overridden({}, [override]) == expected


def test_an_override_lies_over_its_own_value_only() -> None:
    base = {"seed": 1, "training": {"epochs": 2, "patience": 3}}
    found = config.overridden(base, ["training.epochs=5", "training.epochs=6"])
    assert found == {"seed": 1, "training": {"epochs": 6, "patience": 3}}
    assert base["training"] == {"epochs": 2, "patience": 3}


@pytest.mark.parametrize("override", ["seed", "=3", " =3"])
def test_an_override_without_name_or_value_is_refused(override: str) -> None:
    with pytest.raises(SettingError, match=r"expected name=value, e\.g\. --set model\.rank=16"):
        config.overridden({}, [override])


def test_an_override_that_is_not_toml_is_refused() -> None:
    with pytest.raises(SettingError, match=r"--set a b=1: the value is not TOML\. Quote text"):
        config.overridden({}, ["a b=1"])


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingError, match=r"nowhere\.toml: no such file\. Pass the path of a TOML file"):
        config.read_toml(tmp_path / "nowhere.toml")


def test_a_folder_is_no_file_of_settings(tmp_path: Path) -> None:
    with pytest.raises(
        SettingError, match=r"cannot be read: Is a directory\. Pass the path of a readable TOML file\.$"
    ):
        config.read_toml(tmp_path)


@pytest.mark.parametrize("content", [b"a = = 1", b"\xff\xfe"])
def test_a_file_that_is_not_toml_is_named(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "a.toml"
    path.write_bytes(content)
    with pytest.raises(SettingError, match=r"a\.toml: not TOML: .* Mend the file\.$"):
        config.read_toml(path)


TRAINING = st.builds(
    TrainingSettings,
    epochs=st.integers(1, 1000),
    learning_rate=st.floats(1e-9, 10),
    schedule=st.sampled_from(["constant", "linear", "cosine"]),
    max_seconds=st.none() | st.floats(0.1, 1e6),
    trackers=st.lists(st.text(max_size=5), max_size=2).map(tuple),
)


VALUES = st.lists(st.booleans() | st.integers(-9, 9) | st.floats(-9, 9) | st.text(max_size=5), min_size=1).map(tuple)
TUNING = st.builds(
    TuningSettings,
    trials=st.none() | st.integers(0, 1000),
    seconds=st.none() | st.floats(0, 1e6),
    method=st.sampled_from([None, "hand", "search"]),
    space=st.dictionaries(st.sampled_from(["model.width", "model.transition.decay", "training.epochs"]), VALUES),
)


@given(st.text(max_size=20), st.integers(0, 2**40), TRAINING, TUNING)
def test_settings_survive_the_trip_to_a_file(
    data: str, seed: int, training: TrainingSettings, tuning: TuningSettings
) -> None:
    model = {"name": "l2rec", "rank": 4, "views": ["a"]}
    settings = RunSettings(data=data, seed=seed, model=model, training=training, tuning=tuning)
    text = config.to_toml(settings.model_dump(mode="json"))
    again = config.validated(RunSettings, config.tomllib.loads(text), "")
    assert again.model_dump(mode="json") == settings.model_dump(mode="json")
    assert repr(again.tuning) == repr(tuning), "a whole number stays one"


def test_a_file_is_read_with_its_overrides(tmp_path: Path) -> None:
    path = tmp_path / "a.toml"
    path.write_text(config.to_toml(BASE | {"training": {"epochs": 2, "max_seconds": None}}), encoding="utf-8")
    assert config.read_toml(path, ["training.epochs=4"]) == BASE | {"training": {"epochs": 4}}


def test_a_file_that_says_nothing_of_its_tuning_has_no_budget() -> None:
    assert config.validated(RunSettings, BASE, "").tuning.budget == (None, None)
    assert TuningSettings(trials=0).budget == (0, None), "nothing tried is said, not left out"
