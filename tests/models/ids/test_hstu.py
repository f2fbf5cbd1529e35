"""What HSTU alone promises; its layers are tested in `tests/nn/test_pointwise.py`."""

import math
from dataclasses import replace

import torch
from torch.nn import functional

from l2rec.models.ids.hstu import Config, Model
from l2rec.types import Batch
from tests import worlds


def small(**settings: object) -> Model:
    torch.manual_seed(0)
    config = Config.model_validate({"history": 8, "width": 16, "layers": 1, "dropout": 0.0, **settings})
    return Model(config, worlds.tiny_items()).eval()


def later(batch: Batch) -> Batch:
    """The same events, a day apart in place of a second."""
    return replace(batch, times=batch.times * 86_400)


def test_it_learns_what_follows_what() -> None:
    assert worlds.right_successors(small(width=32, smoothing=0.0)) >= 27


@torch.no_grad()
def test_time_counts_where_there_is_a_clock_and_only_there() -> None:
    batch = worlds.batch_of([[3, 10, 2, 7]])
    for clock in (True, False):
        model = small(clock=clock)
        torch.nn.init.normal_(model.network.blocks[0].spans)
        assert torch.allclose(model.scores(batch), model.scores(later(batch))) is not clock


@torch.no_grad()
def test_scores_are_dot_products_with_the_table_that_is_read() -> None:
    model = small(layers=0)
    batch = worlds.batch_of([[5, 9]])
    read = math.sqrt(16) * model.items.weight[9] + model.positions.weight[1]
    vector = functional.layer_norm(read, (16,))
    torch.testing.assert_close(model.scores(batch)[0], model.items.weight @ vector, rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_the_distance_of_two_events_counts_beside_their_positions() -> None:
    model, batch = small(), worlds.batch_of([[3, 10, 2, 7]])
    before = model.scores(batch)
    model.network.blocks[0].distances[1] += 1.0
    assert not torch.allclose(model.scores(batch), before)
