"""Ten minutes at 70 % of saturation: does the server's memory stay as it is?

The mix, of which each turn draws: 80 % lists made ahead, 10 % an event and the list that has heard of it, 4 % lists for
a history that comes with the question, 3 % prompts, 2 % similar items, 1 % items put. Half of the sample's users only
look; the other half report events. Items are put under 100 ids, again and again, so that the catalogue keeps its size.
The same mix measures saturation first, for 30 seconds; then the load settles for three minutes, and the ten that follow
are looked at.

    python bench/soak.py runs/demo/l2rec [--minutes 10]

The run is of a model that reads, on the bundled sample.
"""

import argparse
import json
import os
import random
import statistics
import threading
import time
import urllib.request
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

import psutil

from drilling import published
from interleaved import RESULTS
from l2rec.serving.folder import RunFolder
from load import Heard, get, load, post
from serve import CONNECTIONS, served

PAUSE, SETTLING, BAR, SHARE = 2.0, 180.0, 0.05, 0.7
"""Seconds between two looks; seconds that settle; the bar; the share of saturation."""
WORDS = ("light comedies of the nineties, no horror", "a slow film about the sea", "dark thrillers", "old musicals")
NEW_ITEMS = 100


def main() -> None:
    """Soaks, prints what was found, and writes `results/soak.json`."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("run", type=Path)
    parser.add_argument("--minutes", type=float, default=10.0)
    options = parser.parse_args()
    with TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        store = f"sqlite:///{Path(folder) / 'store.db'}"
        published(options.run, store)
        with served("l2rec", "serve", "--store", store, probe="/readyz?model=live") as (port, _):
            [server] = psutil.Process().children()
            found = soaked(port, server, Mix(*ids(options.run)), options.minutes)
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "soak.json").write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


class Mix:
    """Draws what is asked next, the same order at every run."""

    def __init__(self, users: list[str], items: list[str]) -> None:
        """Keeps who asks, and what there is."""
        self._looking, self._doing = users[::2], users[1::2]
        self._items = items
        self._chance = random.Random(0)
        self._turn = 0

    def __call__(self) -> list[bytes]:
        """Returns the requests of a turn."""
        self._turn += 1
        kinds = (self._cached, self._fresh, self._asked, self._prompted, self._similar, self._put)
        [kind] = self._chance.choices(kinds, (80, 10, 4, 3, 2, 1))
        return kind()

    def _cached(self) -> list[bytes]:
        return [get(f"/v1/users/{self._chance.choice(self._looking)}/recommendations")]

    def _fresh(self) -> list[bytes]:
        user, item = self._chance.choice(self._doing), self._chance.choice(self._items)
        event = {"event_id": f"soak-{self._turn}", "user_id": user, "item_id": item}
        return [
            post("/v1/events", json.dumps({"events": [event]}).encode()),
            get(f"/v1/users/{user}/recommendations"),
        ]

    def _asked(self) -> list[bytes]:
        history = self._chance.choices(self._items, k=self._chance.randint(1, 40))
        return [post("/v1/recommendations", json.dumps({"history": history}).encode())]

    def _prompted(self) -> list[bytes]:
        words = self._chance.choice(WORDS).replace(" ", "%20")
        return [get(f"/v1/users/{self._chance.choice(self._looking)}/recommendations?prompt={words}")]

    def _similar(self) -> list[bytes]:
        return [get(f"/v1/items/{self._chance.choice(self._items)}/similar")]

    def _put(self) -> list[bytes]:
        body = {"title": f"New film {self._turn}", "text": f"New film {self._turn}, comedy", "attributes": []}
        request = post(f"/v1/items/new-{self._turn % NEW_ITEMS}", json.dumps(body).encode())
        return [request.replace(b"POST", b"PUT", 1)]


class Memory(threading.Thread):
    """Looks at a process's resident memory until told to stop."""

    def __init__(self, server: psutil.Process) -> None:
        """Keeps whose memory it is."""
        super().__init__(daemon=True)
        self._server, self.over = server, threading.Event()
        self.seen: list[tuple[float, float]] = []

    def run(self) -> None:
        """Notes seconds and MiB."""
        began = time.perf_counter()
        while not self.over.wait(PAUSE):
            at = time.perf_counter() - began
            self.seen.append((round(at, 1), round(self._server.memory_info().rss / 2**20, 2)))


def ids(run: Path) -> tuple[list[str], list[str]]:
    """Returns the users and the items of the run's data."""
    folder = RunFolder.open(run)
    return list(folder.data().user_ids.values), list(folder.catalogue()[1].values)


def soaked(port: int, server: psutil.Process, mix: Mix, minutes: float) -> dict[str, object]:
    """Prints and returns what came of it."""
    began = round(server.memory_info().rss / 2**20, 1)
    full = load(port, mix, seconds=30, connections=CONNECTIONS)
    rate = SHARE * full.rate
    print(f"saturation: {full.rate:.0f} turns a second; {rate:.0f} a second for {minutes:g} minutes", flush=True)
    memory = Memory(server)
    memory.start()
    heard = load(port, mix, seconds=SETTLING + 60 * minutes, connections=CONNECTIONS, rate=rate)
    memory.over.set()
    memory.join()
    found: dict[str, object] = {"date": datetime.now(UTC).date().isoformat(), "cores": os.cpu_count()}
    found |= {
        "minutes": minutes,
        "settling, s": SETTLING,
        "saturation, turns a second": full.rate,
        "share of saturation": SHARE,
    }
    found |= answered(heard) | {"answers by source": sources(port), "MiB when ready": began}
    found |= flatness(memory.seen) | {"seconds and MiB": memory.seen}
    for name, value in list(found.items())[:-1]:
        print(f"  {name}: {f'{value:.4g}' if isinstance(value, float) else value}")
    return found


def answered(heard: Heard) -> dict[str, object]:
    """Returns how many answers had which status, and how late they came."""
    late = {f"p{round(100 * share)}, ms": 1e3 * heard.quantile(share) for share in (0.5, 0.99)}
    return {"turns": len(heard.seconds), "turns a second": heard.rate, "answers by status": heard.statuses, **late}


def sources(port: int) -> dict[str, int]:
    """Returns how many lists came from where."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
        lines = answer.read().decode().splitlines()
    told = [line.removeprefix('l2rec_answers_total{source="') for line in lines if line.startswith("l2rec_answers_tot")]
    return {line.split('"')[0]: round(float(line.split()[-1])) for line in told}


def flatness(seen: list[tuple[float, float]]) -> dict[str, object]:
    """Returns how far memory moved after the settling: the extremes, and the first fifth beside the last."""
    settled = [size for at, size in seen if at >= SETTLING]
    fifth = max(1, len(settled) // 5)
    first, last = statistics.mean(settled[:fifth]), statistics.mean(settled[-fifth:])
    spread = max(settled) / min(settled) - 1
    return {
        "MiB, lowest": min(settled),
        "MiB, highest": max(settled),
        "highest above lowest": spread,
        "last fifth above first": last / first - 1,
        f"flat within {BAR:.0%}": spread <= BAR,
    }


if __name__ == "__main__":
    main()
