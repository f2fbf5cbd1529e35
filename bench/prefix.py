"""One new event on a long history: all of it read again, beside the new item alone with the prefix that was kept.

Random weights, one user, both views, 8 tokens an item, the CPU. `tiny` is a decoder of the size of the tests, `qwen3`
has the shape of Qwen3-0.6B cut to 4 of its 28 blocks, `minilm` is the bundled encoder, read causally as always. The
bytes are those of one user's prefix; the full Qwen3's are computed from its shape. Where a history is longer than the
window, the window slides with each event and nothing of it is a prefix: how often that is, is counted on
ml-latest-small.

    python bench/prefix.py [--rounds 15] [--threads 1] [--items 50]
"""

import argparse
import tempfile
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn
from transformers import Qwen3Config

from interleaved import Rounds, report
from l2rec.data import sample
from l2rec.nn import backbone
from l2rec.nn.continuing import read_on
from l2rec.nn.network import Network, Plan
from l2rec.nn.prefix import Prefix
from l2rec.nn.prompts import Tokens
from l2rec.nn.router import SIGNALS, Pools
from l2rec.types import Batch

POOLS = Pools(shared=2, semantic=4, behavioural=4, rank=8, top=2)
CATALOGUE, TOKENS, WORDS = 200, 8, 2000
WINDOWS = (20, 50, 100)
BLOCKS, KEPT = 28, 4
"""Blocks of Qwen3-0.6B, and how many of them are read here."""


def decoder(width: int, blocks: int, heads: tuple[int, int, int], inner: int) -> backbone.Backbone:
    """Returns a Qwen3 with random weights; `heads` are those of queries, of keys, and the width of one."""
    config = Qwen3Config(
        vocab_size=WORDS,
        hidden_size=width,
        num_hidden_layers=blocks,
        num_attention_heads=heads[0],
        num_key_value_heads=heads[1],
        head_dim=heads[2],
        intermediate_size=inner,
    )
    return backbone.from_config(config, torch.bfloat16)


def network(frozen: backbone.Backbone) -> Network:
    """Returns a dual-view network whose experts are not zero."""
    plan = Plan(
        pools=POOLS,
        targets="ffn",
        scale=2.0,
        signals=SIGNALS,
        router_width=8,
        projector_width=256,
        views="both",
        inject=False,
        fusion="acf",
        dropout=0.0,
        id_dropout=0.0,
        temperature=0.07,
    )
    text = nn.functional.normalize(torch.randn(CATALOGUE, frozen.width), dim=-1)
    made = Network(plan, frozen, text, torch.ones(CATALOGUE, dtype=torch.bool), 0)
    for name, parameter in made.named_parameters():
        if name.endswith("up"):
            nn.init.normal_(parameter, std=0.02)
    return made.eval()


def whole(made: Network, tokens: Tokens, history: list[int]) -> Tensor:
    """Returns the vector as a model without a prefix makes it."""
    items = torch.tensor([history])
    batch = Batch(items, torch.ones_like(items, dtype=torch.bool), items, torch.zeros(1, 0))
    rows, state = made.rows(batch, tokens)
    projected = made.project([hidden[:, -1] for hidden in made.read(rows)])
    return nn.functional.normalize(made.fuse(projected, state[:, -1]), dim=-1) / made.temperature()


def ways(name: str, made: Network, history: list[int]) -> tuple[dict[str, Callable[[], None]], Prefix, float]:
    """Returns both ways, the prefix that the second starts from, and how far their vectors are apart, in lengths."""
    tokens = Tokens(torch.randint(10, WORDS, (CATALOGUE, TOKENS)), torch.full((CATALOGUE,), TOKENS), 2)
    nobody = torch.zeros(1, 0)
    prefix = read_on(made, tokens, None, [history[:-1]], nobody)[1][0]
    assert prefix is not None
    given = [prefix]
    expected, found = whole(made, tokens, history), read_on(made, tokens, given, [history], nobody)[0]

    def again() -> None:
        whole(made, tokens, history)

    def on() -> None:
        read_on(made, tokens, given, [history], nobody)

    return (
        {f"{name}, all again": again, f"{name}, the new alone": on},
        prefix,
        float((found - expected).norm() / expected.norm()),
    )


def slides() -> dict[int, float]:
    """Returns, by window, the share of ml-latest-small's training events after which the window has slid."""
    with tempfile.TemporaryDirectory() as folder:
        lengths = sample.load_or_prepare(Path(folder)).train.lengths()
    return {w: round(float((lengths - w).clamp(min=0).sum() / lengths.sum()), 3) for w in WINDOWS}


@torch.no_grad()
def main() -> None:
    """Runs the comparison."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--items", type=int, default=50)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    history = torch.randint(CATALOGUE, (options.items + 1,)).tolist()
    made = {
        "tiny": network(decoder(16, 2, (2, 1, 8), 32)),
        "minilm": network(backbone.load(backbone.MINILM, dtype=torch.bfloat16)),
        f"qwen3 ({KEPT} blocks)": network(decoder(1024, KEPT, (16, 8, 128), 3072)),
    }
    found = {name: ways(name, one, history) for name, one in made.items()}
    rounds = Rounds({way: run for both, _, _ in found.values() for way, run in both.items()}, options.rounds)
    size = {name: prefix.size for name, (_, prefix, _) in found.items()}
    real = found[f"qwen3 ({KEPT} blocks)"][1]
    states = sum(tensor.numel() * tensor.element_size() for tensor in (*real.keys, *real.values))
    size[f"qwen3 ({BLOCKS} blocks), computed"] = real.size + states * (BLOCKS - KEPT) // KEPT
    print("bytes a user: " + ", ".join(f"{name} {count:,}" for name, count in size.items()))
    far = {name: distance for name, (_, _, distance) in found.items()}
    print("distance of the two vectors, in lengths: " + ", ".join(f"{name} {d:.1e}" for name, d in far.items()))
    slid = slides()
    print("events after which the window slid: " + ", ".join(f"{w} items {100 * s:.0f} %" for w, s in slid.items()))
    ratios = {f"{n}: all again / the new alone": rounds.ratio(f"{n}, all again", f"{n}, the new alone") for n in made}
    setting = {"items read before": options.items, "tokens an item": TOKENS, "dtype": "bfloat16"}
    more = {"bytes a user": size, "distance of the vectors": far, "share of events after which the window slid": slid}
    report("prefix", rounds, ratios, setting | more)


if __name__ == "__main__":
    main()
