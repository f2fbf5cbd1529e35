"""Run folders beside each other, their report, and the sentence of the demonstration."""

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from l2rec.config import TuningSettings, flat, read_toml, validated
from l2rec.errors import RunError, SettingError
from l2rec.evaluation.comparison import Comparison, Contrast, Row
from l2rec.evaluation.leaderboard import budgets
from l2rec.evaluation.results import Origin
from l2rec.run import examples
from l2rec.run.demo import configs, demonstrate, sentence
from l2rec.run.pipeline import resolved, settings_of
from l2rec.run.record import ranked
from l2rec.run.reuse import refuse_searched
from l2rec.run.space import SearchSettings, space_of
from l2rec.run.tables import compared, write_report
from tests.trained import SASREC, World, first, settings, write_config


def test_seeds_of_one_folder_are_one_row(world: World) -> None:
    table = compared([world.popularity, world.sasrec])
    assert [(row.origin.label, row.seeds) for row in table.rows] == [("sasrec", (0, 1)), ("popularity", (0,))]


def test_a_run_that_was_not_evaluated_cannot_be_compared(world: World, tmp_path: Path) -> None:
    with pytest.raises(RunError, match="no run in this folder"):
        compared([world.popularity, tmp_path])


def test_the_report_holds_rows_curves_lists_and_facts(world: World, tmp_path: Path) -> None:
    path = write_report([world.popularity, world.sasrec], tmp_path / "deep" / "report.html")
    page = path.read_text(encoding="utf-8")
    for text in ("popularity", "sasrec", "loo/full/unseen/expected-ties", "seed 1", "torch"):
        assert text in page
    shown = examples.read(world.popularity, "popularity")
    assert len(shown) == 3
    assert all(example.history[-1] in page for example in shown)
    assert not re.search(r"(src|href)=[\"']https?:", page), "the page asks the network for something"


def test_the_same_users_are_shown_for_every_run(world: World) -> None:
    merged = examples.merged(
        [examples.read(world.popularity, "popularity"), examples.read(world.sasrec / "seed-0", "sasrec")]
    )
    assert len(merged) == 3
    assert all(set(example.lists) == {"popularity", "sasrec"} for example in merged)
    for example in merged:
        assert len(example.history) >= 5 or example.earlier == 0
        for listed in example.lists.values():
            assert [one.score for one in listed] == sorted((one.score for one in listed), reverse=True)
            assert all(one.hit == (one.title == example.target) for one in listed)


def test_damaged_examples_are_refused_with_the_way_out(world: World, tmp_path: Path) -> None:
    (tmp_path / examples.FILE).write_text("[{}]")
    with pytest.raises(RunError, match=r"examples\.json: damaged\. Run: l2rec evaluate"):
        examples.read(tmp_path, "any")
    assert examples.read(tmp_path / "none", "any") == []


def contrast(verdict: str) -> Contrast:
    """How `l2rec` stands to `ease`."""
    numbers = {"difference": 0.01, "low": -0.002, "high": 0.02, "p": 0.2, "p_holm": 0.3}
    return Contrast(label="l2rec", against="ease", metric="ndcg@10", verdict=verdict, **numbers)


def table_of(test: Contrast, *labels: str) -> Comparison:
    """A table of rows that have nothing but labels, best first."""
    rows = tuple(
        Row.model_construct(origin=Origin.model_construct(label=label, protocol="p", fingerprint="f"))
        for label in labels
    )
    return Comparison.model_construct(metric="ndcg@10", rows=rows, contrasts=(test,))


@pytest.mark.parametrize(
    ("verdict", "words"),
    [
        ("better", "l2rec is the best row: ndcg@10 +.0100 against ease, 95 % interval -.0020 to +.0200, p .300"),
        ("worse", "l2rec is not the best row: ndcg@10 +.0100 against ease"),
        ("not shown", "l2rec is not distinguishable from the strongest baseline: ndcg@10 +.0100 against ease"),
    ],
)
def test_the_sentence_says_what_the_interval_says(verdict: str, words: str) -> None:
    table = table_of(contrast(verdict), "l2rec", "ease")
    assert sentence(table, "l2rec").startswith(words)
    assert sentence(table, "other") == ""


def test_a_row_below_another_is_not_called_the_best() -> None:
    table = table_of(contrast("better"), "l2rec-other", "l2rec")
    assert sentence(table, "l2rec").startswith("l2rec is better than the strongest baseline, but not the best row: ")


def test_a_table_of_unlike_protocols_claims_nothing() -> None:
    table = table_of(contrast("better"), "l2rec", "ease")
    other = table.rows[1].origin.model_copy(update={"protocol": "q"})
    mixed = table.model_copy(update={"rows": (table.rows[0], table.rows[1].model_copy(update={"origin": other}))})
    assert sentence(mixed, "l2rec") == ""


@pytest.fixture
def rows(world: World, tmp_path: Path) -> Path:
    """A folder with two settings; the row called l2rec is a little SASRec, which is all that the pipeline sees."""
    folder = tmp_path / "configs"
    folder.mkdir()
    write_config(folder / "popularity.toml", settings(world, {"name": "popularity"}))
    write_config(folder / "l2rec.toml", settings(world, SASREC))
    return folder


