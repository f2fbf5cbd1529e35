"""Which items state what a prompt says in plain words: genres in singular and plural, and years in many forms."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from l2rec.serving.model.facts import Facts

TITLES = ["Toy Story (1995)", "The Fog", "Laura (1944)", "Airplane! (1980)", "New", ""]
ATTRIBUTES = [
    ("genres=Comedy", "genres=Children"),
    ("genres=Horror", "year=2001", "rating=1995"),
    ("genres=Film-Noir", "studio=Twentieth Century Fox Film Corporation Ltd"),
    ("genres=Comedy", "genres=Sci-Fi"),
    ("published=2015-03-01", "genres=Drama"),
    (),
]


@pytest.fixture
def facts() -> Facts:
    return Facts(TITLES, ATTRIBUTES)


def met(facts: Facts, text: str) -> list[list[int]]:
    return [[n for n, have in enumerate(row.tolist()) if have] for row in facts.met(text)]


YEARS = {
    "of the nineties": [0],
    "the 1990s": [0],
    "1990's": [0],
    "from the '90s": [0],
    "90s": [0],
    "mid-nineties": [0],
    "the late nineties": [0],
    "early nineties": [],
    "from 1995": [0],
    "between 1944 and 1980": [2, 3],
    "1980-1995": [0, 3],
    "1995 to 1980": [0, 3],
    "before 1980": [2],
    "until 1980": [2, 3],
    "before the nineties": [2, 3],
    "up to the 90s": [0, 2, 3],
    "after 1995": [1, 4],
    "since 1995": [0, 1, 4],
    "newer than the nineties": [1, 4],
    "something recent": [1, 4],
}


@pytest.mark.parametrize("text", YEARS)
def test_years_are_read_in_words_and_figures(facts: Facts, text: str) -> None:
    assert met(facts, text) == [YEARS[text]]


VALUES = {
    "light comedies": [[0, 3]],
    "a comedy": [[0, 3]],
    "sci-fi comedies": [[3], [0, 3]],
    "Children's films noir": [[0], [2]],
    "horror, horror and more HORROR": [[1]],
    "dramatic and comedic": [],
    "a corporation": [],
    "1900 bottles in 3 days": [[]],
    "": [],
}


@pytest.mark.parametrize("text", VALUES)
def test_values_are_recognised_by_their_own_words_in_singular_and_plural(facts: Facts, text: str) -> None:
    assert met(facts, text) == VALUES[text]


def test_what_is_wanted_is_met_by_shares_and_what_is_unwanted_only_whole(facts: Facts) -> None:
    wanted = facts.wanted("comedies of the nineties")
    assert wanted is not None
    assert wanted.tolist() == [1.0, 0.0, 0.0, 0.5, 0.0, 0.0]
    excluded = facts.excluded(("comedies of the eighties", "horror"))
    assert excluded is not None
    assert excluded.tolist() == [0.0, 1.0, 0.0, 1.0, 0.0, 0.0]
    assert facts.wanted("something warm") is None
    assert facts.excluded(("blood", "")) is None
    assert facts.excluded(()) is None


LEFT = {
    "comedies of the nineties": 0,
    "light comedies from the 1990s": 1 / 2,
    "magic and dragons": 1,
    "horror": 0,
    "war": 1,
    "1995": 0,
    "": 0,
}


@pytest.mark.parametrize("text", LEFT)
def test_what_no_fact_covers_is_left_to_be_read(facts: Facts, text: str) -> None:
    assert facts.left(text) == pytest.approx(LEFT[text])


def test_an_item_that_comes_or_changes_states_what_it_states_now(facts: Facts) -> None:
    facts.put(6, "Alien (1979)", ("genres=Horror",))
    facts.put(1, "The Fog", ("genres=Mystery", "year=1980"))
    assert met(facts, "horror") == [[6]]
    assert met(facts, "mysteries") == [[1]]
    assert met(facts, "from 1979 to 1980") == [[1, 3, 6]]
    assert len(facts) == 7
    facts.put(6, "", ())
    assert met(facts, "horror") == []


def test_a_catalogue_without_facts_meets_nothing() -> None:
    assert met(Facts([], []), "recent comedies of the nineties") == [[], []]
    assert Facts(["", ""], [("brand=no", "colour=red"), ("",)]).wanted("something recent and green") is not None


@given(st.text(max_size=60))
def test_no_text_is_too_odd(text: str) -> None:
    found = Facts(TITLES, ATTRIBUTES).met(text)
    assert all(row.shape == (6,) for row in found)
