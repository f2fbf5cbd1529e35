"""A Redis server that is killed, hangs, is full or careless, and what the store makes of it."""

import logging
import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from redis import Redis

from l2rec.errors import MissingExtraError, StoreDownError, StoreError
from l2rec.serving.records import LiveItem
from l2rec.serving.store import opening, scripts
from l2rec.serving.store.opening import open_store
from l2rec.serving.store.redis import RedisStore
from tests.serving.redis_server import RedisServer
from tests.serving.store.stores import event, listed, publish, release, row


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisServer]:
    """A durable server of one test, which may do to it what it likes."""
    server = RedisServer(tmp_path / "server")
    server.start()
    yield server
    server.kill()


@pytest.fixture
def store(server: RedisServer) -> Iterator[RedisStore]:
    opened = RedisStore(server.url, patience=1.0)
    yield opened
    opened.close()


class Tellers:
    """Four threads that tell batches of five events, each again until it is acknowledged."""

    def __init__(self, store: RedisStore) -> None:
        self.acknowledged: set[int] = set()
        self.complaints: list[StoreDownError] = []
        self.over = threading.Event()
        self._store = store
        self._threads = [threading.Thread(target=self._tell, args=(first,)) for first in range(4)]
        for thread in self._threads:
            thread.start()

    def _tell(self, batch: int) -> None:
        while not self.over.is_set():
            try:
                self._store.append([event(f"{batch} {n}", str(batch % 4)) for n in range(5)])
            except StoreDownError as error:
                self.complaints.append(error)
                time.sleep(0.01)
            else:
                self.acknowledged.add(batch)
                batch += 4

    def wait_for(self, more: int) -> None:
        """Waits until that many more batches are acknowledged."""
        wanted, until = len(self.acknowledged) + more, time.monotonic() + 20
        while len(self.acknowledged) < wanted and time.monotonic() < until:
            time.sleep(0.01)

    def stop(self) -> None:
        self.over.set()
        for thread in self._threads:
            thread.join()


def test_every_acknowledged_event_outlives_a_killed_server(server: RedisServer, store: RedisStore) -> None:
    tellers = Tellers(store)
    for _ in range(4):
        tellers.wait_for(40)
        server.kill()
        time.sleep(0.05)
        server.start()
    tellers.stop()
    stored = store.events(limit=1_000_000)
    assert len(tellers.acknowledged) >= 160
    assert tellers.complaints, "the kills were felt"
    assert [e.number for e in stored] == list(range(1, store.last_event() + 1))
    names = [e.event_id for e in stored]
    assert len(set(names)) == len(names)
    kept = {int(name.split()[0]) for name in names}
    assert tellers.acknowledged <= kept
    assert len(kept - tellers.acknowledged) <= 4, "only what was under way at the end may be there unsaid"
    assert set(names) == {f"{batch} {n}" for batch in kept for n in range(5)}, "half a batch"


def test_a_killed_server_is_down_and_heals_without_a_new_store(server: RedisServer, store: RedisStore) -> None:
    publish(store, "a", ["u"], 1)
    store.put_items([LiveItem(item_id="x")])
    server.kill()
    calls = (store.ping, store.current, lambda: store.append([event("a")]), lambda: store.user("a", "u"))
    for call in calls:
        with pytest.raises(
            StoreDownError, match=rf"redis://127.0.0.1:{server.port}/0: .*refused. Start the server, or"
        ):
            call()
    server.start()
    for call in calls:
        call()
    assert listed(store, "a", "u") == [1, 2]
    assert store.last_event() == 1
    assert len(store.items()) == 1


def test_a_server_that_hangs_is_waited_for_no_longer_than_said(server: RedisServer) -> None:
    store = RedisStore(server.url, patience=0.2)
    store.ping()
    os.kill(server.pid, signal.SIGSTOP)
    began = time.monotonic()
    try:
        with pytest.raises(StoreDownError, match=r"Timeout .*\. Start the server"):
            store.ping()
    finally:
        os.kill(server.pid, signal.SIGCONT)
    assert time.monotonic() - began < 5
    store.ping()
    store.close()


# `maxmemory` with `noeviction` refuses a write before it begins, as a server without memory left would.


