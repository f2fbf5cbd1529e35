"""The service under load from a second process: lists made ahead, fresh answers, and how soon it is ready.

Lists made ahead stand beside an empty FastAPI endpoint under the same server, turn by turn. A fresh answer is an event
and then the list of that user, whose history has 50 items and grows, on MiniLM; it stands beside the bare forward
pass of the same model over 50 items, on as many threads as the server gives its model and on all cores, and beside a
server that may not batch. After some seconds other people come, before a history is longer than what the model reads.

    python bench/serve.py [--run runs/demo/l2rec] [--rounds 5] [--seconds 4] [--users 1000000]

Without `--run` the demonstration's model is trained first. For the fresh answers another one, which reads 60 items, is
trained on a few of the sample's users, so that a history of 50 may grow before the window slides.
"""

import argparse
import itertools
import json
import os
import resource
import signal
import socket
import statistics
import subprocess
import sys
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch

from interleaved import RESULTS
from l2rec.serving.model.live import Ask, Live
from load import Heard, get, load, post
from serve_worlds import command, few, million, trained

HERE = Path(__file__).resolve().parent
EMPTY = "bench_empty:app"
LIVE = "/readyz?model=live"
"""Answers 200 when the model does, not lists made ahead alone."""
HISTORY, PEOPLE, CONNECTIONS = 50, 100, 32
Found = dict[str, object]


def main() -> None:
    """Runs all parts, prints what was found, and writes `results/serve.json`."""
    options = arguments()
    with TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        here = Path(folder)
        run = options.run or trained(here / "run", "sample")
        store = f"sqlite:///{here / 'store.db'}"
        command("publish", str(run), "--store", store, "--k", "100")
        found: Found = {"date": datetime.now(UTC).date().isoformat(), "torch": torch.__version__}
        found["cores"] = os.cpu_count()
        parts = options.only.split(",")
        if "start" in parts:
            found["start"] = started(store, options.rounds, "the sample", 3, options.workers)
        if "cached" in parts:
            found["cached"] = cached(store, run, options.rounds, options.seconds)
        if "fresh" in parts:
            found["fresh"] = fresh(here, options.seconds)
        if "million" in parts:
            many = million(here, store, options.users)
            found["start with many users"] = started(many, options.rounds, f"{options.users:,} users", 15)
    RESULTS.mkdir(exist_ok=True)
    file = RESULTS / "serve.json"
    before = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    others = before if before.get("date") == found["date"] else {}  # parts that ran on the same day stay
    file.write_text(json.dumps(others | found, indent=1) + "\n", encoding="utf-8")


def arguments() -> argparse.Namespace:
    """Returns the options."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--run", type=Path, help="run folder of an l2rec on the bundled sample, window above 50 items")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--users", type=int, default=1_000_000)
    parser.add_argument("--workers", type=int, default=1, help="server processes whose start is measured")
    parser.add_argument("--only", default="start,cached,fresh,million")
    return parser.parse_args()


@contextmanager
def served(*words: str, probe: str) -> Iterator[tuple[int, float]]:
    """Starts a server on a free port; gives the port and the seconds until it answered `probe` with 200."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    began = time.perf_counter()
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join([str(HERE), os.environ.get("PYTHONPATH", "")])}
    server = subprocess.Popen([sys.executable, "-m", *words, "--port", str(port)], env=environ, stderr=subprocess.PIPE)
    try:
        while not answers(port, probe):
            if server.poll() is not None:
                assert server.stderr is not None
                raise SystemExit(server.stderr.read().decode())
            time.sleep(0.01)
        yield port, time.perf_counter() - began
    finally:
        server.send_signal(signal.SIGTERM)
        server.wait(60)


