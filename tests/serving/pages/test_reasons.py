"""Bars and cells: they add up, share one scale and leave out who did nothing."""

import numpy as np
import pytest

from l2rec.data.ids import Ids
from l2rec.serving.answering.shelf import Shelf, Tokens
from l2rec.serving.model.catalogue import Catalogue
from l2rec.serving.model.explain import Carrier, Explanation, Reasons
from l2rec.serving.pages.reasons import WIDTH, told
from tests.worlds import tiny_items

ITEMS = Catalogue(tiny_items(30), Ids.of([f"i{n}" for n in range(30)]))
SHELF = Shelf(
    ITEMS, 30, frozenset(), frozenset(), Tokens(ITEMS.attributes), np.zeros(0, dtype=np.int64), np.zeros((0, 0))
)
ONE = Reasons(3, 2.0, {"text": 3.0, "behaviour": -1.0}, (Carrier(5, 0.5), Carrier(6, 0.0), Carrier(7, -1.0)))
TWO = Reasons(4, 4.0, {"text": 1.0, "behaviour": 3.0}, ())


def test_pieces_of_all_bars_have_one_scale_and_one_zero() -> None:
    found = told(Explanation((ONE, TWO), {}), SHELF)
    unit = WIDTH / 5  # from -1 to 4
    pieces = {n: [(p.name, p.left, p.width) for p in why.parts] for n, why in found.items.items()}
    assert pieces[3] == [("text", unit, 3 * unit), ("behaviour", 0.0, unit)]
    assert pieces[4] == [("text", unit, unit), ("behaviour", 2 * unit, 3 * unit)]
    assert {why.zero for why in found.items.values()} == {unit}
    assert found.items[3].told == "text +3.00, behaviour -1.00"
    assert found.names == (("text", 0), ("behaviour", 1))


def test_only_who_spoke_for_an_item_is_named() -> None:
    found = told(Explanation((ONE, TWO), {}), SHELF)
    assert [(one.item_id, one.drop) for one in found.items[3].carriers] == [("i5", 0.5)]
    assert found.items[4].carriers == ()


@pytest.mark.parametrize("parts", [{}, {"text": 0.0}])
def test_a_score_without_parts_has_an_empty_bar(parts: dict[str, float]) -> None:
    [why] = told(Explanation((Reasons(1, 0.0, parts, ()),), {"semantic": [[0.25, 0.75]]}), SHELF).items.values()
    assert sum(part.width for part in why.parts) == 0


def test_expert_use_is_told_by_view() -> None:
    [use] = told(Explanation((), {"semantic": [[0.25, 0.75]], "none": []}), SHELF).experts
    assert (use.view, use.rows, use.most) == ("semantic", ((0.25, 0.75),), 0.75)
