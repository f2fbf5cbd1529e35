"""What may be wished: limits with one clear line, filters, and diversity against its slow definition."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from l2rec.errors import SettingError
from l2rec.serving.wishes import Answer, Filters, Limits, Wish, check_ids, check_text, diversified, fragment


class Shop:
    """Three items; the last has no title."""

    def id(self, number: int) -> str:
        return ("a", 'b "quoted"', "ü")[number]

    def title(self, number: int) -> str:
        return ("Lamp", "Chair\n", "ü")[number]

    def fragment(self, number: int) -> bytes:
        return fragment(self.id(number), self.title(number))


def test_an_item_needs_one_token_of_every_column_that_is_named() -> None:
    filters = Filters(allow_attributes=frozenset({"colour=red", "colour=blue", "thing=lamp"}))
    assert filters.passes("a", ["colour=red", "thing=lamp"])
    assert filters.passes("a", ["colour=blue", "thing=lamp", "size=1"])
    assert not filters.passes("a", ["colour=red", "thing=chair"])
    assert not filters.passes("a", ["thing=lamp"])


def test_what_is_denied_is_denied_though_it_is_allowed_too() -> None:
    filters = Filters(frozenset("ab"), frozenset("b"), frozenset({"colour=red"}), frozenset({"thing=lamp"}))
    assert filters.passes("a", ["colour=red"])
    assert not filters.passes("b", ["colour=red"])
    assert not filters.passes("c", ["colour=red"])
    assert not filters.passes("a", ["colour=red", "thing=lamp"])
    assert not Filters()
    assert Filters(deny=frozenset("b"))


@pytest.mark.parametrize(
    ("wish", "message"),
    [
        (Wish(k=0), r"^k: 0: expected 1 to 500\. Ask for a list of such a length\.$"),
        (Wish(k=501), r"^k: 501: expected 1 to 500\."),
        (Wish(diversity=1.5), r"^diversity: 1\.5: expected 0 to 1\."),
        (Wish(diversity=float("nan")), r"^diversity: nan: expected 0 to 1\."),
        (Wish(deadline=0.0), r"^deadline_ms: 0: expected above 0 to 60000\."),
        (Wish(deadline=61.0), r"^deadline_ms: 61000: expected above 0 to 60000\."),
        (Wish(prompt=" "), r"^prompt: empty\. Say in words what is wanted"),
        (Wish(prompt="x" * 2001), r"^prompt: 2001 characters: over 2000\. Shorten it\.$"),
        (Wish(prompt="\ud800"), r"^prompt: half a character \(a lone surrogate\)\. Send Unicode text\.$"),
        (Wish(filters=Filters(deny=frozenset({""}))), r"^deny: an empty value\. Fill it in, or leave it out\.$"),
        (Wish(filters=Filters(allow=frozenset({"x" * 513}))), r"^allow: a value of 513 characters: over 512\."),
        (Wish(filters=Filters(allow=frozenset(map(str, range(1001))))), r"^allow: 1001 values: over 1000\."),
        (Wish(filters=Filters(deny_attributes=frozenset({"red"}))), r'^deny_attributes: "red": no "="\. Name column'),
    ],
)
def test_a_wish_beyond_a_limit_is_refused_in_one_line(wish: Wish, message: str) -> None:
    with pytest.raises(SettingError, match=message):
        wish.check()


def test_a_wish_at_its_limits_is_fine() -> None:
    filters = Filters(frozenset({"x" * 512}), frozenset(), frozenset({"a=b"}))
    Wish(500, True, filters, 1.0, "x" * 2000, 60.0).check()
    Wish(1, deadline=1e-3).check()
    check_text("title", "", empty=True)
    with pytest.raises(SettingError, match=r"^history: 3 values: over 2\. Send fewer\."):
        check_ids("history", ["a", "b", "c"], 2, Limits())


def test_an_answer_is_json_with_ids_titles_and_scores() -> None:
    answer = Answer([2, 1], [1.5, -0.25], "cached", "v1", 3.0, ('said "so"',), Shop())
    told = json.loads(answer.to_json())
    assert told == {
        "items": [
            {"item_id": "ü", "title": "ü", "score": 1.5},
            {"item_id": 'b "quoted"', "title": "Chair\n", "score": -0.25},
        ],
        "source": "cached",
        "version": "v1",
        "age": 3.0,
        "notes": ['said "so"'],
    }
    assert [tuple(place) for place in answer.places] == [tuple(item.values()) for item in told["items"]]
    empty = json.loads(Answer([], [], "popular", "v1", 0.0, (), Shop()).to_json())
    assert (empty["items"], empty["notes"]) == ([], [])


def slowly(scores: list[float], vectors: list[list[float]], k: int, diversity: float) -> list[int]:
    """The definition, word for word."""

    def cosine(a: list[float], b: list[float]) -> float:
        norm = (sum(x * x for x in a) * sum(x * x for x in b)) ** 0.5
        return sum(x * y for x, y in zip(a, b, strict=True)) / norm if norm else 0.0

    low, high = min(scores), max(scores)
    listed: list[int] = []
    while len(listed) < min(k, len(scores)):
        worths = {}
        for n in range(len(scores)):
            if n not in listed:
                relevance = (scores[n] - low) / ((high - low) or 1)
                same = max((cosine(vectors[n], vectors[m]) for m in listed), default=0.0)
                worths[n] = (1 - diversity) * relevance - diversity * same
        listed.append(max(worths, key=lambda n: (round(worths[n], 9), -n)))
    return listed


@given(st.integers(1, 12), st.integers(1, 12), st.floats(0, 1), st.integers(0, 10_000))
def test_diversity_is_its_definition(count: int, k: int, diversity: float, seed: int) -> None:
    chance = np.random.default_rng(seed)
    scores = -np.sort(-chance.normal(size=count))
    vectors = chance.normal(size=(count, 4))
    found = diversified(scores, vectors, k, diversity).tolist()
    assert found == slowly(scores.tolist(), vectors.tolist(), k, diversity)


def test_no_diversity_keeps_the_order_and_full_diversity_avoids_the_double() -> None:
    scores, vectors = np.array([3.0, 2.9, 1.0, 0.0]), np.array([[1.0, 0], [1.0, 0], [0, 1.0], [0.0, 0]])
    assert diversified(scores, vectors, 3, 0.0).tolist() == [0, 1, 2]
    assert diversified(scores, vectors, 3, 0.7).tolist() == [0, 2, 3]
    assert diversified(scores[:0], vectors[:0], 3, 0.5).tolist() == []
    assert diversified(np.ones(3), vectors[:3], 2, 0.5).tolist() == [0, 2]