def answers(port: int, path: str) -> bool:
    """Whether a path is answered with 200."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=2) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def started(store: str, rounds: int, what: str, bar: float, workers: int = 1) -> Found:
    """Prints and returns the seconds from the command until lists made ahead are answered, and until the model is live.

    The bar is on the first, /readyz; the second is /readyz?model=live. CPU seconds are those of the server until then.
    """
    ready, live, cpu = [], [], []
    for _ in range(rounds):
        before = cpu_seconds()
        began = time.perf_counter()
        with served("l2rec", "serve", "--store", store, "--workers", str(workers), probe="/readyz") as (port, took):
            ready.append(took)
            while not answers(port, LIVE):
                time.sleep(0.01)
            live.append(time.perf_counter() - began)
        cpu.append(cpu_seconds() - before)
    found = {"ready": {**spread(ready), "bar": bar}, "model live": spread(live), "CPU": spread(cpu)}
    for name, told in found.items():
        limit = f" (bar {bar} s)" if "bar" in told else ""
        print(f"start, {what}, {name}: {told['median']:.2f} s{limit}, {told['lowest']:.2f} to {told['highest']:.2f}")
    return {**found, "workers": workers}


def cpu_seconds() -> float:
    """Returns the CPU seconds of the processes that were started here and have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def cached(store: str, run: Path, rounds: int, seconds: float) -> Found:
    """Prints and returns how many lists made ahead are answered beside an empty endpoint, and how late at half that."""
    users = itertools.cycle(published(run))
    empty_word = ("uvicorn", EMPTY, "--log-level", "warning", "--no-access-log", "--no-server-header")
    with (
        served("l2rec", "serve", "--store", store, probe=LIVE) as (ours, _),
        served(*empty_word, probe="/") as (empty, _),
    ):
        asks = {ours: lambda: [get(f"/v1/users/{next(users)}/recommendations")], empty: lambda: [get("/")]}
        rates: dict[int, list[float]] = {ours: [], empty: []}
        for _ in range(rounds):
            for port, ask in asks.items():
                rates[port].append(checked(load(port, ask, seconds=seconds, connections=CONNECTIONS)).rate)
        half = statistics.median(rates[ours]) / 2
        tails: dict[int, list[float]] = {ours: [], empty: []}
        for _ in range(rounds):
            for port, ask in asks.items():
                heard = checked(load(port, ask, seconds=seconds, connections=CONNECTIONS, rate=half))
                tails[port].append(heard.quantile(0.99))
    shares = [a / b for a, b in zip(rates[ours], rates[empty], strict=True)]
    late = [a / b for a, b in zip(tails[ours], tails[empty], strict=True)]
    told: Found = {
        "lists a second": statistics.median(rates[ours]),
        "empty endpoint a second": statistics.median(rates[empty]),
        "share (at least 0.6)": spread(shares),
        "p99 at half that load, ms": 1e3 * statistics.median(tails[ours]),
        "p99 of the empty endpoint, ms": 1e3 * statistics.median(tails[empty]),
        "p99 ratio (at most 3)": spread(late),
    }
    print_all("list made ahead", told)
    return told


def fresh(here: Path, seconds: float) -> Found:
    """Prints and returns how late a list follows an event, and what batching brings."""
    run, store = trained(here / "reader", str(few(here / "few")), "model.history=60"), f"sqlite:///{here / 'few.db'}"
    command("publish", str(run), "--store", store)
    live = Live.load(run)
    cores = os.cpu_count() or 1
    bare, widest = forward(live, max(1, cores - 1)), forward(live, cores)
    users, items = newcomers(live), live.catalogue.ids
    rates: dict[int, float] = {}
    for largest in (1, 32):
        with served("l2rec", "serve", "--store", store, "--max-batch", str(largest), probe=LIVE) as (port, _):
            rates[largest] = turned(port, users, items, [seconds] * 3).rate
            if largest > 1:
                heard = turned(port, users, items, [seconds] * 5, 0.6 * rates[largest])
    told: Found = {
        "bare forward over 50 items, ms": 1e3 * bare,
        "the same on all cores, ms": 1e3 * widest,
        "fresh answers a second": rates[32],
        "one at a time a second": rates[1],
        "batching (at least 2)": rates[32] / rates[1],
        "p50 at 60 %, ms": 1e3 * heard.quantile(0.5),
        "p99 at 60 %, ms": 1e3 * heard.quantile(0.99),
        "p50 / bare forward (at most 1.5)": heard.quantile(0.5) / bare,
        "p99 / bare forward (at most 4)": heard.quantile(0.99) / bare,
        "p50 / bare forward on all cores": heard.quantile(0.5) / widest,
        "p99 / bare forward on all cores": heard.quantile(0.99) / widest,
    }
    print_all("event, then list", told)
    return told


