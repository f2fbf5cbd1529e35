"""ItemKNN against its definition, written as loops over users and pairs of items."""

from collections.abc import Sequence
from typing import Any

import pytest
import torch

from l2rec.config import validated
from l2rec.models.floors.itemknn import Config, Model
from tests import worlds

N = 30
HISTORIES = [[], [4], [3, 10, 3], worlds.tiny_sequences()[7], [29]]


def slow_similarities(sequences: Sequence[Sequence[int]], c: Config) -> list[list[float]]:
    owners = [{user for user, sequence in enumerate(sequences) if item in sequence} for item in range(N)]
    rows = []
    for k in range(N):
        row = [0.0] * N
        for j in range(N):
            shared = len(owners[k] & owners[j])
            if j != k and shared:
                popularity = (len(owners[k]) * len(owners[j])) ** c.popularity_power
                row[j] = shared / (popularity + c.shrink)
        nearest = sorted(range(N), key=lambda j: (-row[j], j))[: c.neighbours]
        rows.append([row[j] if j in nearest else 0.0 for j in range(N)])
    return rows


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"neighbours": 3, "shrink": 0.0, "history": 2},
        {"popularity_power": 0.8, "decay": 0.6},
    ],
)
def test_scores_follow_the_definition(given: dict[str, Any]) -> None:
    config = validated(Config, given | {"prior": 0.0}, "model")
    sequences = worlds.tiny_sequences()
    model = Model(config, worlds.tiny_items(N))
    model.count(worlds.histories_of(sequences))
    near = slow_similarities(sequences, config)
    expected = [
        [
            sum(config.decay**age * near[k][j] for age, k in enumerate(history[-config.history :][::-1]))
            for j in range(N)
        ]
        for history in HISTORIES
    ]
    torch.testing.assert_close(model.scores(worlds.batch_of(HISTORIES)), torch.tensor(expected), rtol=1e-5, atol=1e-6)


def test_an_item_is_not_its_own_neighbour() -> None:
    model = Model(Config(prior=0.0), worlds.tiny_items(N))
    model.count(worlds.tiny_histories())
    assert (model.scores(worlds.batch_of([[n] for n in range(N)])).diagonal() == 0).all()
