"""From a query string or a body to a wish: what is kept of those that were read; what is described is what holds."""

from typing import Any

import pytest
from jsonschema_rs import Draft202012Validator

from l2rec.errors import SettingError
from l2rec.serving.api.asking import Reader, WishBody
from l2rec.serving.wishes import Filters, Limits


def test_only_short_questions_are_kept() -> None:
    reader = Reader(Limits())
    assert reader.wish(b"k=7") is reader.wish(b"k=7")
    long = b"k=7&" + b"&".join(b"deny=i%d" % n for n in range(100))
    assert len(long) > 512
    first, again = reader.wish(long), reader.wish(long)
    assert first == again
    assert first is not again
    assert first.filters == Filters(deny=frozenset(f"i{n}" for n in range(100)))


@pytest.mark.parametrize(
    "wrong",
    [
        {"allow": [""]},
        {"deny": ["x" * 513]},
        {"allow_attributes": ["comedy"]},
        {"deny_attributes": [""]},
        {"prompt": "x" * 2001},
        {"k": 0},
        {"deadline_ms": 60_001},
    ],
    ids=str,
)
def test_what_the_description_of_a_body_rules_out_is_refused(wrong: dict[str, Any]) -> None:
    described = Draft202012Validator(WishBody.model_json_schema())
    right = {"allow": ["x" * 512], "deny_attributes": ["genre="], "prompt": "x" * 2000, "k": 1, "deadline_ms": 60_000}
    assert described.is_valid(right)
    assert WishBody.model_validate(right).wish(Limits()).k == 1
    assert not described.is_valid(wrong)
    with pytest.raises(SettingError):
        WishBody.model_validate(wrong).wish(Limits())
