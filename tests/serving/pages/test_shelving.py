"""Looking up titles and attributes in a catalogue that changes."""

import asyncio

import pytest
from starlette.testclient import TestClient

from l2rec.serving.answering.shelf import Shelf
from l2rec.serving.pages import shelving
from l2rec.serving.pages.shelving import MOST_FOUND, Item, Lookup, lookup
from tests.serving.service import desk_of


def test_every_word_counts_and_the_beginning_comes_first(client: TestClient) -> None:
    found = lookup(desk_of(client).stage.ready)
    assert found.found("RED")[0].title.startswith("red")
    assert {item.title.split()[1] for item in found.found("lamp")} == {"lamp"}
    assert [item.item_id for item in found.found("7 lamp blue")] == ["i7"]
    assert found.found(" ") == found.found("lamp chair") == []
    assert len(found.found("e")) == MOST_FOUND


def test_what_is_put_is_found_and_what_is_deleted_is_not(client: TestClient) -> None:
    desk = desk_of(client)
    before = lookup(desk.stage.ready)
    assert lookup(desk.stage.ready) is before
    tokens = [f"size={n:02}" for n in range(30)]
    client.put("/v1/items/new", json={"title": "golden Harp", "attributes": ["tone=deep", *tokens]})
    after = lookup(desk.stage.ready)
    assert [item.item_id for item in after.found("harp")] == ["new"]
    assert after.offered["tone"] == [("tone=deep", "deep")]
    assert [value for _, value in after.offered["size"]] == [f"{n:02}" for n in range(24)]
    assert after.unknown(["tone=deep", "tone=high"]) == ["tone=high"]
    client.delete("/v1/items/new")
    gone = lookup(desk.stage.ready)
    assert (gone.found("harp"), gone.unknown(["tone=deep"])) == ([], ["tone=deep"])


def test_a_catalogue_is_looked_through_beside_the_requests(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    class Elsewhere(Lookup):
        """A catalogue that refuses to hold up an event loop."""

        looks = 0

        def __init__(self, shelf: Shelf) -> None:
            self.refuse_a_loop()
            super().__init__(shelf)

        def found(self, words: str) -> list[Item]:
            self.refuse_a_loop()
            return super().found(words)

        @staticmethod
        def refuse_a_loop() -> None:
            Elsewhere.looks += 1
            with pytest.raises(RuntimeError, match="no running event loop"):
                asyncio.get_running_loop()

    monkeypatch.setattr(shelving, "Lookup", Elsewhere)
    for looks, path in ((1, "/newcomer"), (3, "/explore?user=u5&find=red"), (5, "/explore/items?find=red")):
        client.put(f"/v1/items/new{looks}", json={"title": "red harp"})
        assert client.get(path).status_code == 200
        assert Elsewhere.looks == looks
