"""How long an epoch's plan of 100,000 users and a batch of 512 windows of 50 items take, and how much is padding."""

import json
import time
from collections.abc import Callable

import numpy as np
import torch

from l2rec.data.batches import TrainingBatches
from l2rec.types import Histories

USERS, ITEMS, LENGTH, BATCH = 100_000, 12_000, 50, 512


def skewed(users: int) -> Histories:
    """Sequences with a heavy tail: a median of seven events, a few of thousands."""
    chance = np.random.default_rng(0)
    lengths = np.minimum(chance.pareto(1.3, users) * 5 + 3, 3000).astype(int)
    events = int(lengths.sum())
    numbers = torch.from_numpy(chance.integers(0, ITEMS, events))
    offsets = torch.from_numpy(np.append(0, np.cumsum(lengths)))
    return Histories(numbers, torch.arange(events), offsets, torch.zeros(users, 0))


def full(users: int) -> Histories:
    """Sequences that fill every window."""
    events = users * (LENGTH + 1)
    offsets = torch.arange(users + 1) * (LENGTH + 1)
    return Histories(torch.arange(events) % ITEMS, torch.arange(events), offsets, torch.zeros(users, 0))


def best(action: Callable[[], object], times: int) -> float:
    """The shortest of several times in milliseconds, which the neighbours of a machine disturb least."""
    taken = []
    for _ in range(times):
        start = time.perf_counter()
        action()
        taken.append(1000 * (time.perf_counter() - start))
    return min(taken)


def main() -> None:
    """Prints the table, and the same as JSON."""
    torch.set_num_threads(1)
    texts = np.clip(np.random.default_rng(1).lognormal(2.3, 0.6, ITEMS), 1, 40).astype(int)
    kinds = {"one token an item": torch.ones(ITEMS, dtype=torch.long), "texts": torch.from_numpy(texts)}
    histories, dense = skewed(USERS), full(BATCH)
    results = {}
    for name, counts in kinds.items():

        def batches(of: Histories, counts: torch.Tensor = counts) -> TrainingBatches:
            made = TrainingBatches(of, length=LENGTH, batch_size=BATCH, token_counts=counts, seed=0, epoch=0)
            len(made)
            return made

        one = batches(dense)
        results[name] = {
            "plan_ms": best(lambda make=batches: make(histories), 5),
            "collate_ms": best(lambda made=one: made[0], 50),
            "padding_share": batches(histories).padding_share(),
        }
    print(f"{USERS:,} users, {len(histories.items):,} events, windows of {LENGTH}, batches of {BATCH}")
    for name, row in results.items():
        print(f"{name:18} plan {row['plan_ms']:6.1f} ms   batch {row['collate_ms']:5.2f} ms   ", end="")
        print(f"padding {row['padding_share']:.1%}")
    print(json.dumps(results))


if __name__ == "__main__":
    main()
