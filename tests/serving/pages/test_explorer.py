"""The explorer as the server renders it: the API's own lists, histories that are changed, reasons, and complaints."""

import re
from collections.abc import Sequence

import pytest
from starlette.testclient import TestClient

from l2rec.serving.answering.batching import StoppedError
from l2rec.serving.answering.edition import Edition, Engine
from l2rec.serving.model.explain import Explanation
from l2rec.serving.store.sqlite import SqliteStore
from l2rec.serving.wishes import Answer, Wish
from tests.serving.pages.reading import Page, read
from tests.serving.service import desk_of, event, listed
from tests.worlds import COLOURS, THINGS


def lines(page: Page) -> list[str]:
    """The titles of the list, in order."""
    past = next(n for n, (_, told) in enumerate(page.elements) if told.get("id") == "past")
    count = sum(told.get("class") == "title" for _, told in page.elements[:past])
    return [" ".join(text.split()) for text in page.texts["title"][:count]]


def told(client: TestClient, **asked: object) -> list[str]:
    return [item["title"] for item in client.post("/v1/recommendations", json=asked).json()["items"]]


def history(client: TestClient, user: str) -> list[str]:
    desk = desk_of(client)
    row = desk.stage.store.user(desk.stage.ready.release.version, user).row
    assert row is not None
    return [desk.stage.ready.shelf.id(number) for number in row.history.tolist()]


def test_a_user_is_found_by_the_beginning_of_the_id(client: TestClient) -> None:
    links = [told["href"] for tag, told in read(client, "/explore/users?user=u1").elements if tag == "a"]
    assert links == [f"/explore?user=u{n}" for n in (1, *range(10, 20))]
    assert "/explore?user=u0" in [told.get("href") for _, told in read(client, "/explore").elements]
    assert "begins with “zz”" in read(client, "/explore/users?user=zz").said("soft")


def test_the_page_shows_the_list_that_the_api_gives(client: TestClient) -> None:
    page = read(client, "/explore?user=u5&k=7")
    answer = listed(client, "/v1/users/u5/recommendations", k=7)
    assert lines(page) == [item["title"] for item in answer["items"]]
    assert [float(score) for score in page.texts["score"]] == pytest.approx(
        [item["score"] for item in answer["items"]], abs=6e-4
    )
    assert page.said("source") == answer["source"] == "cached"
    assert page.values("remove") == history(client, "u5")[::-1][:8]


@pytest.fixture
def coloured(client: TestClient) -> TestClient:
    """The same client; items say their colour and thing."""
    for n in range(30):
        title = f"{COLOURS[n % 5]} {THINGS[n % 7]} {n}"
        tokens = [f"colour={COLOURS[n % 5]}", f"thing={THINGS[n % 7]}"]
        assert client.put(f"/v1/items/i{n}", json={"title": title, "text": title, "attributes": tokens}).is_success
    return client


def test_filters_prompt_and_diversity_reach_the_desk(coloured: TestClient) -> None:
    client = coloured
    page = read(client, "/explore?user=u5&only=colour%3Dred&never=thing%3Dlamp&prompt=blue+chair&diversity=0.4&k=5")
    wish = {"allow_attributes": "colour=red", "deny_attributes": "thing=lamp", "prompt": "blue chair"}
    answer = listed(client, "/v1/users/u5/recommendations", **wish, diversity=0.4, k=5)
    assert lines(page) == [item["title"] for item in answer["items"]]
    assert lines(page)
    assert all(title.startswith("red ") and "lamp" not in title for title in lines(page))
    assert page.said("source") == "fresh"
    checked = [told["value"] for _, told in page.elements if "checked" in told]
    assert checked == ["colour=red", "thing=lamp"]


