"""`l2rec search --from`: the third signal is chosen beside learnt weights, which no trial trains again."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from l2rec.config import to_toml
from l2rec.errors import RunError, SettingError
from l2rec.models._checkpoint import read_tensors, write_tensors
from l2rec.models.ids.sasrec import Model
from l2rec.run import Options, Run, settings_of, train
from l2rec.run.search import Order, search
from l2rec.run.searched import Budget
from l2rec.serving.folder import RunFolder
from l2rec.serving.pins import file_hash
from tests.run.taking import COUNTED, ON_CPU, asked_for
from tests.trained import SASREC, World, pinned_again

WEIGHTS = {"choices": [0.5, 2.0, 40.0]}


@pytest.fixture(scope="module")
def learnt(world: World, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train(asked_for(world), tmp_path_factory.mktemp("learnt") / "run", ON_CPU).path


def order(world: World, place: Path, source: Path, space: dict[str, Any]) -> Order:
    values = asked_for(world, SASREC | {"transition": COUNTED}).model_dump(mode="json")
    values["search"] = {"declared": False, "space": space}
    (place / "config.toml").write_text(to_toml(values), encoding="utf-8")
    options = Options(device="cpu", source=source)
    return Order(place / "config.toml", place / "search", Budget(trials=3), options=options)


def test_every_trial_is_the_run_that_takes_the_weights(world: World, learnt: Path, tmp_path: Path) -> None:
    asked = order(world, tmp_path, learnt, {"model.transition_weight": WEIGHTS})
    found = search(asked)
    weights = (learnt / "weights.safetensors").stat().st_size
    for trial in found.trials:
        run = asked.folder / "trials" / f"{trial.number:03d}"
        assert (run / "weights.safetensors").stat().st_size >= weights
        assert RunFolder.open(run).manifest.source is not None
    best = train(settings_of(asked.folder / "best.toml"), tmp_path / "best", replace(ON_CPU, source=learnt))
    assert best.evaluate("validation").metrics["ndcg@10"].mean == pytest.approx(found.best.value)
    assert best.settings.tuning.budget == (3, None)
    values = {trial.settings["model.transition_weight"]: trial.value for trial in found.trials}
    assert len(set(values.values())) == len(values), "it is measured with the signal, not read from the training's log"


def test_the_weights_read_histories_and_items_for_the_first_trial_alone(
    world: World, learnt: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = {"user_vectors": 0, "item_vectors": 0}

    def counting(name: str, whole: Callable[..., Any]) -> Callable[..., Any]:
        def count(*given: Any) -> Any:
            read[name] += 1
            return whole(*given)

        return count

    run = Run.open(learnt)
    batches = -(-len(run.folder.data().cases("validation")) // run.settings.evaluation.batch_size)
    monkeypatch.setattr(Model, "user_vectors", counting("user_vectors", Model.user_vectors))
    monkeypatch.setattr(Model, "item_vectors", counting("item_vectors", Model.item_vectors))
    asked = order(world, tmp_path, learnt, {"model.transition_weight": WEIGHTS})
    assert len(search(asked).trials) == 3
    assert read == {"user_vectors": batches, "item_vectors": 1}


def test_what_was_chosen_on_histories_whose_end_was_held_back_says_so(world: World, tmp_path: Path) -> None:
    cut = "training.held_back=1"
    source = train(asked_for(world, SASREC, cut), tmp_path / "run", ON_CPU).path
    asked = order(world, tmp_path, source, {"model.transition_weight": WEIGHTS})
    search(replace(asked, overrides=(cut,)))
    best = asked.folder / "best.toml"
    assert "take that line out for the run that is kept" in best.read_text(encoding="utf-8").splitlines()[1]
    assert settings_of(best).training.held_back == 1


def test_nothing_that_is_learnt_can_be_searched(world: World, learnt: Path, tmp_path: Path) -> None:
    space = {"model.transition_weight": WEIGHTS, "model.dropout": {"low": 0.0, "high": 0.5}}
    asked = order(world, tmp_path, learnt, space)
    with pytest.raises(SettingError, match=r"search.space: model.dropout: --from takes weights that are learnt"):
        search(asked)
    assert not asked.folder.exists()


def test_a_search_goes_on_with_the_weights_that_it_began_with(world: World, learnt: Path, tmp_path: Path) -> None:
    asked = order(world, tmp_path, learnt, {"model.transition_weight": WEIGHTS})
    search(replace(asked, budget=Budget(trials=1)))
    resumed = replace(asked, options=replace(asked.options, resume=True))
    elsewhere = shutil.copytree(learnt, tmp_path / "elsewhere")
    for source, now in ((None, "None"), (trained_again(world, tmp_path), "[0-9a-f]{64}")):
        with pytest.raises(RunError, match=rf"--from, by its weights' hash, was [0-9a-f]{{64}} and now is {now}"):
            search(replace(resumed, options=replace(resumed.options, source=source)))
    assert len(search(replace(resumed, options=replace(resumed.options, source=elsewhere))).trials) == 3
    told = json.loads((asked.folder / "search.json").read_text())
    assert told["source"] == file_hash(learnt / "weights.safetensors")


def trained_again(world: World, place: Path) -> Path:
    """The same settings to weights that are not the same, as other versions or another machine may."""
    run = train(asked_for(world), place / "again", ON_CPU).path
    weights = read_tensors(run / "weights.safetensors")
    write_tensors({name: tensor * 1.01 for name, tensor in weights.items()}, run / "weights.safetensors")
    return pinned_again(run)


def test_what_cannot_be_taken_is_refused_before_anything_is_written(world: World, learnt: Path, tmp_path: Path) -> None:
    space = {"model.transition_weight": WEIGHTS}
    with pytest.raises(RunError, match="no run in this folder"):
        search(order(world, tmp_path, tmp_path / "nowhere", space))
    asked = replace(order(world, tmp_path, learnt, space), overrides=("model.dropout=0.3",))
    with pytest.raises(RunError, match=r"model.dropout was 0.1 and now is 0.3. --from takes a run that differs in"):
        search(asked)
    assert not asked.folder.exists()


def test_a_share_of_the_users_and_words_are_those_of_the_training(world: World, tmp_path: Path) -> None:
    model, share = SASREC | {"words": True}, "training.share=0.5"
    source = train(asked_for(world, model, share), tmp_path / "run", ON_CPU).path
    asked = order(world, tmp_path, source, {"model.transition_weight": WEIGHTS})
    found = search(replace(asked, overrides=(share, "model.words=true")))
    assert [trial.state for trial in found.trials] == ["complete"] * 3
