"""The contract of a store, kept by every store: users, events, items and keys."""

import time

import pytest

from l2rec.errors import StoreError
from l2rec.serving.records import Event, Key, LiveItem
from l2rec.serving.store.contract import NEWEST, Store
from l2rec.serving.store.opening import open_store
from tests.serving.store.stores import STRANGE, at_once, event, publish


def test_a_user_has_the_row_and_the_events_that_it_has_not_heard_of(store: Store) -> None:
    store.append([event("1"), event("2"), event("3", "other"), event("4", item_id="j", time=9.25)])
    publish(store, "a", ["u"], 1, upto=2)
    state = store.user("a", "u")
    assert state.row is not None
    assert state.row.upto == 2
    assert state.events == (Event("4", "u", "j", 9.25, 4),)
    unknown = store.user("a", "other")
    assert unknown.row is None
    assert unknown.events == (Event("3", "other", "i", 1.5, 3),)
    assert [e.number for e in store.user("no such version", "u").events] == [1, 2, 4]


def test_a_moment_is_another_one_after_every_change_of_whomever(url: str, store: Store) -> None:
    other = open_store(url)
    publish(store, "a", ["u"], 1)
    before = store.moment()
    assert store.moment() == before
    if before is None:  # says nothing
        return
    seen = [before]
    for change in (
        lambda who: who.append([event(str(len(seen)))]),
        lambda who: who.put_items([LiveItem(item_id=str(len(seen)))]),
        lambda who: publish(who, f"b{len(seen)}", ["u"], 2),
        lambda who: who.rollback(),
        lambda who: who.drop(who.releases()[0].version),
    ):
        for who in (store, other):
            change(who)
            store.user("a", "u")
            now = store.moment()
            assert now not in seen
            assert store.moment() == now
            seen.append(now)
    other.close()


def test_many_events_of_one_user_come_in_order(store: Store) -> None:
    publish(store, "a", ["u"], 1, upto=10)
    store.append([event(str(n), "u" if n % 3 else "v", str(n)) for n in range(1, 901)])
    found = store.user("a", "u").events
    assert [e.number for e in found] == [n for n in range(11, 901) if n % 3]
    assert all(e.item_id == str(e.number) for e in found)


def seconds(store: Store, user: str) -> float:
    """Seconds of one reading of a user."""
    began = time.perf_counter()
    store.user("a", user)
    return time.perf_counter() - began


def test_of_a_heavy_user_only_the_newest_events_are_read_and_soon(store: Store) -> None:
    publish(store, "a", ["u", "late"], 1, upto=2)
    for start in range(0, 20_000, 4000):
        store.append([event(str(n), "u" if n % 2 else "v", str(n)) for n in range(start + 1, start + 4001)])
    store.append([event(str(n), "light", str(n)) for n in range(20_001, 20_001 + NEWEST)])
    took = {user: min(seconds(store, user) for _ in range(3)) for user in ("light", "u")}
    began = time.process_time()
    state = store.user("a", "u")
    assert time.process_time() - began < 0.1
    assert [e.number for e in state.events] == list(range(20_001 - 2 * NEWEST, 20_001, 2))
    assert all(e.item_id == str(e.number) for e in state.events)
    assert state.row is not None
    assert len(store.user("no such version", "v").events) == NEWEST
    assert took["u"] < max(0.1, 3 * took["light"]), "a busy machine is slow with as few events as are read, too"
    publish(store, "b", ["u"], 1, upto=19_990)
    assert [e.number for e in store.user("b", "u").events] == [19_991, 19_993, 19_995, 19_997, 19_999]


def test_ids_of_users_are_found_by_their_beginning(store: Store) -> None:
    publish(store, "a", ["b", "ab", "a", "aé", "a\U0010ffff", "aa"], 1)
    publish(store, "b", ["other"], 1)
    assert store.user_ids("a", "a", 9) == ["a", "aa", "ab", "aé", "a\U0010ffff"]
    assert store.user_ids("a", "a", 2) == ["a", "aa"]
    assert store.user_ids("a", "", 9)[-1] == "b"
    assert store.user_ids("a", "aé", 9) == ["aé"]
    assert store.user_ids("a", "c", 9) == []
    assert store.user_ids("a", "a", 0) == []


