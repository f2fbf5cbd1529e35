"""`l2rec keys`: made and shown once, listed without themselves, revoked by name."""

import re
from hashlib import sha256
from pathlib import Path

import pytest

from l2rec.serving.store.sqlite import SqliteStore
from tests.cli.conftest import Call


@pytest.fixture
def place(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'store.db'}"


def test_a_key_is_made_listed_and_revoked(call: Call, place: str, tmp_path: Path) -> None:
    made = call("keys", "create", "--store", place, "--name", "shop", "--scopes", "write, read", "--rate", 5)
    assert made.code == 0, made.err
    assert re.fullmatch(r"l2rec_[A-Za-z0-9_-]{43}\n", made.out)
    assert "it is not shown again" in made.err
    assert made.out.strip() not in made.err
    call("keys", "create", "--store", place, "--name", "graphs", "--scopes", "admin", "--expires", "2999-01-01")
    said = call("keys", "list", "--store", place)
    assert [line.split() for line in said.out.splitlines()] == [
        ["name", "scopes", "rate", "expires"],
        ["graphs", "admin", "100", "2999-01-01T00:00:00+00:00"],
        ["shop", "read,write", "5", "never"],
    ]
    assert call("keys", "list", "--store", place, "--json").json()[1] == {
        "name": "shop",
        "scopes": ["read", "write"],
        "rate": 5.0,
        "expires": None,
    }
    said = call("keys", "revoke", "--store", place, "--name", "shop")
    assert (said.code, said.out) == (0, "")
    assert said.err == '"shop" is revoked.\n'
    assert [key.name for key in SqliteStore(tmp_path / "store.db").keys()] == ["graphs"]  # noqa: SIM118
    assert "No key is left" in call("keys", "revoke", "--store", place, "--name", "graphs").err


def test_only_the_hash_of_a_key_is_stored(call: Call, place: str, tmp_path: Path) -> None:
    key = call("keys", "create", "--store", place, "--name", "shop").out.strip().encode()
    [stored] = SqliteStore(tmp_path / "store.db").keys()
    assert stored.digest == sha256(key).hexdigest()
    assert stored.scopes == ("read",), "the least, where nothing is said"
    files = [path for path in tmp_path.iterdir() if path.is_file()]
    assert any(stored.digest.encode() in path.read_bytes() for path in files)
    assert not any(key in path.read_bytes() or key.removeprefix(b"l2rec_") in path.read_bytes() for path in files)


def test_a_name_is_given_once(call: Call, place: str) -> None:
    one, two = (call("keys", "create", "--store", place, "--name", name).out for name in ("a", "b"))
    assert one != two
    said = call("keys", "create", "--store", place, "--name", "a")
    assert (said.code, said.out) == (2, "")
    assert '--name "a": taken. Choose another, or revoke it first' in said.err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--name", "a", "--scopes", "read,root"), "--scopes 'read,root': known are read, write, admin."),
        (("--name", "a", "--scopes", " , "), "--scopes '': known are read, write, admin. Name one or more."),
        (("--name", "  "), "expected 1 to 64 printable characters"),
        (("--name", "a" * 65), "expected 1 to 64 printable characters"),
        (("--name", "a\nb"), r"--name 'a\nb': expected"),
        (("--name", "a", "--rate", "nan"), "--rate nan: below 0 or no number."),
        (("--name", "a", "--expires", "soon"), "--expires soon: no ISO date. Write it like 2027-01-01."),
        (("--name", "a", "--expires", "2001-01-01"), "--expires: lies in the past."),
    ],
)
def test_what_cannot_be_a_key_is_one_line(words: tuple[str, ...], message: str, call: Call, place: str) -> None:
    said = call("keys", "create", "--store", place, *words)
    assert (said.code, said.out) == (2, "")
    assert message in said.err
    assert said.err.count("\n") == 1
    assert call("keys", "list", "--store", place, "--json").json() == []


def test_a_key_that_is_not_there_cannot_be_revoked(call: Call, place: str) -> None:
    said = call("keys", "revoke", "--store", place, "--name", "nobody")
    assert said.code == 2
    assert '--name "nobody": no such key. See: l2rec keys list' in said.err


def test_a_hint_holds_no_password(call: Call, place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    store = SqliteStore(Path(place.removeprefix("sqlite:///")))
    monkeypatch.setattr("l2rec.serving.store.opening.open_store", lambda _: store)
    said = call("keys", "revoke", "--store", "redis://shop:hidden@localhost:6399/0", "--name", "nobody")
    assert said.code == 2
    assert "l2rec keys list --store redis://shop:***@localhost:6399/0" in said.err
    assert "hidden" not in said.err