def test_a_changed_history_is_asked_without_a_trace_in_the_store(client: TestClient, store: SqliteStore) -> None:
    past = history(client, "u5")
    page = read(client, f"/explore?user=u5&remove={past[-1]}")
    rest = [item for item in past if item != past[-1]]
    assert lines(page) == told(client, history=rest)
    assert page.values("drop") == [past[-1]]
    assert past[-1] not in page.values("remove")
    page = read(client, f"/explore?user=u5&drop={past[-1]}&put=i3&put=i4")
    assert lines(page) == told(client, history=[*rest, "i3", "i4"])
    assert page.values("add") == ["i3", "i4"]
    undone = read(client, f"/explore?user=u5&drop={past[-1]}&put={past[-1]}")
    assert (undone.values("drop"), undone.values("add")) == ([], [])
    assert lines(undone) == [i["title"] for i in listed(client, "/v1/users/u5/recommendations")["items"]]
    assert store.last_event() == 0


def test_an_event_is_in_the_history_and_in_the_list(client: TestClient) -> None:
    client.post("/v1/events", json={"events": [event("e", "u5", "i3")]})
    page = read(client, "/explore?user=u5")
    assert page.values("remove")[0] == "i3"
    assert page.said("source") == "fresh"


def test_reasons_are_those_of_the_api(client: TestClient) -> None:
    page = read(client, "/explore?user=u5&k=4&why=1")
    answer = client.get("/v1/users/u5/explanation", params={"k": 4}).json()
    assert [item["title"] for item in answer["items"]] == lines(page)
    bars = [told["aria-label"] for tag, told in page.elements if tag == "svg" and told.get("class") == "bar"]
    assert bars == [", ".join(f"{n} {v:+.2f}" for n, v in item["parts"].items()) for item in answer["items"]]
    carried = [item["carried_by"][0] for item in answer["items"] if item["carried_by"][0]["drop"] > 0]
    assert len(page.texts["carried"]) == len(carried)
    for one, text in zip(carried, page.texts["carried"], strict=True):
        assert text.split("because of ")[1].startswith(f"{one['title']} {one['drop']:+.2f}")
    assert len(page.texts["use"]) == len(answer["experts"]) == 2
    assert "use" not in read(client, "/explore?user=u5").texts


def test_reasons_of_a_model_that_was_replaced_are_the_next_one_s(client: TestClient) -> None:
    expected = read(client, "/explore?user=u5&k=4&why=1").texts["carried"]
    stage = desk_of(client).stage
    old = stage.ready

    async def replaced(*_: object) -> Explanation:
        stage.edition = Edition.load(old.release, (), Engine())
        raise StoppedError("the model has been replaced. Ask again.")

    old.explained = replaced  # type: ignore[method-assign]
    page = read(client, "/explore?user=u5&k=4&why=1")
    assert stage.edition is not old
    assert page.texts["carried"] == expected
    old.close()


def test_a_list_of_a_model_that_came_meanwhile_has_its_own_titles(client: TestClient, store: SqliteStore) -> None:
    for name, text in (("one", "red lamp"), ("two", "green box"), ("one", "red lamp")):
        client.put(f"/v1/items/{name}", json={"title": name, "text": text})
    desk = desk_of(client)
    old, of_user, of_ask = desk.stage.ready, desk.for_user, desk.for_ask

    def replaced() -> None:
        if desk.stage.edition is old:  # the next one hears of the two in another order
            desk.stage.edition = Edition.load(old.release, store.items(), Engine())

    async def for_user(user_id: str, wish: Wish) -> Answer:
        replaced()
        return await of_user(user_id, wish)

    async def for_ask(history: Sequence[str], text: None, attributes: None, wish: Wish) -> Answer:
        replaced()
        return await of_ask(history, text, attributes, wish)

    desk.for_user, desk.for_ask = for_user, for_ask  # type: ignore[method-assign, assignment]
    page = read(client, "/explore?user=u5&k=32")
    assert desk.stage.edition is not old
    assert lines(page) == [item["title"] for item in listed(client, "/v1/users/u5/recommendations", k=32)["items"]]
    assert {"one", "two"} <= {*lines(page)}
    desk.stage.ready.close()
    desk.stage.edition = old
    page = read(client, "/newcomer?prompt=red+lamp&k=32")
    assert desk.stage.edition is not old
    answer = client.post("/v1/recommendations", json={"prompt": "red lamp", "k": 32}).json()
    assert [" ".join(text.split()) for text in page.texts["title"]] == [item["title"] for item in answer["items"]]
    old.close()


