"""Answers from a run folder: ids and titles in and out, nothing seen, nobody unknown, words where they can be read."""

import json
import shutil
from pathlib import Path

import polars as pl
import pytest
import torch

from l2rec.data.prepare import prepare
from l2rec.data.prepared import load
from l2rec.data.splits import SplitSettings
from l2rec.errors import DataError, ModelError, RunError, SettingError
from l2rec.models import Retriever, TextReader
from l2rec.models.ids.sasrec import Model as SasRec
from l2rec.serving.model.live import Ask
from l2rec.serving.recommender import Recommender, pasts
from l2rec.serving.records import LiveItem
from l2rec.serving.wishes import Filters, Wish
from tests.models.conftest import backbone  # noqa: F401  (the fixture)
from tests.serving.model import runs
from tests.trained import World, pinned_again


@pytest.fixture(scope="session")
def recommender(world: World) -> Recommender:
    return Recommender.load(world.sasrec / "seed-0")


def test_a_list_is_the_best_of_the_scores_without_the_history(recommender: Recommender) -> None:
    history = ["i3", "i10", "i2"]
    numbers = recommender.item_ids.numbers(history)
    scores = recommender.scores(numbers).tolist()
    rest = sorted((n for n in range(len(scores)) if n not in numbers), key=lambda n: -scores[n])
    found = recommender.recommend(history=history, k=5)
    assert [one.item_id for one in found] == recommender.item_ids.ids(rest[:5])
    assert [one.title for one in found] == [recommender.items.titles[n] for n in rest[:5]]
    assert [one.score for one in found] == pytest.approx([scores[n] for n in rest[:5]])


def test_a_list_is_never_longer_than_what_is_left(recommender: Recommender) -> None:
    assert len(recommender.recommend(history=["i3"], k=1000)) == 29
    assert len(recommender.recommend(history=[], k=1000)) == 30


def test_only_the_last_items_that_the_model_reads_count(recommender: Recommender) -> None:
    long = recommender.item_ids.numbers(["i7", "i8", *["i3", "i10"] * 4])
    assert torch.equal(recommender.scores(long), recommender.scores(long[-8:]))
    assert not torch.equal(recommender.scores(long), recommender.scores(long[:8]))


def test_a_users_history_is_all_that_the_data_knows(recommender: Recommender, world: World) -> None:
    rows = [line.split(",") for line in (world.log / "interactions.csv").read_text().splitlines()[1:]]
    own = [item for user, item, _ in rows if user == "u5"]
    data = load(world.prepared)
    assert data.item_ids.ids(pasts(data).sequence(data.user_ids.number("u5")).tolist()) == own
    assert recommender.recommend(user_id="u5") == recommender.recommend(history=own)


@pytest.mark.parametrize("cases", ["first", "last", "all"])
def test_a_users_history_is_whole_after_a_temporal_split(cases: str, world: World, tmp_path: Path) -> None:
    split = SplitSettings.model_validate({"kind": "temporal", "cases": cases})
    data = prepare(world.log, tmp_path / "temporal", split=split)
    known = pasts(data)
    rows = [line.split(",") for line in (world.log / "interactions.csv").read_text().splitlines()[1:]]
    for number, user in enumerate(data.user_ids.values):
        own = [item for who, item, _ in rows if who == user]
        assert data.item_ids.ids(known.sequence(number).tolist()) == own


@pytest.mark.parametrize(
    ("asked", "error", "message"),
    [
        ({}, SettingError, "pass exactly one of user_id, history and text"),
        ({"history": ["i3"], "user_id": "u5"}, SettingError, "pass exactly one of"),
        ({"history": ["i3"], "k": 0}, SettingError, r"k 0: below 1\. Ask for a list of 1 or more"),
        (
            {"history": ["i3"], "k": 5, "wish": Wish(10)},
            SettingError,
            r"k 5 beside a wish of 10 places\. Say the length",
        ),
        ({"history": ["i3"], "wish": Wish(0)}, SettingError, r"^k: 0: expected 1 to "),
        ({"history": ["i3"], "wish": Wish(diversity=2.0)}, SettingError, r"^diversity: 2.0: expected 0 to 1"),
        (
            {"history": ["i3"], "wish": Wish(filters=Filters(deny_attributes=frozenset({"red"})))},
            SettingError,
            'deny_attributes: "red": no "="',
        ),
        (
            {"user_id": "u5", "attributes": [1.0]},
            SettingError,
            "pass attributes with a history or a text; the data know",
        ),
        ({"history": ["i3"], "attributes": [1.0]}, SettingError, r"attributes: 1 values: the run has 0\."),
        ({"history": ["i3x"]}, DataError, r'item id "i3x": not among the 30 known\. Did you mean'),
        ({"user_id": "nobody"}, DataError, 'user id "nobody": not among the 40 known'),
        ({"text": " "}, SettingError, "the text is empty"),
        (
            {"text": "a lamp"},
            ModelError,
            r"sasrec cannot read text\. Pass a user or a history, or .* can: ilora, l2rec",
        ),
        ({"user_id": "u5", "wish": Wish(prompt="a lamp")}, ModelError, r"sasrec cannot read text\."),
    ],
)
def test_what_cannot_be_answered_says_why(
    asked: dict[str, object], error: type[Exception], message: str, recommender: Recommender
) -> None:
    with pytest.raises(error, match=message):
        recommender.recommend(**asked)  # type: ignore[arg-type]


class Reader(SasRec, TextReader):
    """A SASRec to which a text of one word is the item with that number."""

    def text_vectors(self, texts: tuple[str, ...]) -> torch.Tensor:
        return self.item_vectors()[[int(text) for text in texts]] * 100


