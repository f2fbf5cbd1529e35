"""Stacked experts beside PEFT's plain LoRA of the same total rank, and beside a Python loop over experts.

Forward and backward of the six frozen layers of MiniLM in bfloat16 with 2 shared, 4 semantic and 4 behavioural experts
of rank 8 on the feed-forward matrices, routers and load balance included. PEFT's rank is that of all experts together:
80. The loop runs one down-projection, gate and up-projection per expert; it is given its gates and pays for no router.
By default it does the arithmetic of the stacked experts, every expert at every position; a second one leaves out the
positions of the other view. As the frozen layers take most of the time, the ratios are also given without them.

    python bench/experts.py [--rounds 15] [--threads 1] [--rows 32]
"""

import argparse
from collections.abc import Callable

import torch
from peft import LoraConfig, inject_adapter_in_model
from torch import Tensor, nn
from torch.nn import functional

from interleaved import Rounds, report
from l2rec.nn import backbone
from l2rec.nn.inject import DualView, blocks
from l2rec.nn.router import SIGNALS, Layout, Pools, balance_loss
from l2rec.nn.views import causal
from l2rec.training.memory import keep_freed_memory

SEMANTIC, BEHAVIOURAL = 112, 16
EVERYWHERE = slice(0, SEMANTIC + BEHAVIOURAL)
POOLS = Pools(shared=2, semantic=4, behavioural=4, rank=8, top=2)
FFN = r".*layer\.\d+\.(intermediate|output)\.dense"


class LoopedLinear(nn.Module):
    """A frozen layer whose experts take turns."""

    def __init__(self, base: nn.Linear, gates: Tensor, parts: list[slice]) -> None:
        """Takes the layer, one gate for every position and expert, and the positions that each expert runs on."""
        super().__init__()
        self.base = base
        self.gates = gates
        self.parts = parts
        self.downs = nn.ParameterList(torch.randn(POOLS.rank, base.in_features) / 20 for _ in parts)
        self.ups = nn.ParameterList(torch.randn(base.out_features, POOLS.rank) / 20 for _ in parts)

    def forward(self, x: Tensor) -> Tensor:
        """Returns the layer's output, bent by one expert after another."""
        y = self.base(x)
        for number, (down, up, part) in enumerate(zip(self.downs, self.ups, self.parts, strict=True)):
            bent = functional.linear(functional.linear(x[:, part], down) * self.gates[:, part, number, None], up)
            if part == EVERYWHERE:
                y = y + bent
            else:
                y[:, part] += bent
        return y


def backward(hidden: Tensor, model: nn.Module) -> None:
    """Runs back through everything, into fresh gradients."""
    hidden.square().mean().backward()
    for parameter in model.parameters():
        parameter.grad = None


class Inputs:
    """One batch: rows of 128 positions, two views of the history in each."""

    def __init__(self, rows: int, width: int) -> None:
        """Draws them."""
        length = SEMANTIC + BEHAVIOURAL
        mask = torch.ones(rows, length, dtype=torch.bool)
        self.visible = causal(mask)
        self.visible[:, SEMANTIC:, :SEMANTIC] = False
        self.words = torch.randn(rows, length, width) / 20
        self.words.requires_grad_()
        self.user = torch.randn(rows, length, width) / 20
        self.positions = torch.cat([torch.arange(SEMANTIC), torch.arange(BEHAVIOURAL)]).expand(rows, -1)
        self.layout = Layout(SEMANTIC, BEHAVIOURAL)
        self.mask = mask


def stacked(inputs: Inputs) -> Callable[[], None]:
    """Returns a step of the experts of l2rec."""
    model = DualView(backbone.load(backbone.MINILM, dtype=torch.bfloat16), POOLS, "ffn", 2.0, 8, SIGNALS)
    for name, parameter in model.named_parameters():
        if name.endswith("up"):
            nn.init.normal_(parameter, std=0.02)

    def step() -> None:
        hidden = model(inputs.words, inputs.visible, inputs.positions, inputs.user, inputs.layout)
        terms = [
            balance_loss(choice, inputs.mask[:, part])
            for pair in model.choices
            for choice, part in zip(pair, inputs.layout.slices, strict=True)
            if choice is not None
        ]
        backward(hidden + 0.01 * torch.stack(terms).mean(), model)

    return step


def plain(inputs: Inputs, rank: int) -> Callable[[], None]:
    """Returns a step of PEFT's LoRA; of the frozen layers alone where the rank is 0."""
    model = backbone.load(backbone.MINILM, dtype=torch.bfloat16)
    if rank:
        config = LoraConfig(r=rank, lora_alpha=2 * rank, lora_dropout=0.0, target_modules=FFN)
        inject_adapter_in_model(config, model.network)
        for name, parameter in model.named_parameters():
            if "lora_" in name:
                parameter.data = parameter.data.float()  # as PEFT's own `get_peft_model` keeps them
            if "lora_B" in name:
                nn.init.normal_(parameter, std=0.02)
        assert sum("lora_A" in name for name, _ in model.named_parameters()) == 12

    return lambda: backward(model(inputs.words, inputs.visible, inputs.positions), model)


def looped(inputs: Inputs, parts: list[slice]) -> Callable[[], None]:
    """Returns a step of a loop over experts."""
    model = backbone.load(backbone.MINILM, dtype=torch.bfloat16)
    gates = torch.rand(*inputs.mask.shape, len(parts)).bfloat16().requires_grad_()
    for block in blocks(model.network):
        block.intermediate.dense = LoopedLinear(block.intermediate.dense, gates, parts)
        block.output.dense = LoopedLinear(block.output.dense, gates, parts)

    def step() -> None:
        backward(model(inputs.words, inputs.visible, inputs.positions), model)
        gates.grad = None

    return step


def main() -> None:
    """Runs the comparison."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rows", type=int, default=32)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    keep_freed_memory()  # as every training does
    inputs = Inputs(options.rows, 384)
    ours, lora, frozen = "stacked experts", f"PEFT LoRA, rank {POOLS.ranks}", "frozen layers alone"
    loop, sliced = "loop over experts", "loop, own view's positions"
    every = [EVERYWHERE] * (POOLS.shared + POOLS.semantic + POOLS.behavioural)
    own = [EVERYWHERE] * POOLS.shared + [inputs.layout.slices[0]] * POOLS.semantic
    ways = {
        ours: stacked(inputs),
        lora: plain(inputs, POOLS.ranks),
        loop: looped(inputs, every),
        sliced: looped(inputs, own + [inputs.layout.slices[1]] * POOLS.behavioural),
        frozen: plain(inputs, 0),
    }
    rounds = Rounds(ways, options.rounds, warmup=1)
    ratios = {
        "stacked / PEFT LoRA (at most 1.15)": rounds.ratio(ours, lora),
        "loop / stacked (at least 3)": rounds.ratio(loop, ours),
        "loop on own positions / stacked": rounds.ratio(sliced, ours),
        "loop / stacked, frozen layers taken off": rounds.ratio(loop, ours, frozen),
        "loop on own positions / stacked, frozen layers taken off": rounds.ratio(sliced, ours, frozen),
    }
    setting: dict[str, object] = {"batch": options.rows, "semantic": SEMANTIC, "behavioural": BEHAVIOURAL, "layers": 6}
    report("experts", rounds, ratios, setting)


if __name__ == "__main__":
    main()