def test_who_is_unknown_gets_what_is_popular_and_may_try_items(client: TestClient) -> None:
    page = read(client, "/explore?user=nobody&why=1")
    assert page.said("source") == "popular"
    assert "Nothing is known of this user." in page.said("#past")
    assert "nothing to explain" in page.said("#answer")
    assert lines(read(client, "/explore?user=nobody&put=i3")) == told(client, history=["i3"])


def test_items_are_found_by_words_of_their_title(client: TestClient) -> None:
    page = read(client, "/explore/items?find=LAMP+red")
    assert page.values("put") == ["i0"]
    assert all("lamp" in text for text in page.texts["<li>"])
    assert "holds “zz”" in read(client, "/explore/items?find=zz").said("soft")


@pytest.mark.parametrize(
    ("asked", "field", "message"),
    [
        ("k=0", "k", "k: 0: expected 1 to 100. Ask for a list of such a length."),
        ("k=many", "k", "k: 'many': expected a whole number. Correct it."),
        ("diversity=2", "diversity", "diversity: 2.0: expected 0 to 1. 0 is the order of the scores."),
        (f"prompt={'x' * 2001}", "prompt", "prompt: 2001 characters: over 2000. Shorten it."),
        ("only=red", "only", 'allow_attributes: "red": no "=". Name column and value, e.g. genres=Comedy.'),
        ("never=colour%3Dpink", "never", "colour=pink: no item has this. Choose another."),
        (f"put={'x' * 600}", "find", "history: a value of 600 characters: over 512. Shorten it."),
    ],
)
def test_what_is_wrong_is_said_beside_its_field(client: TestClient, asked: str, field: str, message: str) -> None:
    page = read(client, f"/explore?user=u5&{asked}")
    assert page.said(f"#wrong-{field}") == message
    invalid = [told["aria-describedby"] for _, told in page.elements if "aria-invalid" in told]
    assert invalid == ([] if field in ("only", "never") else [f"wrong-{field}"])
    assert len(lines(page)) == 10


def test_text_of_a_person_is_never_markup(client: TestClient) -> None:
    evil = '"><script>alert(1)</script>'
    for path in ("/explore", "/explore/users", "/explore/items"):
        answer = client.get(path, params={"user": evil, "find": evil, "prompt": evil, "put": evil, "only": evil})
        assert answer.status_code == 200
        assert "<script>" not in answer.text
        Page(answer.text)


def test_the_address_follows_what_was_asked(client: TestClient) -> None:
    piece = {"HX-Request": "true"}
    moved = client.get("/explore?user=u5&put=i3&prompt=&k=5", headers=piece)
    assert moved.headers["HX-Push-Url"] == "/explore?user=u5&k=5&add=i3"
    typed = client.get("/explore?user=u5&add=i3&prompt=red", headers=piece)
    assert typed.headers["HX-Replace-Url"] == "/explore?user=u5&prompt=red&add=i3"
    why = client.get("/explore?user=u5&why=1", headers=piece)
    assert not [name for name in why.headers if name.startswith("hx-")]


def test_without_a_release_a_person_reads_a_sentence(client: TestClient) -> None:
    desk_of(client).stage.edition = None
    page = read(client, "/explore?user=u5", status=503)
    assert page.said("#told") == "No release is loaded yet. Publish a run, or wait until it is loaded."


def test_no_page_holds_inline_script_or_style(client: TestClient) -> None:
    for path in ("/", "/explore", "/explore?user=u5&why=1"):
        html = client.get(path).text
        assert not re.search(r"<style|\sstyle=|\son\w+=|<script(?! src)|(?:src|href)=\"(?:https?:)?//", html)
