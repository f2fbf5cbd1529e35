"""What the log shows, from hand-made choices."""

import math

import pytest
import torch

from l2rec.nn.readings import acf_readings, routing_readings
from l2rec.nn.router import Choice, Layout
from l2rec.nn.views import Rows


def rows(mask: torch.Tensor, layout: Layout) -> Rows:
    nothing = torch.zeros(*mask.shape, 2)
    return Rows(nothing, mask, mask.unsqueeze(1) & mask.unsqueeze(2), mask.long(), nothing, layout, None)


def test_routing_readings_are_shares_and_entropies_of_real_positions() -> None:
    semantic = Choice(
        torch.tensor([[[1.0, 0, 0], [0.5, 0.5, 0], [0, 0, 1.0]]]),
        torch.tensor([[[0.5, 0.5, 0], [0.25, 0.25, 0.5], [0, 0, 1.0]]]),
    )
    behavioural = Choice(torch.tensor([[[0, 1.0]]]), torch.tensor([[[0.5, 0.5]]]))
    mask = torch.tensor([[True, True, False, True]])
    found = routing_readings([(semantic, behavioural), (None, behavioural)], rows(mask, Layout(3, 1)))
    assert {name: value for name, value in found.items() if "semantic" in name} == pytest.approx(
        {
            "experts/semantic/block0/e0": 2 / 3,
            "experts/semantic/block0/e1": 1 / 3,
            "experts/semantic/block0/e2": 0.0,
            "entropy/semantic/block0": (math.log(2) + 1.5 * math.log(2)) / 2,
        },
        abs=1e-5,
    )
    for block in (0, 1):
        assert found[f"experts/behavioural/block{block}/e0"] == 0
        assert found[f"experts/behavioural/block{block}/e1"] == 1
        assert found[f"entropy/behavioural/block{block}"] == pytest.approx(math.log(2))
    assert len(found) == 10


def test_acf_readings_are_means_by_length_of_history() -> None:
    share, lengths = torch.tensor([0.1, 0.3, 0.5, 0.9]), torch.tensor([1, 1, 4, 50])
    assert acf_readings(share, lengths) == pytest.approx(
        {"acf/share": 0.45, "acf/share/1-1": 0.2, "acf/share/3-5": 0.5, "acf/share/21-10000": 0.9}
    )