def test_the_demonstration_trains_measures_compares_and_reports(rows: Path, tmp_path: Path) -> None:
    told: list[str] = []
    found = demonstrate(rows, tmp_path / "out", told.append)
    assert [row.origin.label for row in found.comparison.rows] == ["l2rec", "popularity"]
    assert found.report.is_file()
    assert [line.split(":")[0] for line in told] == ["1/2 popularity", "1/2 popularity", "2/2 l2rec", "2/2 l2rec"]


def test_a_demonstration_of_unequal_budgets_says_each(rows: Path, tmp_path: Path) -> None:
    (rows / "l2rec.toml").write_text(
        (rows / "l2rec.toml").read_text().replace("[tuning.space]", "[tuning]\ntrials = 7")
    )
    found = demonstrate(rows, tmp_path / "out", _nothing)
    said = "Tuning budgets are unequal: l2rec 7 trials; not said: popularity."
    assert budgets(found.comparison) == said
    assert said in found.report.read_text(encoding="utf-8")
    with pytest.raises(RunError, match=r"unequal budgets, .* or pass --labelled\.$"):
        compared([tmp_path / "out" / name for name in ("l2rec", "popularity")])


def test_a_second_demonstration_trains_nothing(rows: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    once = demonstrate(rows, tmp_path / "out", _nothing)
    monkeypatch.setattr("l2rec.run.pipeline.plan", None)
    assert demonstrate(rows, tmp_path / "out", _nothing).comparison == once.comparison


_nothing: Callable[[str], None] = lambda _: None  # noqa: E731


def test_a_demonstration_of_nothing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingError, match="holds no TOML file"):
        demonstrate(tmp_path, tmp_path / "out", _nothing)


def test_the_demonstrations_own_settings_are_whole_and_ask_for_the_sample() -> None:
    files = sorted(configs().glob("*.toml"))
    assert {path.stem for path in files} >= {"l2rec", "sasrec", "transition", "popularity", "itemknn", "ease"}
    for path in files:
        assert resolved(settings_of(path)).data == "sample"


def test_the_settings_that_come_along_say_what_their_heads_say() -> None:
    """Budgets of configs/scientific as LOG.md has them; floors of nothing to choose say nothing."""
    root = Path(__file__).parents[2] / "configs"
    found = {f"{p.parent.name}/{p.stem}": resolved(settings_of(p)).tuning for p in sorted(root.glob("*/*.toml"))}
    trials = {name.removeprefix("scientific/"): t.trials for name, t in found.items() if name.startswith("scientific")}
    assert (trials["l2rec-plain-transition"], trials["l2rec-both-transition"]) == (5 + 11, 5 + 11 + 4)
    searched = [name for name in found if found[name].method == "search" and found[name].seconds]
    assert {found[name].seconds for name in searched} == {900.0}, "the same for all"
    assert len(searched) >= 9
    beside = [
        name for name in found if "model.transition_weight" in found[name].space and found[name].method == "search"
    ]
    of = {folder: [name for name in beside if name.startswith(f"{folder}/")] for folder in ("beauty", "scientific")}
    assert {found[name].trials for name in of["scientific"]} == {16}
    assert {found[name].trials for name in of["beauty"]} == {8}
    alone = {"scientific/unisrec-inductive"}  # run on a tenth
    assert len(of["scientific"]) == len({*searched} - alone), "each has its row with the counts"
    assert (trials["ease"], trials["itemknn"], trials["transition"]) == (37, 50, 140 + 10)
    assert all(found[f"{folder}/popularity"] == TuningSettings() for folder in ("beauty", "demo", "scientific"))
    heads = {
        "37 trials": "ease",
        "50 trials": "itemknn",
        "19 trials": "recent_popularity",
        "140 trials": "transition_attributes",
    }
    for words, name in heads.items():
        assert words in (root / "scientific" / f"{name}.toml").read_text(encoding="utf-8")
        assert f"{trials[name]} trials" == words


def test_a_row_with_the_counts_takes_the_weights_of_the_one_without() -> None:
    """What `--from` and the search beside learnt weights refuse is looked at for each pair of files."""
    pairs = {
        path: re.search(r"--from runs/scientific/(\S+)", path.read_text(encoding="utf-8"))
        for path in (Path(__file__).parents[2] / "configs" / "scientific").glob("*.toml")
    }
    taken = {path: path.with_name(f"{found[1]}.toml") for path, found in pairs.items() if found}
    assert len(taken) >= 9
    for path, source in taken.items():
        one, two = (flat(resolved(settings_of(each)).model_dump(mode="json")) for each in (path, source))
        unlike = {name for name in one.keys() | two.keys() if one.get(name) != two.get(name)}
        names = {name for name in unlike if not name.startswith(("tuning.", "model.transition."))}
        assert names == {"model.transition_weight"}, path.name
        wanted = validated(SearchSettings, read_toml(path).get("search", {}), "search")
        refuse_searched(space_of(resolved(settings_of(path)).model["name"], wanted))


def test_an_example_shows_the_ids_of_items_without_titles(world: World) -> None:
    run = first(world.sasrec)
    data = run.folder.data()
    bare = replace(data, items=replace(data.items, titles=("",) * len(data.items)))
    cases = data.cases("test")
    rankings = ranked(run.folder.model(data.items, torch.device("cpu")), cases, run.settings.evaluation)
    for example in examples.examples_of("sasrec", rankings, cases, bare):
        shown = [*example.history, example.target, *(one.title for one in example.lists["sasrec"])]
        assert set(shown) <= set(data.item_ids.values)
