"""The example of docs/add-a-model.md is found by its entry point, learns, and keeps what every model owes."""

import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from l2rec.models import Retriever, find, names
from tests import worlds
from tests.models import test_every_model as owed

PAGE = Path(__file__).parents[2] / "docs" / "add-a-model.md"


@pytest.fixture(autouse=True)
def _markov(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The page's example as another package, installed as far as Python looks."""
    example, *_ = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    package = tmp_path / "site" / "yourpackage"
    about = tmp_path / "site" / "yourpackage-1.0.dist-info"
    package.mkdir(parents=True)
    about.mkdir()
    (package / "__init__.py").write_text("", encoding="utf-8")
    (package / "markov.py").write_text(example, encoding="utf-8")
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: yourpackage\nVersion: 1.0\n", encoding="utf-8")
    (about / "entry_points.txt").write_text("[l2rec.models]\nmarkov = yourpackage.markov\n", encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path / "site")
    yield
    for module in [name for name in sys.modules if name.split(".")[0] == "yourpackage"]:
        del sys.modules[module]


def test_it_is_listed_and_described() -> None:
    assert "markov" in names()
    assert find("markov").summary == "Markov: the vector of the last item asks, and the vectors of all items answer."


def test_it_keeps_what_every_model_owes(
    backbone: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path_factory.mktemp
    owed.test_it_offers_settings_a_model_and_a_sentence("markov")
    owed.test_every_setting_says_what_it_is("markov")
    owed.test_settings_survive_the_trip_to_a_file("markov", backbone, place("settings"))
    owed.test_every_item_has_a_finite_score_for_every_history("markov", backbone, 3)
    owed.test_empty_histories_score_alike("markov", backbone)
    owed.test_a_history_scores_the_same_alone_and_in_a_crowd("markov", backbone)
    owed.test_padding_changes_nothing("markov", backbone)
    owed.test_the_future_changes_no_score("markov", backbone)
    owed.test_the_past_does_change_a_score("markov", backbone)
    owed.test_the_future_changes_no_loss_and_no_gradient("markov", backbone)
    owed.test_one_step_downhill_lowers_the_loss("markov", backbone)
    owed.test_a_step_in_bf16_works_with_frozen_weights_of_either_kind("markov", "float32", backbone)
    owed.test_save_and_load_change_nothing("markov", backbone, place("weights"))
    owed.test_a_training_that_died_and_was_resumed_ends_like_an_uninterrupted_one(
        "markov", backbone, place("resume"), monkeypatch
    )


def test_no_debt_is_left_out_of_the_test_above() -> None:
    called = set(test_it_keeps_what_every_model_owes.__code__.co_names)
    assert {name for name in vars(owed) if name.startswith("test_")} <= called


def test_it_learns_the_little_world() -> None:
    found = find("markov")
    model = found.model(found.config(), worlds.tiny_items())
    assert isinstance(model, Retriever)
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.05)
    batch = worlds.training_batch_of([s for s in worlds.tiny_sequences(200) if len(s) > 1])
    for _ in range(40):
        optimizer.zero_grad()
        model.loss(batch).total.backward()
        optimizer.step()
    best = model.scores(worlds.batch_of([[item] for item in range(29)])).argmax(1).tolist()
    assert sum(best[item] == worlds.successor(item, 30) for item in range(29)) >= 27


def test_the_table_of_kinds_names_every_base() -> None:
    kinds = re.findall(r"^\| `(\w+)` \|", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    assert kinds == ["Counter", "Learner", "Retriever", "TextReader", "Growing", "Explaining"]
