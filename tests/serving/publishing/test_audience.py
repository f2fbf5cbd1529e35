"""Who gets a row, and with what past: a time that no clock shows stops nobody's."""

import pytest
import torch

from l2rec.data.prepared import load
from l2rec.serving.publishing.audience import audience_of
from l2rec.serving.records import Event
from tests.trained import World


@pytest.mark.parametrize(("time", "second"), [(1e300, 10**11), (-1e300, 0), (1.7e9 + 0.5, 1_700_000_000)])
def test_a_time_of_an_older_store_is_brought_within_bounds(time: float, second: int, world: World) -> None:
    prepared = load(world.prepared)
    told = [Event("a", "u5", "i3", time, 1), Event("b", "new", "i4", 1.6e9, 2)]
    audience = audience_of(prepared, told, 2)
    assert len(audience) == len(prepared.user_ids) + 1
    user = audience.ids.index("u5")
    last = int(audience.histories.offsets[user + 1]) - 1
    assert int(audience.histories.items[last]) == prepared.item_ids.number("i3")
    assert audience.histories.times[last].item() == second
    assert audience.histories.times.dtype == torch.long
