"""An SQLite file that is full, locked, lost, replaced or somebody else's, and ids as bytes."""

import multiprocessing
import os
import shutil
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from l2rec.errors import StoreDownError, StoreError
from l2rec.serving.records import LiveItem
from l2rec.serving.store import ids
from l2rec.serving.store.file import SqliteFile
from l2rec.serving.store.opening import open_store
from l2rec.serving.store.sqlite import SqliteStore
from tests.serving.store.stores import event, listed, publish, release, row

TEXTS = st.text(st.characters(exclude_categories=()), max_size=5)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "store.db"


@pytest.fixture
def store(path: Path) -> Iterator[SqliteStore]:
    opened = SqliteStore(path, patience=0.2)
    opened.append([event("first")])
    yield opened
    opened.close()


def test_a_copy_made_while_the_store_is_in_use_is_a_store_whose_readers_never_wait(
    store: SqliteStore, path: Path, tmp_path: Path
) -> None:
    copy = tmp_path / "copy.db"
    other = sqlite3.connect(path)
    other.execute("VACUUM INTO ?", [str(copy)])
    other.close()
    restored = SqliteStore(copy, patience=0.2)
    assert restored.events() == store.events()
    writer = sqlite3.connect(copy, isolation_level=None)
    writer.execute("BEGIN EXCLUSIVE")
    assert restored.last_event() == 1
    writer.execute("ROLLBACK")
    writer.close()
    restored.close()


@given(st.lists(TEXTS), TEXTS)
def test_bytes_of_ids_keep_their_order_and_their_beginnings(texts: list[str], prefix: str) -> None:
    assert [ids.to_text(ids.to_bytes(text)) for text in texts] == texts
    assert sorted(texts, key=ids.to_bytes) == sorted(texts)
    for text in (*texts, *(prefix + text for text in texts)):
        assert (ids.to_bytes(prefix) <= ids.to_bytes(text) < ids.past(prefix)) == text.startswith(prefix)


# `max_page_count` limits one connection's file as a full disk would: both are SQLITE_FULL.


def test_on_a_full_disk_nothing_is_half_written_and_the_store_recovers(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = SqliteStore(path)
    publish(store, "a", ["u"], 1)
    store.begin(release("b", finished=None))
    with monkeypatch.context() as full:
        full.setattr("l2rec.serving.store.file._SETTINGS", ("max_page_count=30",))
        store.close()
        many = [event(f"{n:09}" * 50) for n in range(3000)]
        for call in (
            lambda: store.append(many),
            lambda: store.write_rows("b", [(f"u{n}", row(3)) for n in range(9000)], 9000),
            lambda: store.put_items([LiveItem(item_id=str(n), text="long" * 99) for n in range(3000)]),
        ):
            with pytest.raises(StoreDownError, match=r"store.db: database or disk is full. Make room; nothing was"):
                call()
        assert store.events() == []
        assert store.items() == []
        assert store.done("b") == 0
        assert store.user_ids("b", "", 9) == []
        assert listed(store, "a", "u") == [1, 2]
        store.append([event("small")])
    store.close()
    assert store.append(many) == [True] * 3000
    assert store.last_event() == 3001
    store.close()


def test_while_another_process_writes_readers_go_on_and_writers_are_told(store: SqliteStore, path: Path) -> None:
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreDownError, match=r"store.db: database is locked. Another process holds it; try again."):
        store.append([event("a")])
    assert store.last_event() == 1
    other.execute("ROLLBACK")
    other.close()
    assert store.append([event("a")]) == [True]


def test_a_writer_of_the_same_process_waits_no_longer_than_it_said(path: Path) -> None:
    file = SqliteFile(path, ["CREATE TABLE a(b)"], patience=0.1)
    with file.change(), pytest.raises(StoreDownError, match=r"store.db: busy for 0.1 s. Try again."), file.change():
        pass
    file.close()


def test_a_lost_file_is_down_until_it_is_back_and_never_made_anew(store: SqliteStore, path: Path) -> None:
    store.close()
    away = path.with_suffix(".away")
    shutil.move(path, away)
    for call in (store.ping, store.last_event, store.moment, lambda: store.append([event("a")])):
        with pytest.raises(StoreDownError, match=r"store.db: No such file or directory. Put the file back."):
            call()
    assert not path.exists()
    shutil.move(away, path)
    assert store.append([event("first"), event("a")]) == [False, True]


