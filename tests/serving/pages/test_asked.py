"""What an address says: states, moves and wishes, for any order and any nonsense."""

from hypothesis import given as everything
from hypothesis import strategies as st

from l2rec.serving.pages.asked import asked, given
from l2rec.serving.wishes import Limits

LIMITS = Limits()


def test_moves_change_the_state_and_stand_in_no_address() -> None:
    begun = asked(given(b"user=u&drop=a&add=b&remove=b&put=c&put=a"), LIMITS)
    assert (begun.dropped, begun.added, begun.moved) == (("b",), ("c",), True)
    again = asked(given(begun.query().encode()), LIMITS)
    assert (again.dropped, again.added, again.moved) == (("b",), ("c",), False)


def test_a_wrong_field_costs_no_other() -> None:
    found = asked(given(b"user=u&k=x&diversity=0.5&prompt=+&only=a%3D1&deadline_ms=3"), LIMITS)
    assert set(found.wrong) == {"k"}
    assert (found.wish.k, found.wish.diversity, found.wish.prompt, found.wish.deadline) == (10, 0.5, None, 5.0)
    assert found.wish.filters.allow_attributes == {"a=1"}
    assert found.typed["k"] == "x"


@everything(st.binary(max_size=60), st.text(max_size=20), st.text(max_size=20))
def test_nothing_that_is_typed_fails(raw: bytes, user: str, words: str) -> None:
    query = (
        b"user=" + user.encode("utf-8", "surrogatepass") + b"&prompt=" + words.encode("utf-8", "replace") + b"&" + raw
    )
    found = asked(given(query), LIMITS)
    again = asked(given(found.query().encode()), LIMITS)
    assert (again.user, again.dropped, again.added) == (found.user, found.dropped, found.added)
