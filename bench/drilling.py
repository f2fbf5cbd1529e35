"""What the drills are made of: programs that are killed, reporters that keep books, and the audit of a store."""

import http.client
import itertools
import json
import random
import signal
import socket
import statistics
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

from l2rec.serving.store.contract import Store

SIZE, PEOPLE, PATIENCE = 5, 500, 120.0
"""Events of a report; users that they tell of; seconds after which a drill gives up."""
Told = tuple[int, dict[str, object]]
"""Status and body of an answer; status 0 where no answer came."""


class Program:
    """A server process that is started, killed and started again on its port."""

    def __init__(self, words: Sequence[str], port: int, ready: Callable[[], bool]) -> None:
        """Keeps how it is started; `ready` tells whether it answers."""
        self.words, self.port, self._ready = words, port, ready
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> float:
        """Starts it and returns the seconds until it answered."""
        began = time.perf_counter()
        self.process = subprocess.Popen(self.words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wait(self._ready)
        return time.perf_counter() - began

    def send(self, sign: signal.Signals) -> None:
        """Sends a signal; waits for the end where it is one that ends."""
        assert self.process is not None
        self.process.send_signal(sign)
        if sign in (signal.SIGKILL, signal.SIGTERM):
            self.process.wait(PATIENCE)
            self.process = None

    def kill(self) -> None:
        """Ends it as `kill -9` does, where it runs."""
        if self.process is not None:
            self.send(signal.SIGKILL)


def service(store: str) -> Program:
    """Returns `l2rec serve` on a free port."""
    port = free_port()
    words = [sys.executable, "-m", "l2rec", "serve", "--store", store, "--port", str(port)]
    return Program(words, port, lambda: Caller(port).ask("GET", "/readyz?model=live")[0] == 200)


def redis(folder: Path) -> Program:
    """Returns a Redis server that writes every change to the disk before it answers."""
    port = free_port()
    place = ["--port", str(port), "--bind", "127.0.0.1", "--dir", str(folder), "--save", ""]
    return Program(["redis-server", *place, "--appendonly", "yes", "--appendfsync", "always"], port, lambda: pong(port))


def pong(port: int) -> bool:
    """Whether a Redis server answers and has read its files."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1) as line:
            line.sendall(b"PING\r\n")
            return line.recv(16).startswith(b"+PONG")
    except OSError:
        return False


def free_port() -> int:
    """Returns a port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait(done: Callable[[], bool], seconds: float = PATIENCE) -> float:
    """Waits until something is so and returns the seconds."""
    began = time.perf_counter()
    while not done():
        if time.perf_counter() - began > seconds:
            raise SystemExit(f"not so after {seconds:g} s; the drill ends.")
        time.sleep(0.005)
    return time.perf_counter() - began


def publish(run: Path, store: str) -> subprocess.Popen[bytes]:
    """Begins to publish."""
    words = [sys.executable, "-m", "l2rec", "publish", str(run), "--store", store, "--keep", "50"]
    return subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def published(run: Path, store: str) -> None:
    """Publishes to the end."""
    if publish(run, store).wait():
        raise SystemExit(f"{run}: could not be published in {store}.")


def spread(values: list[float]) -> dict[str, float]:
    """Returns the median and the greatest."""
    return {"median": round(statistics.median(values), 3), "highest": round(max(values), 3)}


def void(_: object) -> None:
    """Forgets a value."""


class Caller:
    """One connection to the service, opened anew after it was lost."""

    def __init__(self, port: int) -> None:
        """Notes the port."""
        self._line = http.client.HTTPConnection("127.0.0.1", port, timeout=10)

    def ask(self, method: str, path: str, body: object = None) -> Told:
        """Returns status and body; status 0 where no whole answer came."""
        data = None if body is None else json.dumps(body)
        try:
            self._line.request(method, path, data, {"Content-Type": "application/json"})
            answer = self._line.getresponse()
            told = json.loads(answer.read())
        except (OSError, http.client.HTTPException, ValueError):
            self._line.close()
            return 0, {}
        if answer.status == 503 and not answer.headers.get("Retry-After"):
            raise SystemExit("503 without Retry-After.")
        return answer.status, told


def event(report: int, place: int) -> dict[str, object]:
    """Returns an event that can be told from all others."""
    number = report * SIZE + place
    return {"event_id": f"e{number}", "user_id": f"d{number % PEOPLE}", "item_id": str(number), "time": float(number)}


class Reporters:
    """Four clients that report events until enough are acknowledged, and know which were.

    A report that got no acknowledgement is sent again in half of the cases, and given up in the others.

    Attributes:
        sent: Reports that were ever sent.
        acknowledged: Reports that were answered with 200.
        statuses: How many answers had which status; 0 for none.
    """

    def __init__(self, port: int, events: int) -> None:
        """Starts them."""
        self._port, self._wanted, self._numbers = port, events // SIZE, itertools.count()
        self.sent: set[int] = set()
        self.acknowledged: set[int] = set()
        self.statuses: Counter[int] = Counter()
        self._over = False
        self._threads = [threading.Thread(target=self._report, args=(seed,), daemon=True) for seed in range(4)]
        for thread in self._threads:
            thread.start()

    @property
    def events(self) -> int:
        """Events that are acknowledged."""
        return len(self.acknowledged) * SIZE

    def stop(self) -> None:
        """Asks for no more."""
        self._over = True
        self.finish()

    def finish(self) -> None:
        """Waits for the last acknowledgement."""
        for thread in self._threads:
            thread.join(PATIENCE)

    def _report(self, seed: int) -> None:
        caller, chance = Caller(self._port), random.Random(seed)
        while len(self.acknowledged) < self._wanted and not self._over:
            report = next(self._numbers)
            self.sent.add(report)
            body = {"events": [event(report, place) for place in range(SIZE)]}
            for _ in range(1000):
                status, told = caller.ask("POST", "/v1/events", body)
                self.statuses[status] += 1
                if status == 200:
                    assert told["accepted"] == SIZE
                    self.acknowledged.add(report)
                    break
                time.sleep(0.05)
                if chance.random() < 0.5:
                    break


def audited(store: Store, told: Reporters) -> dict[str, object]:
    """Returns what a store's log says of acknowledged events: lost, doubled, invented, halved, changed, gaps."""
    found = store.events(limit=10_000_000)
    counts = Counter(one.event_id for one in found)
    sent = {f"e{report * SIZE + place}" for report in told.sent for place in range(SIZE)}
    kept = {f"e{report * SIZE + place}" for report in told.acknowledged for place in range(SIZE)}
    reports = Counter(int(name[1:]) // SIZE for name in counts if name in sent)
    changed = [x for x in found if (f"e{x.item_id}", f"d{int(x.item_id) % PEOPLE}") != (x.event_id, x.user_id)]
    return {
        "events acknowledged": len(kept),
        "events in the log": len(found),
        "sent, never acknowledged, in the log": len(counts.keys() - kept),
        "lost": len(kept - counts.keys()),
        "there twice": sum(count > 1 for count in counts.values()),
        "invented": len(counts.keys() - sent),
        "reports half there": sum(count != SIZE for count in reports.values()),
        "changed": len(changed),
        "gaps in the numbers": sum(one.number != place for place, one in enumerate(found, start=1)),
        "answers by status (0: none)": dict(sorted(told.statuses.items())),
    }
