"""From an address to a store, and what of an address may be printed."""

import pytest

from l2rec.serving.store.opening import shown


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
