"""Training steps of L2Rec on Qwen3-0.6B's shape: tokens and operations a second, memory, and what experts cost."""

import gc
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

import gpu_flops
import gpu_model
from gpu_model import Shape
from interleaved import Rounds
from l2rec.config import TrainingSettings
from l2rec.models.llm.l2rec import Model
from l2rec.training.optim import adamw
from l2rec.training.processes import Processes
from l2rec.training.step import Step

GOAL, LOSS = 0.45, 0.15
"""Share of the card's rate that is wanted with experts on, and the throughput that they may cost against plain LoRA."""
OURS, PLAIN, PEFT, COMPILED = "experts", "plain LoRA", "PEFT's LoRA", "experts, compiled"


@dataclass(frozen=True)
class Speed:
    """What is measured.

    Attributes:
        shape: Sizes of the model.
        device: `cuda` or `cpu`.
        rounds: Steps of each way that count.
        most: Rows of a batch beyond which nobody looks whether they fit.
        matrix: Sides of the matrices that the device's rate is taken with.
    """

    shape: Shape
    device: str
    rounds: int
    most: int
    matrix: tuple[int, ...]


FULL = Speed(gpu_model.QWEN, "cuda", 20, 4096, (4096, 8192, 16384))
SMALL = Speed(gpu_model.SMALL, "cpu", 3, 8, (512, 1024))


class Trainer:
    """One model with its optimizer; a call is one step as the training loop takes it."""

    def __init__(self, model: Model, asked: Speed, folder: Path) -> None:
        """Moves the model to the device."""
        self.model = model.train()
        self.shape = asked.shape
        chosen = TrainingSettings()
        self.device = Processes(asked.device, folder)
        self.step = Step(self.device, model, chosen)
        self.optimizer = adamw(model, chosen)

    def __call__(self, rows: int) -> None:
        """Takes a step and waits until it is done.

        Raises:
            RuntimeError: the loss or the gradient is no number.
        """
        taken = self.step([gpu_model.batch(self.shape, rows)])
        if not taken.is_finite:
            raise RuntimeError(f"loss {taken.loss}, gradient {taken.grad_norm}: no numbers, so no speed")
        self.optimizer.step()
        wait(self.device.device.type)

    def peak(self, rows: int) -> int | None:
        """Returns the most bytes of the card that one step holds at a time, this model's share; None on a CPU."""
        if self.device.device.type != "cuda":
            return None
        self(rows)
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
        self(rows)
        return torch.cuda.max_memory_allocated()

    def fits(self, rows: int) -> bool:
        """Returns whether a step of so many rows finds room."""
        try:
            self(rows)
        except torch.OutOfMemoryError:
            found = False
        else:
            found = True
        for parameter in self.model.parameters():
            parameter.grad = None
        gc.collect()
        if self.device.device.type == "cuda":
            torch.cuda.empty_cache()
        return found


def wait(device: str) -> None:
    """Returns when the card has done what it was given."""
    if device == "cuda":
        torch.cuda.synchronize()


def largest(fits: Callable[[int], bool], most: int) -> int:
    """Returns the most rows that fit, by doubling and then bisection; 0 where one does not, at most `most`."""
    low, high = 0, 1
    while high <= most and fits(high):
        low, high = high, 2 * high
    high = min(high, most + 1)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if fits(middle) else (low, middle)
    return low


def matrix_rate(asked: Speed) -> dict[str, float]:
    """Returns operations a second of `torch.matmul` on square bf16 matrices by their side, the best of several."""
    found = {}
    for side in asked.matrix:
        left, right = torch.randn(2, side, side, device=asked.device, dtype=torch.bfloat16).unbind()
        out, seconds = torch.empty_like(left), []
        for _ in range(8):
            wait(asked.device)
            begun = time.perf_counter()
            for _ in range(4):
                torch.matmul(left, right, out=out)
            wait(asked.device)
            seconds.append((time.perf_counter() - begun) / 4)
        found[str(side)] = 2 * side**3 / min(seconds)
    return found


