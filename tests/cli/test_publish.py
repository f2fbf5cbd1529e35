"""`l2rec publish`, `rollback` and `releases`: a version out, the one before back, and a table of them."""

import json
import shutil
from pathlib import Path

import pytest

from l2rec.serving.records import Release
from l2rec.serving.store.sqlite import SqliteStore
from tests.cli.conftest import Call
from tests.trained import World


@pytest.fixture
def place(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'store.db'}"


def test_a_run_is_published_listed_and_rolled_back(world: World, call: Call, place: str, tmp_path: Path) -> None:
    first = call("publish", world.popularity, "--store", place, "--k", 5, "--batch", 16)
    assert first.code == 0, first.err
    assert first.out.count("\n") == 1
    assert "40 users, 30 items, exact. Next: l2rec serve --store " in first.err
    second = call("publish", world.sasrec / "seed-0", "--store", place, "-k", 5, "--json").json()
    assert (second["model"], second["k"], second["users"], second["recall"]) == ("sasrec", 5, 40, None)
    assert "popular" not in second
    rows = call("releases", "--store", place, "--json").json()
    assert [(row["model"], row["current"], row["done"]) for row in rows] == [
        ("sasrec", True, 40),
        ("popularity", False, 40),
    ]
    head, *lines = call("releases", "--store", place).out.splitlines()
    assert head.split() == ["version", "model", "users", "done", "items", "k", "search", "recall", "run"]
    assert lines[0].split()[:3] == ["*", second["version"], "sasrec"]
    assert lines[1].split()[:2] == [first.out.strip(), "popularity"]
    assert call("rollback", "--store", place).out == first.out
    back = SqliteStore(tmp_path / "store.db").current()
    assert back is not None
    assert back.version == first.out.strip()
    said = call("rollback", "--store", place)
    assert said.code == 2
    assert "rollback: no release was current before this one" in said.err


def test_what_faiss_finds_of_the_exact_lists_is_said(world: World, call: Call, place: str) -> None:
    told = call("publish", world.sasrec / "seed-0", "--store", place, "--index", "faiss", "-k", 5, "--json").json()
    assert 0.5 < told["recall"] <= 1
    head, line = call("releases", "--store", place).out.splitlines()
    begin = head.index("search")
    assert line[begin:].startswith("faiss IVF1,Flat nprobe=1")
    assert line.split()[-2] == f"{told['recall']:.3f}"


def test_an_unfinished_release_says_how_many_rows_it_has(call: Call, place: str, tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "store.db")
    store.begin(
        Release(version="v", run="r", model="m", weights="w", created=1, k=5, users=40, items=9, upto=0, popular=(1, 2))
    )
    [row] = call("releases", "--store", place, "--json").json()
    assert (row["done"], row["users"], row["finished"], row["current"]) == (0, 40, None, False)


def test_what_cannot_be_published_is_one_line(world: World, call: Call, place: str, tmp_path: Path) -> None:
    run = world.popularity
    for words, message in (
        ((tmp_path, "--store", place), "no run in this folder"),
        ((run, "--store", place, "--index", "annoy"), "index: annoy: no such kind. Choose auto, exact or faiss."),
        ((run, "--store", place, "--engine", "dask"), "engine dask: no such engine. Choose local or ray."),
        ((run, "--store", "mongo://here"), "no such kind of store"),
    ):
        said = call("publish", *words)
        assert said.code == 2
        assert message in said.err
        assert said.err.count("\n") == 1
        assert said.out == ""


def test_publishing_keeps_the_password_of_the_store_to_itself(
    world: World, call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("l2rec.serving.store.opening.open_store", lambda _: SqliteStore(tmp_path / "store.db"))
    said = call("publish", world.popularity, "--store", "redis://me:secret@host/0", "-k", 5)
    assert said.code == 0
    assert "Next: l2rec serve --store redis://me:***@host/0\n" in said.err
    assert "secret" not in said.err + said.out


def test_publishing_says_that_a_run_is_not_pinned(world: World, call: Call, place: str, tmp_path: Path) -> None:
    assert "not pinned" not in call("publish", world.popularity, "--store", place, "-k", 5).err
    copy = Path(shutil.copytree(world.popularity, tmp_path / "copy"))
    told = json.loads((copy / "manifest.json").read_text())
    del told["files"]
    (copy / "manifest.json").write_text(json.dumps(told))
    said = call("publish", copy, "--store", place, "-k", 5)
    assert (said.code, said.err.count(f"{copy}: not pinned: ")) == (0, 1)
