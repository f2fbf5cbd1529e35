"""Keys as a process knows them: who is admitted, who no longer is, how often, and what every request needs."""

import asyncio
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from l2rec.errors import StoreDownError
from l2rec.serving.access import keys as access
from l2rec.serving.access.keys import Buckets, KeyRing, RefusedError, create, digest_of, is_loopback, scope_of
from l2rec.serving.records import Key
from l2rec.serving.store.contract import Store
from l2rec.serving.store.opening import open_store
from l2rec.serving.store.sqlite import SqliteStore

KEY = Key(digest="d", name="n", scopes=("read",), rate=2)


class Far(SqliteStore):
    """A store that is asked in a thread and may be slow or down."""

    is_local = False
    down, slow, asked = False, 0.0, 0

    def keys(self) -> list[Key]:
        self.asked += 1
        time.sleep(self.slow)
        if self.down:
            raise StoreDownError("gone")
        return super().keys()


@pytest.fixture
def far(tmp_path: Path) -> Far:
    return Far(tmp_path / "store.db")


class Clock:
    """A clock that a test sets."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


def found(ring: KeyRing, *keys: str) -> list[Key]:
    async def look() -> list[Key]:
        return [await ring.find(key.encode()) for key in keys]

    return asyncio.run(look())


def test_a_key_is_known_by_its_hash_alone(store: Store) -> None:
    key = create(store, "shop", ["write", "read"], 7.0)
    [kept] = store.keys()
    assert kept == Key(digest=digest_of(key.encode()), name="shop", scopes=("read", "write"), rate=7)
    assert found(KeyRing(store), key) == [kept]
    assert len(key) - len("l2rec_") == 43, "256 bits in base64"
    for wrong in (kept.digest, key[:-1], key + "a", key.upper(), ""):
        with pytest.raises(RefusedError, match=r"the key is unknown or was revoked") as refused:
            found(KeyRing(store), wrong)
        assert refused.value.status == 401
        assert refused.value.headers == {"WWW-Authenticate": "Bearer"}


def test_a_revoked_key_is_refused_within_a_second_in_every_process(url: str) -> None:
    stores = [open_store(url) for _ in range(3)]
    key = create(stores[0], "shop", ["read"])

    async def until_refused(ring: KeyRing) -> float:
        await ring.find(key.encode())
        await asyncio.sleep(0.3)
        await ring.find(key.encode())
        await asyncio.to_thread(stores[0].drop_key, "shop") if ring is rings[0] else await asyncio.sleep(0)
        began = time.monotonic()
        while time.monotonic() - began < 5:
            try:
                await ring.find(key.encode())
            except RefusedError:
                return time.monotonic() - began
            await asyncio.sleep(0.01)
        raise AssertionError("still admitted")

    async def race() -> Sequence[float]:
        return await asyncio.gather(*(until_refused(ring) for ring in rings))

    rings = [KeyRing(store) for store in stores[1:]]
    assert max(asyncio.run(race())) < 1
    for store in stores:
        store.close()


def test_a_key_that_was_revoked_in_the_night_is_refused_by_the_first_request_of_the_day(far: Far) -> None:
    key, clock = create(far, "shop", ["read"]), Clock()
    ring = KeyRing(far, clock)
    assert found(ring, key)
    far.drop_key("shop")
    clock.now += 3600
    with pytest.raises(RefusedError, match="revoked"):
        found(ring, key)


def test_keys_are_read_twice_a_second_not_with_every_request(far: Far) -> None:
    key, ring = create(far, "shop", ["read"]), KeyRing(far)
    far.asked = 0
    found(ring, *[key] * 500)
    assert far.asked == 1


def test_nobody_waits_for_keys_that_are_half_a_second_old(far: Far) -> None:
    key, clock = create(far, "shop", ["read"]), Clock()
    ring = KeyRing(far, clock)
    assert found(ring, key)

    async def look() -> float:
        began = time.perf_counter()
        await ring.find(key.encode())
        spent = time.perf_counter() - began
        await asyncio.sleep(0.4)
        return spent

    far.slow = 0.3
    far.asked = 0
    clock.now += 0.6
    assert asyncio.run(look()) < 0.2
    assert far.asked == 1


def test_an_expired_key_is_refused_at_its_second(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    key, ring = create(store, "shop", ["read"], expires=time.time() + 1000), KeyRing(store)
    assert found(ring, key)
    later = time.time() + 1000
    monkeypatch.setattr(access.time, "time", lambda: later)
    with pytest.raises(RefusedError, match=r"the key has expired\. Create another: l2rec keys create\.") as refused:
        found(ring, key)
    assert refused.value.status == 401


def test_while_the_store_is_down_known_keys_go_on(far: Far, caplog: pytest.LogCaptureFixture) -> None:
    key, clock = create(far, "shop", ["read"]), Clock()
    ring = KeyRing(far, clock)
    assert found(ring, key)
    far.down = True
    for _ in range(3):
        clock.now += 3600
        assert found(ring, key)
    assert [record.message for record in caplog.records] == [
        "no keys can be read, those that were read last go on: gone"
    ], "said once"
    far.down = False
    far.drop_key("shop")
    clock.now += 3600

    async def recovered() -> None:
        await ring.refresh()
        await asyncio.sleep(0.2)
        await ring.find(key.encode())

    with pytest.raises(RefusedError, match="revoked"):
        asyncio.run(recovered())


def test_where_no_key_was_ever_read_nobody_is_admitted(far: Far) -> None:
    key, ring = create(far, "shop", ["read"]), KeyRing(far)
    far.down = True
    with pytest.raises(StoreDownError, match="no key can be checked"):
        found(ring, key)


def test_a_bucket_holds_a_second_and_fills_at_the_rate() -> None:
    buckets = Buckets()
    for _ in range(2):
        buckets.take(KEY, 100.0)
    with pytest.raises(
        RefusedError, match=r"over 2 requests a second with this key\. Ask again after 1 s\."
    ) as refused:
        buckets.take(KEY, 100.0)
    assert (refused.value.status, refused.value.headers) == (429, {"Retry-After": "1"})
    buckets.take(KEY, 100.5)
    with pytest.raises(RefusedError):
        buckets.take(KEY, 100.6)
    buckets.take(KEY.model_copy(update={"digest": "another's"}), 100.6)
    taken = 0
    for step in range(1000):
        try:
            buckets.take(KEY, 200 + step / 100)
            taken += 1
        except RefusedError:
            pass
    assert taken == pytest.approx(2 * 10 + 2, abs=1)


def test_a_slow_key_says_how_long_to_wait_and_a_rate_of_zero_is_no_limit() -> None:
    buckets, slow = Buckets(), KEY.model_copy(update={"rate": 0.1})
    buckets.take(slow, 0.0)
    with pytest.raises(RefusedError) as refused:
        buckets.take(slow, 0.0)
    assert refused.value.headers == {"Retry-After": "10"}
    buckets.take(slow, 10.0)
    for _ in range(1000):
        buckets.take(KEY.model_copy(update={"rate": 0, "digest": "free"}), 0.0)


@pytest.mark.parametrize(
    ("method", "path", "scope"),
    [
        ("GET", "/healthz", None),
        ("GET", "/readyz", None),
        ("POST", "/login", None),
        ("GET", "/static/htmx.js", None),
        ("GET", "/metrics", "admin"),
        ("GET", "/metrics\n", "admin"),
        ("HEAD", "/metrics", "admin"),
        ("GET", "/openapi.json", "read"),
        ("GET", "/v1/users/u/recommendations", "read"),
        ("GET", "/v1/users//healthz/recommendations", "read"),
        ("GET", "/v1/items/i/similar", "read"),
        ("POST", "/v1/recommendations", "read"),
        ("POST", "/v1/recommendations/", "write"),
        ("POST", "/v1/events", "write"),
        ("PUT", "/v1/items/i", "write"),
        ("DELETE", "/v1/items/healthz", "write"),
        ("PUT", "/v1/items//v1/recommendations", "write"),
        ("PATCH", "/what/nobody/made", "write"),
    ],
)
def test_every_request_needs_its_scope(method: str, path: str, scope: str | None) -> None:
    assert scope_of(method, path) == scope


def test_this_machine_is_told_from_others() -> None:
    for host in ("127.0.0.1", "127.9.9.9", "localhost", "::1", "[::1]", "[::1]:8000", "127.0.0.1:8000", "localhost:80"):
        assert is_loopback(host), host
    for host in ("0.0.0.0", "::", "10.0.0.1", "example.com", "localhost.example.com:80", "127.0.0.1.example.com", ""):
        assert not is_loopback(host), host