def test_a_backup_in_the_files_place_is_read_at_once(store: SqliteStore, path: Path) -> None:
    backup = path.with_suffix(".backup")
    with sqlite3.connect(backup) as copy, sqlite3.connect(path) as now:
        now.backup(copy)
    copy.close()
    now.close()
    store.append([event("lost")])
    before = store.moment()
    for journal in path.parent.glob("store.db-*"):
        journal.unlink()
    os.replace(backup, path)
    assert store.moment() != before
    assert [e.event_id for e in store.events()] == ["first"]
    assert store.append([event("new")]) == [True]


def test_a_store_in_a_folder_that_comes_later_is_down_until_then(tmp_path: Path) -> None:
    store = open_store(f"sqlite:///{tmp_path / 'later' / 'store.db'}")
    with pytest.raises(StoreDownError, match=r"store.db: unable to open database file. Make its folder"):
        store.ping()
    (tmp_path / "later").mkdir()
    store.ping()
    store.close()


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ("CREATE TABLE mine(a)", r"store.db: an SQLite file of another program. Choose another path."),
        ("PRAGMA application_id=7", "store.db: an SQLite file of another program"),
        ("PRAGMA user_version=2", r"store.db: layout 2: expected 1. Publish into a new file."),
    ],
)
def test_a_file_of_others_is_left_alone(path: Path, content: str, complaint: str) -> None:
    if "user_version" in content:
        SqliteStore(path).ping()
    with sqlite3.connect(path) as other:
        other.execute(content)
    other.close()
    before = path.read_bytes()
    with pytest.raises(StoreError, match=complaint):
        SqliteStore(path).ping()
    assert path.read_bytes() == before


def test_what_is_no_database_is_said_to_be_none(path: Path) -> None:
    path.write_bytes(b"a letter, not a database" * 400)
    with pytest.raises(StoreDownError, match=r"store.db: file is not a database. Put a backup in its place"):
        SqliteStore(path).ping()


def test_a_row_of_a_killed_drop_goes_with_the_next(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = SqliteStore(path)
    for version, number in (("b", 2), ("c", 3), ("a", 1)):
        publish(store, version, [f"u{n}" for n in range(40)], number)
    store.switch(release("c"))
    monkeypatch.setattr("l2rec.serving.store.sqlite._STEP", 10)
    steps = iter([None])
    read = SqliteFile.read

    def killed(self: SqliteFile, question: str, values: tuple[object, ...] = ()) -> list[tuple[object, ...]]:
        if "dropped" in question:
            next(steps)
        return read(self, question, values)

    with monkeypatch.context() as once:
        once.setattr(SqliteFile, "read", killed)
        with pytest.raises(StopIteration):
            store.drop("a")
    store.begin(release("a", finished=None))
    assert listed(store, "a", "u39") is None
    store.drop("b")
    store.close()
    with sqlite3.connect(path) as inside:
        assert inside.execute("SELECT count(*), count(DISTINCT release) FROM rows").fetchall() == [(40, 1)]
        assert inside.execute("SELECT count(*) FROM dropped").fetchall() == [(0,)]
    inside.close()


def test_a_forked_child_opens_the_file_for_itself(store: SqliteStore) -> None:
    parents = {id(connection) for _, connection in store._file._free}

    def tell() -> None:
        store.append([event("child")])
        assert parents.isdisjoint(id(connection) for _, connection in store._file._free)

    child = multiprocessing.get_context("fork").Process(target=tell)
    child.start()
    child.join(20)
    assert child.exitcode == 0
    assert store.append([event("child"), event("parent")]) == [False, True]
    assert [e.event_id for e in store.events()] == ["first", "child", "parent"]


@pytest.mark.parametrize("url", ["sqlite:///", "mysql://host/db", "store.db", "", "sqlite://memory"])
def test_an_address_of_no_store_is_refused(url: str) -> None:
    with pytest.raises(StoreError, match=r"--store .*: no such kind of store. Write sqlite:///PATH"):
        open_store(url)


def test_an_address_is_relative_or_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for url, place in (("sqlite:///a?b#c%20.db", "a?b#c%20.db"), (f"sqlite:///{tmp_path}/d.db", "d.db")):
        store = open_store(url)
        store.ping()
        store.close()
        assert (tmp_path / place).is_file()
