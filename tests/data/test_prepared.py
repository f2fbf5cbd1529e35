"""A prepared folder in memory: cases against a slow definition, and what a changed folder is refused for."""

from dataclasses import replace
from pathlib import Path
from typing import Literal

import pytest
import torch

from l2rec.data.prepared import Prepared, load
from l2rec.data.splits import SplitSettings
from l2rec.errors import DataError
from tests.data.logs import events, prepared, write
from tests.data.test_prepare import log, world

CUTS = {"validation": (600, 800), "test": (800, 10**9)}
Case = tuple[str, tuple[tuple[str, int], ...], str, int]


def found(data: Prepared, part: Literal["validation", "test"]) -> list[Case]:
    """The cases of a part under outside ids."""
    cases = data.cases(part)
    names = []
    for row in range(len(cases)):
        items = data.item_ids.ids(cases.histories.sequence(row).tolist())
        start = int(cases.histories.offsets[row])
        seconds = cases.histories.times[start : start + len(items)].tolist()
        target = data.item_ids.id(int(cases.targets[row]))
        history = tuple(zip(items, seconds, strict=True))
        names.append((data.user_ids.id(int(cases.users[row])), history, target, int(cases.target_times[row])))
    return sorted(names)


def slow(data: Prepared, part: str, which: str) -> list[Case]:
    """All of a user's events before each of the chosen ones, read off the ordered log."""
    expected = []
    for user in data.user_ids.values:
        mine = [(item, time) for name, item, time in events(data) if name == user]
        if which == "loo":
            asked = [] if len(mine) < 3 else [len(mine) - (1 if part == "test" else 2)]
        else:
            low, high = CUTS[part]
            asked = [n for n, (_, time) in enumerate(mine) if low <= time < high]
            asked = {"first": asked[:1], "last": asked[-1:], "all": asked}[which]
        expected += [(user, tuple(mine[:n]), *mine[n]) for n in asked]
    return sorted(expected)


@pytest.mark.parametrize("which", ["loo", "first", "last", "all"])
def test_a_case_has_all_that_its_user_did_before(tmp_path: Path, which: str) -> None:
    cuts = {"kind": "temporal", "validation_from": 600, "test_from": 800, "cases": which}
    split = SplitSettings() if which == "loo" else SplitSettings.model_validate(cuts)
    rows = [*world(), ("stranger", "i1", 650, 1), ("stranger", "i2", 850, 1), ("brief", "i1", 5, 1)]
    data = prepared(log(tmp_path, rows), split=split)
    for part in ("validation", "test"):
        assert found(data, part) == slow(data, part, which)
    assert data.split_name == ("loo" if which == "loo" else f"temporal-{which}")


def test_a_newcomer_has_an_empty_training_sequence_and_an_empty_first_history(tmp_path: Path) -> None:
    split = SplitSettings(kind="temporal", validation_from=600, test_from=800)
    data = prepared(log(tmp_path, [*world(), ("stranger", "i1", 650, 1)]), split=split)
    number = data.user_ids.number("stranger")
    assert len(data.train.sequence(number)) == 0
    assert ("stranger", (), "i1", 650) in found(data, "validation")
    assert len(data.train) == len(data.user_ids)


def test_the_training_sequences_are_the_training_table(tmp_path: Path) -> None:
    data = prepared(log(tmp_path, world()))
    for user in data.user_ids.values:
        mine = [item for name, item, _ in events(data) if name == user][:-2]
        assert data.item_ids.ids(data.train.sequence(data.user_ids.number(user)).tolist()) == mine
    assert torch.equal(data.items.counts, torch.bincount(data.train.items, minlength=len(data.items)))


def test_attributes_follow_the_user_into_the_cases(tmp_path: Path) -> None:
    log(tmp_path / "s", world(), "interactions.csv")
    users = "".join(f"u{n},{n},{'FM'[n % 2]}\n" for n in range(12))
    write(tmp_path / "s" / "users.csv", "user_id,age,gender\n" + users)
    data = prepared(tmp_path / "s")
    cases = data.cases("test")
    for row in range(len(cases)):
        user = int(data.user_ids.id(int(cases.users[row]))[1:])
        assert cases.histories.attributes[row, 1:].tolist() == ([1, 0] if user % 2 == 0 else [0, 1])
    assert torch.equal(cases.histories.attributes, data.train.attributes[cases.users])


def test_cases_are_put_together_once(tmp_path: Path) -> None:
    data = prepared(log(tmp_path, world()))
    first = {part: data.cases(part) for part in ("validation", "test")}
    for table in data.folder.glob("*.parquet"):
        table.unlink()
    assert all(data.cases(part) is cases for part, cases in first.items())
    assert not torch.equal(first["validation"].targets, first["test"].targets)
    with pytest.raises(FileNotFoundError):
        replace(data).cases("test")


def test_loading_gives_what_preparing_gave(tmp_path: Path) -> None:
    data = prepared(log(tmp_path, world()))
    again = load(str(data.folder))
    assert again.manifest == data.manifest
    assert again.items.texts == data.items.texts
    assert again.user_ids == data.user_ids
    assert torch.equal(again.train.items, data.train.items)


def test_a_changed_or_missing_file_is_refused(tmp_path: Path) -> None:
    folder = prepared(log(tmp_path, world())).folder
    table, manifest = folder / "train.parquet", folder / "manifest.json"
    content, text = table.read_bytes(), manifest.read_text()
    table.write_bytes(content[:-1] + b"\0")
    with pytest.raises(DataError, match=r"train\.parquet: changed since it was written\. Run l2rec prepare again\."):
        load(folder)
    table.unlink()
    with pytest.raises(DataError, match=r"train\.parquet: missing\. Run l2rec prepare again\."):
        load(folder)
    table.write_bytes(content)
    manifest.write_text(text.replace('"seed": 0', '"seed": 1'))
    with pytest.raises(DataError, match=r"manifest\.json: changed since it was written\. Run l2rec prepare again\."):
        load(folder)
    manifest.write_text(text.replace('"format": 1', '"format": 2'))
    with pytest.raises(DataError, match=r"manifest\.json: cannot be read: 1 validation error .*\. Run l2rec prepare"):
        load(folder)
    manifest.unlink()
    with pytest.raises(DataError, match=r"not a prepared folder: it has no manifest\.json\. Run l2rec prepare again\."):
        load(folder)