def test_on_a_full_server_nothing_is_half_written_and_the_store_recovers(
    server: RedisServer, store: RedisStore
) -> None:
    publish(store, "a", ["u"], 1)
    store.begin(release("b", finished=None))
    with Redis.from_url(server.url) as client:
        client.config_set("maxmemory-policy", "noeviction")
        client.config_set("maxmemory", "1mb")
        for call in (
            lambda: store.append([event("a"), event("b")]),
            lambda: store.write_rows("b", [("u", row(3))], 1),
            lambda: store.put_items([LiveItem(item_id="x")]),
            lambda: store.switch(release("b")),
            lambda: store.begin(release("c", finished=None)),
        ):
            with pytest.raises(StoreDownError, match=r"maxmemory.*\. Give the server more memory; nothing was half"):
                call()
        assert store.events() == []
        assert store.items() == []
        assert store.done("b") == 0
        assert len(store.releases()) == 2
        assert listed(store, "a", "u") == [1, 2]
        client.config_set("maxmemory", "0")
    assert store.append([event("a"), event("b")]) == [True, True]
    store.switch(release("b"))


def test_a_rollback_that_is_asked_twice_goes_back_once(store: RedisStore) -> None:
    for version in "abc":
        publish(store, version, ["u"], 1)
    first = store._run(scripts.ROLLBACK, b"c")
    assert store._run(scripts.ROLLBACK, b"c") == first
    assert store.current() == release("b")
    assert store._run(scripts.ROLLBACK, b"a") == b"again"
    assert store.current() == release("b")


def test_a_killed_drop_is_finished_by_the_next(
    server: RedisServer, store: RedisStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    for version, number in (("a", 1), ("b", 2), ("c", 3)):
        publish(store, version, [f"u{n}" for n in range(40)], number)

    def killed(*names: str) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as once:
        once.setattr(store, "_unlink", killed)
        with pytest.raises(KeyboardInterrupt):
            store.drop("a")
    store.begin(release("a", finished=None))
    assert listed(store, "a", "u7") is None
    store.drop("b")
    with Redis.from_url(server.url) as client:
        numbers = {key.split(b":")[2] for key in client.scan_iter("l2rec:rows:*")}
        assert numbers == {b"3"}
        assert not client.exists("l2rec:dropped", "l2rec:users:1", "l2rec:users:2")


def test_an_item_that_changes_between_two_pages_comes_once_and_last(
    store: RedisStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.put_items([LiveItem(item_id=name) for name in "xyz"])
    monkeypatch.setattr("l2rec.serving.store.redis._ITEMS", 1)
    run, changes = store._run, iter([LiveItem(item_id="x", title="newer")])

    def meanwhile(text: str, *values: bytes | int | str) -> object:
        page = run(text, *values)
        for change in changes:
            store.put_items([change])
        return page

    monkeypatch.setattr(store, "_run", meanwhile)
    assert [(item.item_id, item.title, item.number) for item in store.items()] == [
        ("y", "", 2),
        ("z", "", 3),
        ("x", "newer", 4),
    ]


def test_two_prefixes_of_one_database_do_not_meet(server: RedisServer, store: RedisStore) -> None:
    other = RedisStore(server.url, prefix="l2rec2")
    publish(store, "a", ["u"], 1)
    store.append([event("a")])
    assert other.current() is None
    assert other.append([event("a")]) == [True]
    other.close()


def test_a_careless_server_is_warned_about(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    careless = RedisServer(tmp_path, "--appendonly", "yes", "--appendfsync", "everysec")
    careless.start()
    try:
        open_store(careless.url).close()
    finally:
        careless.kill()
    assert caplog.messages == [
        "Redis: appendfsync everysec: acknowledged events can be lost. Set appendonly yes, appendfsync always."
    ]


def test_a_careful_server_is_not_warned_about_nor_one_that_tells_nothing(
    server: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    open_store(server.url).close()
    with Redis.from_url(server.url) as client:
        client.execute_command("ACL", "SETUSER", "quiet", "on", ">secret", "~*", "+@all", "-config")
    open_store(f"redis://quiet:secret@127.0.0.1:{server.port}/0").close()
    assert caplog.messages == []


def test_a_store_is_opened_before_its_server_and_no_secret_is_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    server = RedisServer(tmp_path)
    with caplog.at_level(logging.WARNING):
        store = open_store(f"redis://me:secret@127.0.0.1:{server.port}/0")
    assert "refused" in caplog.text
    with pytest.raises(StoreDownError) as told:
        store.ping()
    assert "secret" not in caplog.text + str(told.value)
    server.start()
    try:
        with Redis.from_url(server.url) as client:
            client.execute_command("ACL", "SETUSER", "me", "on", ">secret", "~*", "+@all")
        store.ping()
    finally:
        store.close()
        server.kill()


@pytest.mark.parametrize("url", ["redis://host:port/0", "redis://host:99999999/0"])
def test_an_address_that_cannot_be_read_is_refused(url: str) -> None:
    with pytest.raises(StoreError, match=r"--store redis: no such address. Write redis://HOST:PORT/DB."):
        open_store(url)


def test_without_the_package_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(opening, "find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r'redis: not installed. Run: pip install "l2rec\[serve\]"'):
        open_store("redis://localhost/0")
