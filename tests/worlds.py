"""Little generated worlds with something to learn: item n is mostly followed by item `successor(n)`."""

import csv
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from l2rec.models import Learner
from l2rec.types import Batch, Cases, Histories, Items

COLOURS = ("red", "green", "blue", "black", "white")
THINGS = ("lamp", "chair", "table", "shelf", "carpet", "mirror", "clock")


def successor(item: int, items: int) -> int:
    """The item that mostly follows `item`; the last item follows none, so that it stays cold."""
    return (3 * item + 1) % (items - 1)


def tiny_items(n: int = 30, counts: Sequence[int] | None = None) -> Items:
    """`n` items with a title, a text of one to three parts and two attributes; the last one is cold.

    Args:
        n: Size of the catalogue.
        counts: Training events of every item; falling by one from n - 1 to 0 where not given.
    """
    colours = [COLOURS[i % len(COLOURS)] for i in range(n)]
    things = [THINGS[i % len(THINGS)] for i in range(n)]
    titles = tuple(f"{c} {t} {i}" for i, (c, t) in enumerate(zip(colours, things, strict=True)))
    texts = tuple(" | ".join((title, c, t)[: 1 + i % 3]) for i, (title, c, t) in _numbered(titles, colours, things))
    attributes = tuple((f"colour={c}", f"thing={t}") for c, t in zip(colours, things, strict=True))
    given = list(counts) if counts is not None else list(range(n - 1, -1, -1))
    return Items(texts, titles, attributes, torch.tensor(given))


def _numbered(*columns: Sequence[str]) -> "enumerate[tuple[str, ...]]":
    return enumerate(zip(*columns, strict=True))


def tiny_sequences(users: int = 40, items: int = 30, longest: int = 12, seed: int = 0) -> list[list[int]]:
    """Sequences that follow `successor` four times in five; user 0 has no event, user 1 has one."""
    chance = torch.Generator().manual_seed(seed)
    sequences = []
    for user in range(users):
        length = user if user < 2 else int(torch.randint(2, longest + 1, (), generator=chance))
        sequence = [int(torch.randint(items - 1, (), generator=chance))] * min(length, 1)
        while len(sequence) < length:
            follows = float(torch.rand((), generator=chance)) < 0.8
            stray = int(torch.randint(items - 1, (), generator=chance))
            sequence.append(successor(sequence[-1], items) if follows else stray)
        sequences.append(sequence)
    return sequences


def histories_of(
    sequences: Sequence[Sequence[int]], times: Sequence[Sequence[int]] | None = None, attributes: int = 0
) -> Histories:
    """Sequences as `Histories`; the times are positions where not given, the attributes random but fixed.

    Args:
        sequences: Item numbers of every user.
        times: Timestamps in the same shape.
        attributes: Columns A of the attribute vectors.
    """
    given = times if times is not None else [list(range(len(s))) for s in sequences]
    offsets = torch.tensor([0, *[len(s) for s in sequences]]).cumsum(0)
    flat = torch.tensor([i for s in sequences for i in s], dtype=torch.long)
    seconds = torch.tensor([t for s in given for t in s], dtype=torch.long)
    vectors = torch.rand(len(sequences), attributes, generator=torch.Generator().manual_seed(1))
    return Histories(flat, seconds, offsets, vectors)


def tiny_histories(
    users: int = 40, items: int = 30, longest: int = 12, seed: int = 0, attributes: int = 0
) -> Histories:
    """The training part of the little world: `tiny_sequences` as `Histories`."""
    return histories_of(tiny_sequences(users, items, longest, seed), attributes=attributes)


def tiny_cases(users: int = 40, items: int = 30, longest: int = 12, seed: int = 0, attributes: int = 0) -> Cases:
    """One case a user: its training sequence, and the likely successor of its last item as the target."""
    sequences = tiny_sequences(users, items, longest, seed)
    targets = [successor(s[-1], items) if s else 0 for s in sequences]
    histories = histories_of(sequences, attributes=attributes)
    return Cases(torch.arange(users), histories, torch.tensor(targets), histories.lengths())


def batch_of(sequences: Sequence[Sequence[int]], width: int = 0, attributes: int = 0) -> Batch:
    """Sequences as a batch without targets, padded on the right with item 0 to at least `width` columns."""
    width = max(width, 1, *(len(s) for s in sequences))
    grid = torch.tensor([[*s, *[0] * (width - len(s))] for s in sequences])
    mask = torch.tensor([[i < len(s) for i in range(width)] for s in sequences])
    times = torch.arange(width).expand(len(sequences), width).clone()
    return Batch(grid, mask, times, torch.zeros(len(sequences), attributes))


def training_batch_of(sequences: Sequence[Sequence[int]], width: int = 0, attributes: int = 0) -> Batch:
    """Sequences as a batch for training: all but the last item as input, all but the first as targets, a user a row."""
    batch = batch_of([s[:-1] for s in sequences], width, attributes)
    targets = batch_of([s[1:] for s in sequences], batch.items.shape[1]).items
    target_mask: Tensor = batch.mask.clone()
    return Batch(batch.items, batch.mask, batch.times, batch.attributes, targets, target_mask, torch.arange(len(batch)))


def write_log(folder: Path, users: int = 40, items: int = 30, longest: int = 12, seed: int = 0) -> Path:
    """Writes the little world as `interactions.csv` and `items.csv`, ids as text and an hour between events.

    Every user has at least four events, so that a leave-last-out split keeps all of them.
    """
    folder.mkdir(parents=True, exist_ok=True)
    sequences = [s for s in tiny_sequences(4 * users, items, longest, seed) if len(s) >= 4][:users]
    start = 1_500_000_000
    with (folder / "interactions.csv").open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(("user_id", "item_id", "timestamp"))
        for user, sequence in enumerate(sequences):
            rows.writerows(
                (f"u{user}", f"i{n}", start + 7919 * user % 72_001 + 3600 * p) for p, n in enumerate(sequence)
            )
    catalogue = tiny_items(items)
    with (folder / "items.csv").open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(("item_id", "title", "colour", "thing"))
        for n, pairs in enumerate(catalogue.attributes):
            rows.writerow((f"i{n}", catalogue.titles[n], *(pair.partition("=")[2] for pair in pairs)))
    return folder


def right_successors(model: Learner, steps: int = 40, read: int = 1) -> int:
    """Trains the model on the little world, and returns for how many of the 29 items it ranks the successor first.

    Args:
        model: With its first weights.
        steps: Steps of training, each on all of that world.
        read: Length of the histories, each a chain of successors that ends at the item.
    """
    optimizer = torch.optim.AdamW(model.train().parameters(), lr=1e-2)
    batch = training_batch_of([s[:9] for s in tiny_sequences(users=200) if len(s) > 1])
    for _ in range(steps):
        optimizer.zero_grad()
        model.loss(batch).total.backward()
        optimizer.step()
    chains = [[item] for item in range(29)]
    for _ in range(read - 1):
        chains = [[*chain, successor(chain[-1], 30)] for chain in chains]
    best = model.eval().scores(batch_of(chains)).argmax(1).tolist()
    return sum(best[n] == successor(chain[-1], 30) for n, chain in enumerate(chains))
