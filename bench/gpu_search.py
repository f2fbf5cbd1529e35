"""The best ten of many items for many users on one card, beside the matrix products that it cannot do without."""

import time
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

from l2rec.serving import index
from l2rec.serving.index import Exact

PLACES = 10


@dataclass(frozen=True)
class Search:
    """What is searched; every user is timed and nothing is extrapolated.

    Attributes:
        users: How many are asked for.
        items: How many are looked at.
        widths: Widths D of the vectors.
        rows: Users in one call.
        device: `cuda` or `cpu`.
    """

    users: int
    items: int
    widths: tuple[int, ...]
    rows: int
    device: str


FULL = Search(1_000_000, 1_000_000, (64, 1024), 4096, "cuda")
SMALL = Search(2_000, 20_000, (64, 1024), 512, "cpu")


def measure(asked: Search) -> dict[str, Any]:
    """Returns seconds of both ways by width, as JSON can say it."""
    found = {}
    for width in asked.widths:
        made = torch.Generator(asked.device).manual_seed(0)
        items = torch.randn(asked.items, width, generator=made, device=asked.device)
        users = torch.randn(asked.users, width, generator=made, device=asked.device)
        searched, floor = Exact(items), _Floor(items, asked)
        _refuse_wrong_lists(searched, users[: min(16, asked.rows)])
        seconds: dict[str, float] = {}
        for name, run in (("products", floor.search), ("search", searched.search)):
            run(users[: asked.rows], PLACES)
            _wait(asked.device)
            begun = time.perf_counter()
            for some in torch.split(users, asked.rows):
                run(some, PLACES)
            _wait(asked.device)
            seconds[name] = time.perf_counter() - begun
        ratio = seconds["search"] / seconds["products"]
        found[str(width)] = seconds | {"ratio": ratio}
        print(
            f"top {PLACES} of {asked.users:,} users x {asked.items:,} items of width {width}: "
            f"{seconds['search']:.2f} s, the products alone {seconds['products']:.2f} s, ratio {ratio:.2f}",
            flush=True,
        )
    return {"asked": asdict(asked), "dtype": "float32", "by_width": found}


class _Floor:
    """The products alone, in the blocks of `Exact`, written to one place again and again."""

    def __init__(self, items: Tensor, asked: Search) -> None:
        self.items = items
        self.block = min(len(items), max(1, index.room(items.device.type) // asked.rows))
        self.place = items.new_empty(asked.rows * self.block)

    def search(self, users: Tensor, _: int) -> None:
        """Multiplies."""
        for block in torch.split(self.items, self.block):
            out = self.place[: len(users) * len(block)].view(len(users), len(block))
            torch.mm(users, block.T, out=out)


def _refuse_wrong_lists(searched: Exact, users: Tensor) -> None:
    """Compares a few lists with one look at all scores."""
    scores = searched.search(users, PLACES)[1]
    expected = (users @ searched.vectors.T).topk(PLACES, 1).values
    torch.testing.assert_close(scores, expected, rtol=1e-4, atol=1e-3)


def _wait(device: str) -> None:
    if device == "cuda":
        torch.cuda.synchronize()
