"""The contract of a store, kept by every store: releases and the rows of users."""

import pytest

from l2rec.errors import StoreError
from l2rec.serving.store.contract import Store
from tests.serving.store.stores import at_once, listed, publish, release, row


def test_an_empty_store_is_empty(store: Store) -> None:
    store.ping()
    assert store.current() is None
    assert store.releases() == []
    assert store.done("v") == 0
    assert store.events() == []
    assert store.last_event() == 0
    assert store.items() == []
    assert store.keys() == []
    assert store.user_ids("v", "", 9) == []
    state = store.user("v", "u")
    assert state.row is None
    assert state.events == ()


def test_a_release_is_seen_as_current_only_after_the_switch(store: Store) -> None:
    store.begin(release("a", finished=None))
    store.write_rows("a", [("u", row(1))], 1)
    assert store.current() is None
    assert store.releases() == [release("a", finished=None)]
    given = release("a").model_copy(update={"recall": 0.5})
    store.switch(given)
    assert store.current() == given
    assert store.releases() == [given]
    assert listed(store, "a", "u") == [1, 2]


def test_publishing_goes_on_where_it_stopped(store: Store) -> None:
    store.begin(release("a", finished=None))
    store.write_rows("a", [("u", row(1)), ("v", row(2))], 2)
    store.begin(release("a", created=7.0, finished=None))
    assert store.done("a") == 2
    store.write_rows("a", [("v", row(3)), ("w", row(4))], 3)
    assert store.done("a") == 3
    assert [listed(store, "a", user) for user in "uvwx"] == [[1, 2], [3, 4], [4, 5], None]
    assert [r.created for r in store.releases()] == [1.0]


def test_a_finished_release_is_not_begun_again(store: Store) -> None:
    publish(store, "a", ["u"], 1)
    publish(store, "b", ["u"], 1)
    for version in ("a", "b"):
        with pytest.raises(StoreError, match=f"release {version}: finished before. Publish under another version."):
            store.begin(release(version, finished=None))


def test_only_a_begun_and_finished_release_becomes_current(store: Store) -> None:
    with pytest.raises(StoreError, match=r"release a: never begun, or dropped. Publish it again."):
        store.switch(release("a"))
    with pytest.raises(StoreError, match="release a: never begun, or dropped"):
        store.write_rows("a", [("u", row(1))], 1)
    store.begin(release("a", finished=None))
    with pytest.raises(StoreError, match=r"release a: not finished. Publish it to its end."):
        store.switch(release("a", finished=None))
    assert store.current() is None


def test_rows_that_are_no_rows_are_refused_whole(store: Store) -> None:
    store.begin(release("a", finished=None))
    with pytest.raises(StoreError, match="a user's row"):
        store.write_rows("a", [("u", row(1)), ("v", b"no row")], 2)
    assert listed(store, "a", "u") is None
    assert store.done("a") == 0


def test_a_rollback_returns_to_the_release_before(store: Store) -> None:
    with pytest.raises(StoreError, match="rollback: no release was current before"):
        store.rollback()
    for version in "abc":
        publish(store, version, ["u"], 1)
    assert store.rollback() == release("b")
    assert store.current() == release("b")
    assert store.rollback().version == "a"
    with pytest.raises(StoreError, match=r"rollback: no release was current before this one. Publish a run."):
        store.rollback()
    assert store.current() == release("a")
    store.switch(release("c"))
    assert store.rollback().version == "a"


def test_switching_back_and_forth_leaves_one_place_each(store: Store) -> None:
    for version in "ab":
        publish(store, version, ["u"], 1)
    store.switch(release("a"))
    assert store.rollback().version == "b"
    with pytest.raises(StoreError, match="rollback"):
        store.rollback()


def test_a_rollback_passes_over_a_dropped_release(store: Store) -> None:
    for version in "abc":
        publish(store, version, ["u"], 1)
    store.drop("b")
    assert store.rollback().version == "a"


def test_a_dropped_release_leaves_nothing(store: Store) -> None:
    many = [f"u{number:04}" for number in range(1700)]
    publish(store, "a", many, 1)
    publish(store, "b", ["u0001"], 5)
    store.drop("a")
    assert [r.version for r in store.releases()] == ["b"]
    assert listed(store, "a", "u0001") is None
    assert store.user_ids("a", "", 9) == []
    assert store.done("a") == 0
    assert listed(store, "b", "u0001") == [5, 6]
    with pytest.raises(StoreError, match="release a: never begun, or dropped"):
        store.switch(release("a"))
    store.begin(release("a", finished=None))
    assert listed(store, "a", "u0001") is None
    store.drop("never there")


def test_the_current_release_is_not_dropped(store: Store) -> None:
    publish(store, "a", ["u"], 1)
    with pytest.raises(StoreError, match=r"release a: the current one. Switch to another first."):
        store.drop("a")
    assert listed(store, "a", "u") == [1, 2]


def test_releases_come_newest_first(store: Store) -> None:
    for version, created in (("b", 2.0), ("c", 3.0), ("a", 1.0)):
        store.begin(release(version, created=created, finished=None))
    assert [r.version for r in store.releases()] == ["c", "b", "a"]


def test_two_versions_are_published_at_once_and_do_not_mix(store: Store) -> None:
    def one(version: str, number: int) -> None:
        store.begin(release(version, finished=None))
        for done in range(0, 200, 10):
            users = [(f"u{n}", row(number)) for n in range(done, done + 10)]
            store.write_rows(version, users, done + 10)
        store.switch(release(version))

    at_once(lambda: one("a", 1), lambda: one("b", 5))
    assert [store.done("a"), store.done("b")] == [200, 200]
    for version, expected in (("a", [1, 2]), ("b", [5, 6])):
        assert all(listed(store, version, f"u{n}") == expected for n in range(200))
    last = store.current()
    assert last is not None
    assert {last.version, store.rollback().version} == {"a", "b"}