def turned(
    port: int, users: list[list[str]], items: list[str], seconds: Sequence[float], rate: float | None = None
) -> Heard:
    """Returns what came back from several loads, each of other people, so that no history outgrows the window."""
    statuses: Counter[int] = Counter()
    late, wall = list[float](), 0.0
    for number, each in enumerate(seconds):
        turns = Turns(port, users, items, f"{'all' if rate is None else 'some'}-{number}")
        heard = checked(load(port, turns, seconds=each, connections=CONNECTIONS, rate=rate))
        late, wall = [*late, *heard.seconds], wall + heard.wall
        statuses.update(heard.statuses)
    return Heard(late, dict(statuses), wall)


class Turns:
    """An event of somebody whose history has some 50 items, then the list of that user."""

    def __init__(self, port: int, users: list[list[str]], items: list[str], name: str) -> None:
        """Reports the histories first."""
        self._name, self._turn, self._items = name, itertools.count(), items
        self._people = len(users)
        for number, history in enumerate(users):
            events = [
                {"event_id": f"{name}-{number}-{place}", "user_id": f"{name}-{number}", "item_id": item}
                for place, item in enumerate(history)
            ]
            request = urllib.request.Request(
                f"http://127.0.0.1:{port}/v1/events",
                json.dumps({"events": events}).encode(),
                {"Content-Type": "application/json"},
            )
            urllib.request.urlopen(request, timeout=30).read()
            urllib.request.urlopen(f"http://127.0.0.1:{port}/v1/users/{name}-{number}/recommendations").read()

    def __call__(self) -> list[bytes]:
        """Returns the two requests."""
        turn = next(self._turn)
        user, item = f"{self._name}-{turn % self._people}", self._items[(7919 * turn) % len(self._items)]
        event = {"event_id": f"{self._name}-turn-{turn}", "user_id": user, "item_id": item}
        body = json.dumps({"events": [event]}).encode()
        return [post("/v1/events", body), get(f"/v1/users/{user}/recommendations?deadline_ms=60000")]


def forward(live: Live, threads: int) -> float:
    """Returns the median seconds of one question of 50 items to the model, nothing kept from before."""
    torch.set_num_threads(threads)
    chance, seconds = np.random.default_rng(0), []
    for _ in range(20):
        ask = Ask(tuple(chance.integers(0, len(live.catalogue), HISTORY).tolist()))
        began = time.perf_counter()
        live.scores([ask])
        seconds.append(time.perf_counter() - began)
    return statistics.median(seconds[3:])


def newcomers(live: Live) -> list[list[str]]:
    """Returns the histories of people who are to come, 45 items each, so that ten more make 50 on the average."""
    chance = np.random.default_rng(1)
    drawn = chance.integers(0, len(live.catalogue), (PEOPLE, HISTORY - 5))
    return [[live.catalogue.id(int(number)) for number in row] for row in drawn]


def published(run: Path) -> list[str]:
    """Returns the users of the run's data."""
    return list(Live.load(run).folder.data().user_ids.values)


def checked(heard: Heard) -> Heard:
    """Returns what came back; a load of refusals is no measurement."""
    if set(heard.statuses) - {200, 201, 202}:
        raise SystemExit(f"answers by status: {heard.statuses}: expected success alone.")
    return heard


def spread(values: list[float]) -> dict[str, float]:
    """Returns the median and the extremes."""
    return {"median": statistics.median(values), "lowest": min(values), "highest": max(values)}


def print_all(name: str, told: Found) -> None:
    """Prints a part."""
    print(name)
    for what, value in told.items():
        if isinstance(value, dict):
            print(f"  {what}: {value['median']:.3f}, {value['lowest']:.3f} to {value['highest']:.3f}")
        else:
            print(f"  {what}: {value:.3f}")


if __name__ == "__main__":
    main()
