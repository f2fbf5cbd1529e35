"""Looking up titles and attributes in a catalogue that changes."""

from starlette.testclient import TestClient

from l2rec.serving.pages.shelving import MOST_FOUND, lookup
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
