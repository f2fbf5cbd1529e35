"""From a query string to a wish: what is kept of those that were read."""

from l2rec.serving.api.asking import Reader
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
