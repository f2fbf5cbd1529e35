"""A finished run pins its files: one that is lost, cut, changed or swapped for another good one is refused."""

import json
import shutil
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import pytest

from l2rec.errors import RunError
from l2rec.run import Options, Run, train
from l2rec.serving.answering.edition import Edition, Engine
from l2rec.serving.folder import RunFolder
from l2rec.serving.model.live import Live
from l2rec.serving.pins import file_hash, pins_of
from l2rec.serving.publishing.publish import publish
from l2rec.serving.recommender import Recommender
from l2rec.serving.store.sqlite import SqliteStore
from tests.trained import World, settings

PINNED = ("config.toml", "ids/items.parquet", "ids/users.parquet", "weights.safetensors")


@pytest.fixture
def copy(world: World, tmp_path: Path) -> Path:
    """A run that a test may damage."""
    return Path(shutil.copytree(world.sasrec / "seed-0", tmp_path / "copy"))


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def users(path: Path) -> dict[str, Callable[[], object]]:
    """Everything that makes the run answer."""
    return {
        "serve": lambda: Live.load(path),
        "recommend": lambda: Recommender.load(path),
        "publish": lambda: publish(path, SqliteStore(path.parent / "store.db")),
    }


def test_a_finished_run_pins_its_weights_its_ids_and_its_settings(copy: Path) -> None:
    told = json.loads((copy / "manifest.json").read_text())["files"]
    assert told == {name: sha256((copy / name).read_bytes()).hexdigest() for name in sorted(told)}
    assert sorted(told) == sorted(PINNED)
    for use in users(copy).values():
        use()


@pytest.mark.parametrize("use", ["serve", "recommend", "publish"])
@pytest.mark.parametrize("name", PINNED)
@pytest.mark.parametrize(("harm", "told"), [(flip, "sha256 "), (cut, "sha256 "), (Path.unlink, "")])
def test_a_file_that_is_not_what_it_was_is_refused(
    harm: Callable[[Path], None], told: str, name: str, use: str, copy: Path
) -> None:
    if name == "config.toml":
        # A flipped byte or a missing file may be no settings at all; what still reads is the danger.
        text = (copy / name).read_text()
        (copy / name).write_text(text.replace("mask_seen = true", "mask_seen = false"))
        told = "sha256 "
    else:
        harm(copy / name)
    with pytest.raises(RunError) as refused:
        users(copy)[use]()
    message = str(refused.value)
    assert message.startswith(f"{copy / name}: {told or 'missing'}")
    assert message.endswith("lost, cut or changed since. Restore a copy, or train again.")
    assert "\n" not in message


def test_whole_weights_of_another_run_are_refused(world: World, copy: Path) -> None:
    shutil.copyfile(world.sasrec / "seed-1" / "weights.safetensors", copy / "weights.safetensors")
    with pytest.raises(RunError, match=r"weights\.safetensors: sha256 .*, the finished run had "):
        Live.load(copy)
    with pytest.raises(RunError, match=r"weights\.safetensors: sha256 .*, the finished run had "):
        Run.open(copy).evaluate(again=True)


def test_a_run_of_before_there_were_pins_opens_and_is_called_not_pinned(copy: Path) -> None:
    assert RunFolder.open(copy).is_pinned
    told = json.loads((copy / "manifest.json").read_text())
    del told["files"]
    (copy / "manifest.json").write_text(json.dumps(told))
    assert not RunFolder.open(copy).is_pinned
    assert Recommender.load(copy).recommend(history=["i3"])
    flip(copy / "weights.safetensors")
    with pytest.raises(RunError, match=r"weights\.safetensors"):
        Recommender.load(copy)


def test_a_pinned_run_whose_weights_lack_their_pin_is_refused(copy: Path) -> None:
    told = json.loads((copy / "manifest.json").read_text())
    del told["files"]["weights.safetensors"]
    (copy / "manifest.json").write_text(json.dumps(told))
    with pytest.raises(RunError, match="the finished run had no hash"):
        Live.load(copy)


def test_an_edition_is_what_was_published_or_none(world: World, copy: Path) -> None:
    release = publish(copy, SqliteStore(copy.parent / "store.db"))
    Edition.load(release, (), Engine()).close()
    told = json.loads((copy / "manifest.json").read_text())
    for files in (told["files"], {}):
        shutil.rmtree(copy)
        shutil.copytree(world.sasrec / "seed-1", copy)
        if not files:
            (copy / "manifest.json").write_text(json.dumps({**told, "files": {}}))
        with pytest.raises(RunError, match=r"copy: weights .*, .* was published\. Publish the run again\."):
            Edition.load(release, (), Engine())


def test_an_unfinished_run_has_no_pins(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def cut_off(*_: object) -> float:
        assert json.loads((tmp_path / "run" / "manifest.json").read_text())["files"] == {}
        raise KeyboardInterrupt

    monkeypatch.setattr("l2rec.run.pipeline._trained", cut_off)
    with pytest.raises(KeyboardInterrupt):
        train(settings(world, {"name": "popularity"}), tmp_path / "run", Options(device="cpu"))
    with pytest.raises(RunError, match="not trained to the end"):
        publish(tmp_path / "run", SqliteStore(tmp_path / "store.db"))


def test_settings_written_anew_are_pinned_anew(copy: Path) -> None:
    before = RunFolder.open(copy)
    after = RunFolder.write(copy, before.settings.model_copy(update={"seed": 9}), before.manifest)
    assert after.manifest.files["config.toml"] == file_hash(copy / "config.toml")
    assert after.manifest.files["config.toml"] != before.manifest.files["config.toml"]
    assert RunFolder.open(copy) == after


def test_a_file_that_was_never_written_cannot_be_pinned(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("a")
    assert pins_of(tmp_path, [tmp_path / "a"]) == {"a": sha256(b"a").hexdigest()}
    with pytest.raises(RunError, match=r"b: not written\. Train the run again\."):
        pins_of(tmp_path, [tmp_path / "a", tmp_path / "b"])
