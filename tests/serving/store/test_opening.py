"""From an address to a store, and what of an address may be printed."""

import pytest

from l2rec.errors import StoreError
from l2rec.serving.store.opening import open_store, shown


@pytest.mark.parametrize(
    ("address", "told"),
    [
        ("redis://:secret@host:6379/0", "redis://:***@host:6379/0"),
        ("rediss://me:sec@ret@host/1", "rediss://me:***@host/1"),
        ("redis://host/1?db=2&password=secret&timeout=1", "redis://host/1?db=2&password=***&timeout=1"),
        ("redis://me@host/1", "redis://me@host/1"),
        ("sqlite:///a:b@c.db", "sqlite:///a:b@c.db"),
    ],
)
def test_the_password_of_a_store_is_not_shown(address: str, told: str) -> None:
    assert shown(address) == told


@pytest.mark.parametrize("address", ["redis:/:secret@host/0", "mongo://me:secret@host", "redis:secret@host"])
def test_an_address_of_no_known_kind_is_refused_without_its_password(address: str) -> None:
    kind = address.partition(":")[0]
    with pytest.raises(StoreError, match=rf"^--store {kind}: no such kind of store\. Write sqlite:///PATH or redis://"):
        open_store(address)
