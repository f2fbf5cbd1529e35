"""What GRU4Rec alone promises: its states are the recurrence written out, and a softmax at every position."""

import math

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from l2rec.config import validated
from l2rec.errors import SettingError
from l2rec.models.ids.gru4rec import Config, Model
from tests import worlds


def small(**settings: object) -> Model:
    torch.manual_seed(0)
    config = Config.model_validate({"history": 8, "width": 16, "dropout": 0.0, **settings})
    return Model(config, worlds.tiny_items()).eval()


def slow_states(network: nn.GRU, events: Tensor) -> list[Tensor]:
    """One layer, one event after another: reset, update, candidate."""
    into, over = network.weight_ih_l0.chunk(3), network.weight_hh_l0.chunk(3)
    into_bias, over_bias = network.bias_ih_l0.chunk(3), network.bias_hh_l0.chunk(3)
    state, states = torch.zeros(events.shape[1]), []
    for event in events:
        read = [w @ event + b for w, b in zip(into, into_bias, strict=True)]
        kept = [w @ state + b for w, b in zip(over, over_bias, strict=True)]
        reset, update = torch.sigmoid(read[0] + kept[0]), torch.sigmoid(read[1] + kept[1])
        state = (1 - update) * torch.tanh(read[2] + reset * kept[2]) + update * state
        states.append(state)
    return states


def test_it_learns_what_follows_what() -> None:
    assert worlds.right_successors(small(width=32, smoothing=0.0)) >= 27


@torch.no_grad()
def test_scores_are_those_of_the_recurrence_written_out() -> None:
    model, history = small(), [3, 10, 2, 7, 3]
    state = slow_states(model.network, math.sqrt(16) * model.items.weight[history])[-1]
    vector = functional.layer_norm(state, (16,))
    found = model.scores(worlds.batch_of([history, [1]]))[0]
    torch.testing.assert_close(found, model.items.weight @ vector, rtol=1e-4, atol=1e-5)


def test_the_loss_is_the_cross_entropy_of_its_own_scores_at_every_position() -> None:
    model = small(smoothing=0.1)
    sequences = [[3, 10, 2, 7], [7, 22], [1, 4, 13]]
    prefixes = [s[:end] for s in sequences for end in range(1, len(s))]
    targets = torch.tensor([s[end] for s in sequences for end in range(1, len(s))])
    expected = functional.cross_entropy(model.scores(worlds.batch_of(prefixes)), targets, label_smoothing=0.1)
    torch.testing.assert_close(model.loss(worlds.training_batch_of(sequences, width=5)).total, expected)


def test_a_network_without_a_layer_is_refused() -> None:
    with pytest.raises(SettingError, match=r"model\.layers: 0: input should be greater than or equal to 1"):
        validated(Config, {"layers": 0}, "model")


@torch.no_grad()
def test_the_order_of_events_counts() -> None:
    one, other = small().scores(worlds.batch_of([[3, 10, 2], [10, 3, 2]]))
    assert not torch.allclose(one, other)