def test_an_event_is_stored_once_however_often_it_is_told(store: Store) -> None:
    assert store.append([event("a"), event("b"), event("a", "v", "j")]) == [True, True, False]
    assert store.append([event("b", "v"), event("c")]) == [False, True]
    assert store.append([]) == []
    assert [(e.event_id, e.user_id, e.number) for e in store.events()] == [("a", "u", 1), ("b", "u", 2), ("c", "u", 3)]
    assert store.last_event() == 3


def test_events_are_read_in_pages(store: Store) -> None:
    store.append([event(str(n)) for n in range(700)])
    assert [e.number for e in store.events(after=250, limit=300)] == list(range(251, 551))
    assert [e.event_id for e in store.events(after=698)] == ["698", "699"]
    assert store.events(after=700) == []
    assert store.events(after=0, limit=0) == []


@pytest.mark.parametrize("time", [float("nan"), float("inf")])
def test_a_time_that_is_no_number_is_refused_whole(store: Store, time: float) -> None:
    with pytest.raises(StoreError, match=r"event 'b': time (nan|inf): expected seconds since 1970. Correct it."):
        store.append([event("a"), event("b", time=time)])
    assert store.events() == []


def test_strange_ids_are_only_ids(store: Store) -> None:
    told = [event(name, name, name) for name in STRANGE]
    assert store.append(told) == [True] * len(STRANGE)
    assert [(e.event_id, e.user_id, e.item_id) for e in store.events()] == [(s, s, s) for s in STRANGE]
    assert store.append(told) == [False] * len(STRANGE)
    publish(store, "it's", STRANGE, 1, upto=0)
    for name in STRANGE:
        state = store.user("it's", name)
        assert state.row is not None
        assert [e.item_id for e in state.events] == [name]
        assert name in store.user_ids("it's", name, 99)
    assert store.user_ids("it's", "", 99) == sorted(STRANGE)
    assert store.user_ids("it's", "%", 99) == ["%_*?[a-z]{}:\\"]


def test_changed_items_come_in_their_newest_state(store: Store) -> None:
    first, second = LiveItem(item_id="a", title="A"), LiveItem(item_id="b", attributes=("genre=Comedy",))
    assert store.put_items([first, second]) == 2
    assert store.put_items([LiveItem(item_id="a", deleted=True)]) == 3
    assert store.put_items([]) == 3
    assert store.items() == [
        LiveItem(item_id="b", attributes=("genre=Comedy",), number=2),
        LiveItem(item_id="a", deleted=True, number=3),
    ]
    assert [item.number for item in store.items(after=2)] == [3]
    assert store.put_items([LiveItem(item_id="c"), LiveItem(item_id="c", title="newer")]) == 5
    assert [(item.item_id, item.title) for item in store.items(after=3)] == [("c", "newer")]


def test_more_items_than_a_page_come_all(store: Store) -> None:
    store.put_items([LiveItem(item_id=str(n)) for n in range(2500)])
    assert [item.number for item in store.items(after=100)] == list(range(101, 2501))


def test_keys_are_kept_replaced_and_deleted_by_name(store: Store) -> None:
    one = Key(digest="1", name="shop", scopes=("read",))
    two = Key(digest="2", name="shop", scopes=("read", "write"), rate=0, expires=9.5)
    other = Key(digest="3", name="sho", scopes=("admin",))
    for key in (one, two, other):
        store.put_key(key)
    store.put_key(other.model_copy(update={"rate": 7.0}))
    kept = sorted(store.keys(), key=lambda key: key.digest)
    assert kept == [one, two, other.model_copy(update={"rate": 7.0})]
    assert store.drop_key("shop") == 2
    assert store.drop_key("shop") == 0
    [left] = store.keys()
    assert left.name == "sho"


def test_four_threads_that_tell_the_same_store_it_once(store: Store) -> None:
    new: list[list[bool]] = []

    def tell() -> None:
        for start in range(0, 200, 10):
            new.append(store.append([event(str(n)) for n in range(start, start + 10)]))

    at_once(*[tell] * 4)
    assert sum(map(sum, new)) == 200
    assert [e.number for e in store.events()] == list(range(1, 201))
    assert {e.event_id for e in store.events()} == {str(n) for n in range(200)}


def test_two_stores_on_one_address_see_each_other(store: Store, url: str) -> None:
    other = open_store(url)
    publish(other, "a", ["u"], 1)
    other.append([event("a")])
    assert store.append([event("a")]) == [False]
    assert store.current() == other.current()
    other.close()
    assert store.last_event() == 1
