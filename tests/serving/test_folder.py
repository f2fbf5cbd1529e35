"""A run folder's files: whole or not at all, and the sample by its name."""

from pathlib import Path

import pytest

from l2rec.serving import folder
from tests.trained import World


def test_a_text_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    folder.write_text(path, "old")
    with pytest.raises(UnicodeEncodeError):
        folder.write_text(path, "new \ud800")
    assert path.read_text() == "old"
    assert [one.name for one in tmp_path.iterdir()] == ["a.json"]


def test_the_sample_is_prepared_in_the_cache(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("l2rec.data.sample.path", lambda: world.log)
    monkeypatch.setenv("L2REC_CACHE", str(tmp_path))
    data = folder.open_data("sample")
    assert tmp_path in data.folder.parents
    assert len(data.user_ids) == 40
