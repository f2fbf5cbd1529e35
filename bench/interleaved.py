"""Times several ways of doing the same, turn by turn, so that a busy machine is busy for all of them alike."""

import json
import statistics
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

import torch

RESULTS = Path(__file__).parent / "results"


@dataclass(frozen=True)
class Timing:
    """One way's turns, in seconds.

    Attributes:
        wall: Median on the clock.
        lowest: Fastest turn on the clock.
        highest: Slowest turn on the clock.
        work: Median of the processor time of all threads; other people's load touches it little.
    """

    wall: float
    lowest: float
    highest: float
    work: float


@dataclass(frozen=True)
class Ratio:
    """How many times as long one way takes as another.

    Attributes:
        wall: Median over rounds of the ratio within a round, on the clock.
        work: The same in processor time.
        low: Lower quartile of the ratio on the clock.
        high: Upper quartile of it; the distance of the two is the noise.
    """

    wall: float
    work: float
    low: float
    high: float


class Rounds:
    """All turns of all ways."""

    def __init__(self, ways: dict[str, Callable[[], None]], rounds: int, warmup: int = 2) -> None:
        """Runs every way once in each round.

        Args:
            ways: What is timed, by name.
            rounds: Rounds that count.
            warmup: Rounds before, that do not.
        """
        self.wall: dict[str, list[float]] = {name: [] for name in ways}
        self.work: dict[str, list[float]] = {name: [] for name in ways}
        for number in range(warmup + rounds):
            for name, run in ways.items():
                wall, work = time.perf_counter(), time.process_time()
                run()
                if number >= warmup:
                    self.wall[name].append(time.perf_counter() - wall)
                    self.work[name].append(time.process_time() - work)

    def timing(self, name: str) -> Timing:
        """Returns one way's median and extremes."""
        wall = self.wall[name]
        return Timing(statistics.median(wall), min(wall), max(wall), statistics.median(self.work[name]))

    def ratio(self, over: str, under: str, without: str | None = None) -> Ratio:
        """Returns the time of `over` in units of the time of `under`, the time of `without` taken off both."""
        wall, work = _ratios(self.wall, over, under, without), _ratios(self.work, over, under, without)
        low, middle, high = statistics.quantiles(wall, n=4)
        return Ratio(middle, statistics.median(work), low, high)

    def table(self) -> str:
        """Returns a line for every way."""
        lines = [f"{'':28}{'median':>9}{'min':>9}{'max':>9}{'cpu':>9}   ms"]
        for name in self.wall:
            t = self.timing(name)
            cells = "".join(f"{1e3 * v:9.1f}" for v in (t.wall, t.lowest, t.highest, t.work))
            lines.append(f"{name:28}{cells}")
        return "\n".join(lines)


def _ratios(seconds: dict[str, list[float]], over: str, under: str, without: str | None) -> list[float]:
    base = statistics.median(seconds[without]) if without else 0.0
    return [(a - base) / (b - base) for a, b in zip(seconds[over], seconds[under], strict=True)]


def report(name: str, rounds: Rounds, ratios: dict[str, Ratio], setting: dict[str, object]) -> None:
    """Prints the table and the ratios and writes both to `results/NAME.json`.

    Args:
        name: Of the bench.
        rounds: Its turns.
        ratios: What is claimed, by the claim.
        setting: Sizes, and whatever else a reader must know.
    """
    print(rounds.table())
    for claim, r in ratios.items():
        print(f"{claim}: {r.wall:.3f} on the clock (quartiles {r.low:.3f} to {r.high:.3f}), {r.work:.3f} in cpu time")
    found = {
        "date": datetime.now(UTC).date().isoformat(),
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
        "setting": setting,
        "seconds": {way: asdict(rounds.timing(way)) for way in rounds.wall},
        "ratios": {claim: asdict(r) for claim, r in ratios.items()},
    }
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"{name}.json").write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
