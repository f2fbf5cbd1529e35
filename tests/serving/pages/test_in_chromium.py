"""The pages in Debian's Chromium, behind the guard and its policy: what a person does, and what is never seen."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from l2rec.serving.access.guard import guard
from l2rec.serving.app import create_app
from l2rec.serving.store.sqlite import SqliteStore
from tests.serving.pages.browser import ARGUMENTS, PROGRAM, listening

HISTORY, LIST = "#past .events .title", "#answer .list .title"
TITLES = "all => all.map(one => one.textContent)"


@dataclass
class Witness:
    """What a browser must not do.

    Attributes:
        address: Where the service is.
        complaints: Errors and warnings of the console.
        asked: Addresses that it asked for.
    """

    address: str
    complaints: list[str] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)

    def watch(self, page: Page) -> None:
        """Writes down what a page does."""
        page.on("console", lambda m: self.complaints.append(m.text) if m.type in ("error", "warning") else None)
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("request", lambda request: self.asked.append(request.url))

    def check(self) -> None:
        """Refuses what it saw."""
        assert self.complaints == []
        assert self.asked
        assert [url for url in self.asked if not url.startswith(self.address)] == []


@pytest.fixture(scope="module")  # its event loop runs until it is closed, and other modules have their own
def chromium() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=PROGRAM, args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture
def witness(store: SqliteStore) -> Iterator[Witness]:
    with listening(create_app(store, guard=guard(store, "127.0.0.1"))) as address:
        witness = Witness(address)
        yield witness
        witness.check()


@pytest.fixture
def page(chromium: Browser, witness: Witness) -> Iterator[Page]:
    context = chromium.new_context(base_url=witness.address, viewport={"width": 1280, "height": 900})
    context.set_default_timeout(10_000)
    page = context.new_page()
    witness.watch(page)
    yield page
    context.close()


def titles(page: Page, place: str) -> list[str]:
    """The titles of the list or of the history."""
    found: list[str] = page.eval_on_selector_all(place, TITLES)
    return found


def changed(page: Page, before: list[str]) -> list[str]:
    """The list, as soon as it is another than before, with its reasons."""
    page.wait_for_function(
        f"before => JSON.stringify(({TITLES})([...document.querySelectorAll('{LIST}')])) != before", arg=_json(before)
    )
    page.wait_for_selector("#answer .bar")
    return titles(page, LIST)


def _json(titles: list[str]) -> str:
    return "[" + ",".join(f'"{title}"' for title in titles) + "]"


def test_a_person_finds_a_user_and_changes_the_list(page: Page) -> None:
    page.goto("/")
    page.get_by_role("link", name="Explorer A user").click()
    page.get_by_label("Find a user").press_sequentially("u1")
    page.get_by_role("list", name="Users").get_by_role("link", name="u19").wait_for()
    page.get_by_label("Find a user").press_sequentially("2")
    expect(page.locator("#users a")).to_have_count(1)
    page.get_by_role("link", name="u12").click()
    page.wait_for_selector("#answer .bar")
    first, past = titles(page, LIST), titles(page, HISTORY)

    page.get_by_label("In words").fill("green lamp")
    steered = changed(page, first)
    assert "prompt=green+lamp" in page.url
    page.get_by_label("In words").fill("")
    assert changed(page, steered) == first

    page.get_by_role("button", name=f"Remove {past[0]}").click()
    without = changed(page, first)
    expect(page.locator("#past-title")).to_be_focused()
    assert titles(page, HISTORY) == past[1:]
    page.go_back()
    page.wait_for_selector("#answer .bar")
    assert titles(page, LIST) == first
    page.go_forward()
    page.wait_for_selector("#answer .bar")
    assert titles(page, LIST) == without

    page.get_by_label("Words of its title").press_sequentially("clock")
    page.get_by_role("button", name="Add black clock 13").click()
    changed(page, without)
    assert titles(page, HISTORY) == ["black clock 13", *past[1:]]


def test_filters_act_at_once_and_errors_stand_beside_their_field(page: Page) -> None:
    for n in (4, 8, 16):
        tokens = {"title": f"item {n}", "text": f"item {n}", "attributes": ["kind=odd"]}
        assert page.request.put(f"/v1/items/i{n}", data=tokens).ok
    page.goto("/explore?user=u5")
    page.wait_for_selector("#answer .bar")
    before = titles(page, LIST)
    page.get_by_text("Only these").click()
    page.get_by_label("odd").first.check()
    assert set(changed(page, before)) <= {"item 4", "item 8", "item 16"}
    page.get_by_label("odd").first.uncheck()
    page.get_by_label("Diversity, 0 to 1").fill("7")
    beside = page.locator("#wrong-diversity")
    expect(beside).to_have_text("diversity: 7.0: expected 0 to 1. 0 is the order of the scores.")
    page.get_by_label("Diversity, 0 to 1").fill("0.7")
    expect(beside).to_have_text("")


PAGES = ("/", "/explore?user=u5&why=1", "/newcomer?prompt=red+lamp", "/runs", "/service", "/login")


@pytest.mark.parametrize("path", PAGES)
def test_a_phone_does_not_scroll_sideways_and_the_night_is_dark(chromium: Browser, witness: Witness, path: str) -> None:
    context = chromium.new_context(
        base_url=witness.address, viewport={"width": 375, "height": 740}, color_scheme="dark"
    )
    page = context.new_page()
    witness.watch(page)
    page.goto(path)
    assert page.evaluate("document.documentElement.scrollWidth") == 375
    broken = "all => all.filter(one => /^\\S+$/.test(one.textContent) && one.offsetHeight > 40).map(one => one.id)"
    assert page.eval_on_selector_all("h1, h2", broken) == []
    colours = page.evaluate("[getComputedStyle(document.body).backgroundColor, getComputedStyle(document.body).color]")
    ground, ink = (sum(map(int, re.findall(r"\d+", colour)[:3])) / 3 for colour in colours)
    assert ground < 60
    assert ink > 180
    context.close()


@pytest.mark.parametrize("path", PAGES)
def test_everything_is_reached_by_the_keyboard_and_has_a_name(page: Page, path: str) -> None:
    page.goto(path)
    wanted = page.evaluate(
        "[...document.querySelectorAll('a[href], button, summary, input:not([type=hidden]), textarea:not([disabled])')]"
        ".filter(one => one.checkVisibility()).length"
    )
    reached = set()
    for _ in range(wanted + 2):
        page.keyboard.press("Tab")
        told = page.evaluate(
            "() => { const e = document.activeElement, s = getComputedStyle(e);"
            " const label = e.labels && e.labels[0];"
            " return [[...document.querySelectorAll('*')].indexOf(e), e.tagName,"
            " (e.ariaLabel || (label && label.textContent) || e.textContent || '').trim(), s.outlineStyle] }"
        )
        if told[1] == "BODY":
            break
        reached.add(told[0])
        assert told[2], f"{told[1]} has no name"
        seen = told[3] != "none" or page.evaluate("document.activeElement.matches('.chips input')")
        assert seen, f"{told[2]}: its focus is not seen"
    assert len(reached) >= wanted
    assert page.evaluate("document.querySelectorAll('h1').length") == 1
    assert page.evaluate("document.querySelector('html').lang") == "en"


def test_the_service_page_keeps_itself_up_to_date(page: Page) -> None:
    page.goto("/service")
    rows = page.locator("#latency-rows")
    expect(rows).to_contain_text("no request yet")
    assert page.request.get("/v1/users/u5/recommendations").ok
    expect(rows).to_contain_text("/v1/users/{id}/recommendations", timeout=8_000)


def test_a_sentence_gives_a_newcomer_a_list(page: Page) -> None:
    page.goto("/newcomer")
    before = titles(page, LIST)
    expect(page.locator("#answer .source")).to_have_text("popular")
    page.get_by_label("A sentence").fill("white carpet")
    expect(page.locator("#answer .source")).to_have_text("newcomer")
    assert titles(page, LIST) != before
