"""Both views in one forward call beside one call per view: time side by side, peak memory in processes of their own.

Forward and backward of MiniLM with experts, 8 tokens an item, for the longest histories (20 items: 161 semantic
positions and 20 behavioural ones a row) and for those of the usual batch (5 items: 41 and 5). As the loss ties the
views, the graphs of both calls are alive until the backward pass.

    python bench/dual_view.py [--rounds 15] [--threads 1]
"""

import argparse
import resource
import subprocess
import sys
from collections.abc import Callable

import torch
from torch import nn

from interleaved import Rounds, report
from l2rec.nn import backbone
from l2rec.nn.inject import DualView
from l2rec.nn.router import SIGNALS, Layout, Pools
from l2rec.nn.views import Rows, causal, side_by_side
from l2rec.training.memory import keep_freed_memory

POOLS = Pools(shared=2, semantic=4, behavioural=4, rank=8, top=2)
WIDTH, TOKENS = 384, 8
HISTORIES = {20: 32, 5: 64}
"""Rows of a batch by the items of a history."""


def view(rows: int, length: int, layout: Layout) -> Rows:
    """Returns one view of full rows."""
    mask = torch.ones(rows, length, dtype=torch.bool)
    words = (torch.randn(rows, length, WIDTH) / 20).requires_grad_()
    positions = torch.arange(length).expand(rows, -1)
    return Rows(words, mask, causal(mask), positions, torch.randn(rows, length, WIDTH) / 20, layout, None)


def model() -> DualView:
    """Returns MiniLM with experts that are not zero."""
    made = DualView(backbone.load(backbone.MINILM, dtype=torch.bfloat16), POOLS, "ffn", 2.0, 8, SIGNALS)
    for name, parameter in made.named_parameters():
        if name.endswith("up"):
            nn.init.normal_(parameter, std=0.02)
    return made


def step(made: DualView, calls: list[Rows]) -> None:
    """Runs forward through each of `calls` and back through all."""
    found = [made(r.embeddings, r.visible, r.positions, r.user, r.layout) for r in calls]
    torch.stack([hidden.square().mean() for hidden in found]).sum().backward()
    made.zero_grad()


def ways(items: int, made: DualView) -> dict[str, Callable[[], None]]:
    """Returns a step of each way, on the same weights and inputs."""
    rows, tokens = HISTORIES[items], items * TOKENS + 1
    semantic = view(rows, tokens, Layout(tokens, 0))
    behavioural = view(rows, items, Layout(0, items))
    return {
        f"one call, {items} items": lambda: step(made, [side_by_side(semantic, behavioural)]),
        f"two calls, {items} items": lambda: step(made, [semantic, behavioural]),
    }


def peak(way: str) -> float:
    """Returns the peak resident MiB of a process that takes two such steps; of one that takes none for `loaded`."""
    command = [sys.executable, __file__, "--peak", way]
    told = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return float(told.strip().splitlines()[-1])


def all_ways() -> dict[str, Callable[[], None]]:
    """Returns the steps of every length of history."""
    made = model()
    return {way: run for items in HISTORIES for way, run in ways(items, made).items()}


def print_peak(way: str) -> None:
    """Runs in the process that is measured; Linux counts in KiB, macOS in bytes."""
    steps = all_ways()
    for _ in range(2 if way in steps else 0):
        steps[way]()
    unit = 2**20 if sys.platform == "darwin" else 2**10
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit)


def main() -> None:
    """Runs the comparison."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--peak", help=argparse.SUPPRESS)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    keep_freed_memory()  # as every training does
    if options.peak:
        print_peak(options.peak)
        return
    # First, while this process is small: on Linux a child's peak begins at its parent's.
    names = [f"{calls}, {items} items" for items in HISTORIES for calls in ("one call", "two calls")]
    memory = {way: round(peak(way), 1) for way in ("loaded", *names)}
    rounds = Rounds(all_ways(), options.rounds, warmup=1)
    print("peak resident memory, MiB: " + ", ".join(f"{way} {size:.0f}" for way, size in memory.items()))
    ratios = {
        f"one call / two calls, {items} items (at most 1)": rounds.ratio(
            f"one call, {items} items", f"two calls, {items} items"
        )
        for items in HISTORIES
    }
    report("dual_view", rounds, ratios, {"rows by items": HISTORIES, "peak_resident_mib": memory})


if __name__ == "__main__":
    main()