def test_words_are_answered_by_a_model_that_can_read_them(recommender: Recommender) -> None:
    reader = Reader(recommender.model.config, recommender.items)  # type: ignore[arg-type]
    reader.load_state(recommender.model.state())
    able = Recommender(recommender.folder, recommender.items, recommender.item_ids, reader, torch.device("cpu"))
    [best] = able.recommend(text="4", k=1)
    vectors = reader.item_vectors()
    assert best.item_id == able.item_ids.id(int((vectors @ vectors[4]).argmax()))
    assert isinstance(reader, Retriever)


def test_a_prompt_moves_the_list_of_a_history_and_of_a_user(world: World, backbone: Path) -> None:  # noqa: F811
    able = Recommender.load(runs.l2rec(world, backbone).folder.path)
    history = ["i3", "i10"]
    ask = Ask(tuple(able.item_ids.numbers(history)), prompt="red lamp")
    scores = able.live.scores([ask])[0]
    found = able.recommend(history=history, wish=Wish(30, prompt="red lamp"))
    assert {one.item_id: one.score for one in found} == {
        able.item_ids.id(n): pytest.approx(float(scores[n])) for n in range(30) if n not in ask.history
    }
    assert found != able.recommend(history=history, k=30)
    assert able.recommend(user_id="u5", wish=Wish(prompt="red lamp")) != able.recommend(user_id="u5")
    with pytest.raises(SettingError, match="pass a prompt with a user or a history; a text is the whole question"):
        able.recommend(text="red lamp", wish=Wish(prompt="red lamp"))


def test_filters_know_items_as_they_are_now(world: World, backbone: Path) -> None:  # noqa: F811
    able = Recommender.load(runs.l2rec(world, backbone).folder.path)
    new = LiveItem(item_id="new", title="red lamp", attributes=("size=huge",))
    able.live.apply([new, LiveItem(item_id="i4", title="Four", attributes=("size=huge",))])
    huge = Wish(30, filters=Filters(allow_attributes=frozenset({"size=huge"})))
    assert {one.item_id for one in able.recommend(history=["i3"], wish=huge)} == {"new", "i4"}
    able.live.apply([LiveItem(item_id="new", deleted=True)])
    assert [one.title for one in able.recommend(history=["i3"], wish=huge)] == ["Four"]


def test_a_floor_answers_too(world: World) -> None:
    found = Recommender.load(world.popularity).recommend(history=["i3"], k=3)
    assert len(found) == 3
    assert "i3" not in {one.item_id for one in found}


def test_seen_items_stay_where_the_protocol_keeps_them(world: World, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(world.popularity, tmp_path / "copy"))
    config = (copy / "config.toml").read_text()
    (copy / "config.toml").write_text(config.replace("mask_seen = true", "mask_seen = false"))
    assert len(Recommender.load(pinned_again(copy)).recommend(history=["i3"], k=99)) == 30


@pytest.fixture
def copy(world: World, tmp_path: Path) -> Path:
    """A run that a test may damage."""
    return Path(shutil.copytree(world.popularity, tmp_path / "copy"))


def test_a_run_serves_without_its_data(copy: Path) -> None:
    told = json.loads((copy / "manifest.json").read_text())
    (copy / "manifest.json").write_text(json.dumps({**told, "data": "gone"}))
    assert Recommender.load(copy).recommend(history=["i3"])
    with pytest.raises(DataError, match="gone: not a prepared folder"):
        Recommender.load(copy).recommend(user_id="u5")


def test_data_that_changed_are_refused(copy: Path) -> None:
    told = json.loads((copy / "manifest.json").read_text())
    (copy / "manifest.json").write_text(json.dumps({**told, "fingerprint": "0" * 64}))
    with pytest.raises(RunError, match=r"the run .*copy was trained on 000000000000\. Prepare the data as it was"):
        Recommender.load(copy).recommend(user_id="u5")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("manifest.json", "{", r"manifest\.json: not a run's manifest\. Train the run again"),
        ("manifest.json", "[]", r"manifest\.json: not a run's manifest\. Train the run again"),
        ("ids/items.parquet", "", r"items\.parquet: missing or damaged\. Train the run again"),
        ("weights.safetensors", "", r"weights\.safetensors: not a whole safetensors file"),
    ],
)
def test_a_damaged_folder_is_refused(name: str, content: str, message: str, copy: Path) -> None:
    (copy / name).write_text(content)
    with pytest.raises(RunError, match=message):
        Recommender.load(copy if name == "manifest.json" else pinned_again(copy))


def test_a_folder_of_another_layout_is_refused(copy: Path) -> None:
    told = json.loads((copy / "manifest.json").read_text())
    (copy / "manifest.json").write_text(json.dumps({**told, "format": 9}))
    with pytest.raises(RunError, match=r"layout 9, this l2rec reads 1"):
        Recommender.load(copy)


def test_an_unfinished_run_is_not_served(copy: Path) -> None:
    told = json.loads((copy / "manifest.json").read_text())
    (copy / "manifest.json").write_text(json.dumps({**told, "finished": None}))
    message = rf"copy: not trained to the end\. Go on: l2rec train {copy}/config\.toml --out {copy} --resume$"
    with pytest.raises(RunError, match=message):
        Recommender.load(copy)


def test_an_item_without_a_title_is_shown_by_its_id(copy: Path) -> None:
    path = copy / "ids" / "items.parquet"
    pl.read_parquet(path).with_columns(title=pl.lit("")).write_parquet(path)
    found = Recommender.load(pinned_again(copy)).recommend(history=["i3"], k=3)
    assert [one.title for one in found] == [one.item_id for one in found]