def measure(asked: Speed) -> dict[str, Any]:
    """Returns everything that is found, as JSON can say it."""
    torch.manual_seed(0)
    rates = matrix_rate(asked)
    for side, rate in rates.items():
        print(f"matrix product, bf16, {side} x {side}: {rate / 1e12:.2f} TFLOP/s", flush=True)
    with tempfile.TemporaryDirectory() as place:
        folder = gpu_model.write_backbone(asked.shape, Path(place))
        ours = Trainer(gpu_model.with_experts(asked.shape, folder), asked, folder)
        most = largest(ours.fits, asked.most)
        rows = max(1, most // 2)  # so that the others find room beside it
        print(f"largest batch: {most} rows of {asked.shape.positions} positions; timed with {rows}", flush=True)
        ways = Ways({OURS: ours}, {OURS: ours.peak(rows)}, {}, {})
        counted = _counted(ours, rows)
        rank = gpu_model.equal_rank(ours.model, asked.shape)
        ways.add(PLAIN, lambda: gpu_model.with_lora(asked.shape, folder, rank, "plain"), asked, folder, rows)
        ways.add(PEFT, lambda: gpu_model.with_lora(asked.shape, folder, rank, "peft"), asked, folder, rows)
        ways.add(COMPILED, lambda: gpu_model.compiled(gpu_model.with_experts(asked.shape, folder)), asked, folder, rows)
        rounds = Rounds({name: lambda t=one: t(rows) for name, one in ways.trainers.items()}, asked.rounds)
    print(rounds.table())
    told = {"rows": rows, "largest": most, "rates": rates, "counted": counted, "rank": rank}
    return _found(asked, rounds, ours.model, told) | {
        "attention": ours.model.network.reader.backbone.network.config._attn_implementation,
        "peak_bytes": ways.memory,
        "compile": ways.graphs,
        "failed": ways.failed,
    }


@dataclass(frozen=True)
class Ways:
    """The models that take turns.

    Attributes:
        trainers: Those that run, by name.
        memory: Most bytes of the card that a step of each holds at a time, the other models' left out.
        failed: What the others died of.
        graphs: What the compiler says of itself.
    """

    trainers: dict[str, Trainer]
    memory: dict[str, int | None]
    failed: dict[str, str]
    graphs: dict[str, Any]

    def add(self, name: str, make: Callable[[], Model], asked: Speed, folder: Path, rows: int) -> None:
        """Builds a model and takes its first steps; what it dies of is kept and said, and the others go on."""
        begun = time.perf_counter()
        try:
            trainer = Trainer(make(), asked, folder)
            others = torch.cuda.memory_allocated() - _bytes(trainer.model) if asked.device == "cuda" else 0
            trainer(rows)
            peak = trainer.peak(rows)
        except Exception as error:  # whatever a compiler may say
            self.failed[name] = f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
            print(f"{name}: FAILED: {self.failed[name]}", flush=True)
            return
        self.memory[name] = None if peak is None else peak - others
        self.trainers[name] = trainer
        if name == COMPILED:
            self.graphs.update(_graphs())
        print(f"{name}: built and warm after {time.perf_counter() - begun:.0f} s", flush=True)


def _bytes(model: Model) -> int:
    return sum(t.numel() * t.element_size() for t in (*model.parameters(), *model.buffers()))


def _graphs() -> dict[str, Any]:
    """What the compiler says of itself: graphs, and why it broke off, the most frequent first."""
    from torch._dynamo.utils import counters

    breaks = sorted(counters["graph_break"].items(), key=lambda pair: -pair[1])
    return {
        "graphs": counters["stats"]["unique_graphs"],
        "breaks": {" ".join(why.split())[:200]: count for why, count in breaks[:5]},
    }


def _counted(trainer: Trainer, rows: int) -> int:
    """What torch itself counts in one step, hidden pairs and shut experts included."""
    with FlopCounterMode(display=False) as counter:
        trainer(rows)
    return int(counter.get_total_flops())


def _verdict(asked: Speed, met: bool) -> str:
    """Says whether a goal is met; nothing where the model is not the one that the goals are set for."""
    if asked.shape != gpu_model.QWEN or asked.device != "cuda":
        return ", no claim"
    return ": met" if met else ": missed"


def _found(asked: Speed, rounds: Rounds, model: Model, told: dict[str, Any]) -> dict[str, Any]:
    rows, rate = told["rows"], max(told["rates"].values())
    needed = gpu_flops.needed(asked.shape, model.config, rows)
    dense = sum(gpu_flops.dense(asked.shape, model.config, rows).values())
    total, ways = sum(needed.values()), {}
    print(f"a step needs {total:.3e} operations; dense {dense:.3e}, counted by torch {told['counted']:.3e}")
    for name in rounds.wall:
        seconds = rounds.timing(name).wall
        ways[name] = {"seconds": seconds, "tokens_per_second": rows * asked.shape.positions / seconds}
        if name in (OURS, COMPILED):
            share = total / seconds / rate
            ways[name] |= {"flops_per_second": total / seconds, "share_of_matrix_rate": share}
            print(f"{name}: {share:.1%} of the matrix rate (goal {GOAL:.0%}){_verdict(asked, share >= GOAL)}")
        print(f"{name}: {ways[name]['tokens_per_second']:,.0f} tokens/s")
    lost = {}
    for name in (PLAIN, PEFT):
        if name in rounds.wall:
            lost[name] = 1 - 1 / rounds.ratio(OURS, name).wall
            bar = f"(at most {LOSS:.0%}){_verdict(asked, lost[name] <= LOSS)}"
            print(f"throughput lost against {name}: {lost[name]:.1%} {bar}")
    return {
        "shape": asdict(asked.shape),
        "rows": rows,
        "largest_batch": told["largest"],
        "looked_up_to": asked.most,
        "matrix_flops_per_second": told["rates"],
        "formula": gpu_flops.FORMULA,
        "needed_flops": needed,
        "dense_flops": dense,
        "flops_counted_by_torch": told["counted"],
        "lora_rank": told["rank"],
        "trainable_of_experts": gpu_model.correction(model),
        "ways": ways,
        "throughput_lost_against": lost,
    }
