"""Drills of the running service over HTTP: killed servers and stores, a store that is down, a full disk, two releases.

    python bench/drills.py RUN OTHER [--events 20000] [--kills 20] [--only server,redis,down,full,releases]

RUN and OTHER are two runs on the bundled sample. `redis` and `down` need redis-server, `full` may mount a tmpfs (root).
Ends with status 1 where a promise was broken; what was found is printed and written to `results/drills.json`.
"""

import argparse
import itertools
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

from drilling import Caller, Program, Reporters, audited, publish, published, redis, service, spread, void, wait
from interleaved import RESULTS
from l2rec.serving.folder import RunFolder
from l2rec.serving.store.opening import open_store

Found = dict[str, object]
MIXED = "lists that are not those of the release they name"
MUST_BE_0 = (
    "lost",
    "there twice",
    "invented",
    "reports half there",
    "changed",
    "gaps in the numbers",
    "other answers",
    MIXED,
)
SOME = [{"event_id": "later", "user_id": "1", "item_id": "2", "time": 1.0}]


def main() -> None:
    """Runs the drills."""
    options = arguments()
    parts: dict[str, Callable[[Path], Found]] = {
        "server": lambda here: killed_servers(here, options),
        "redis": lambda here: killed_stores(here, options),
        "down": lambda here: downs(here, options.run),
        "full": lambda here: full(here, options.run),
        "releases": lambda here: releases(here, options),
    }
    found: Found = {"date": datetime.now(UTC).date().isoformat(), "cores": os.cpu_count()}
    bad = 0
    for name in options.only.split(","):
        with TemporaryDirectory(ignore_cleanup_errors=True) as folder:
            told = parts[name](Path(folder))
        found[name] = told
        print(name)
        for what, value in told.items():
            print(f"  {what}: {value}", flush=True)
            bad += what in MUST_BE_0 and value != 0
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "drills.json").write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    raise SystemExit(min(bad, 1))


def arguments() -> argparse.Namespace:
    """Returns the options."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("run", type=Path)
    parser.add_argument("other", type=Path)
    parser.add_argument("--events", type=int, default=20_000)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--only", default="server,redis,down,full,releases")
    return parser.parse_args()


# Kills


def killed_servers(here: Path, options: argparse.Namespace) -> Found:
    """Kills the service again and again while events are reported, on SQLite."""
    store = f"sqlite:///{here / 'store.db'}"
    published(options.run, store)
    server = service(store)
    server.start()
    return killing(server, server, store, options)


def killed_stores(here: Path, options: argparse.Namespace) -> Found:
    """Kills Redis again and again while events are reported; the service runs on."""
    kept = redis(here)
    kept.start()
    store = f"redis://127.0.0.1:{kept.port}/0"
    published(options.run, store)
    server = service(store)
    server.start()
    try:
        return killing(kept, server, store, options)
    finally:
        kept.kill()


def killing(victim: Program, server: Program, store: str, options: argparse.Namespace) -> Found:
    """Kills `victim` at times drawn by chance; returns the audit and how long it took to acknowledge again."""
    chance, told = random.Random(0), Reporters(server.port, options.events)
    starts, recoveries = [], []
    for kill in range(1, options.kills + 1):
        wait(lambda: told.events >= options.events * kill / (options.kills + 1))  # noqa: B023 (called at once)
        time.sleep(chance.uniform(0, 0.2))
        victim.kill()
        time.sleep(0.3)  # what was acknowledged before has arrived
        before = told.events
        starts.append(victim.start())
        recoveries.append(wait(lambda: told.events > before))  # noqa: B023
    told.finish()
    server.kill()
    if victim is not server:
        victim.kill()
        victim.start()
    opened = open_store(store)
    found: Found = {"kills": options.kills, **audited(opened, told)}
    opened.close()
    found["other answers"] = sum(count for status, count in told.statuses.items() if status not in (0, 200, 503))
    found["seconds to start again"] = spread(starts)
    return found | {"seconds from ready to the next acknowledged event": spread(recoveries)}


# A store that is down


def downs(here: Path, run: Path) -> Found:
    """Takes the store away in three ways while lists are asked for; the service is never started anew."""
    found: Found = {}
    kept = redis(here)
    kept.start()
    store = f"redis://127.0.0.1:{kept.port}/0"
    published(run, store)
    found["Redis killed"] = down(store, kept.kill, lambda: void(kept.start()))
    found["Redis hanging"] = down(store, lambda: kept.send(signal.SIGSTOP), lambda: kept.send(signal.SIGCONT))
    kept.kill()
    file = here / "store.db"
    published(run, f"sqlite:///{file}")
    away = here / "away.db"
    found["SQLite file moved away"] = down(
        f"sqlite:///{file}", lambda: void(file.rename(away)), lambda: void(away.rename(file))
    )
    found["other answers"] = sum(one["other answers"] for one in found.values() if isinstance(one, dict))
    return found


def down(store: str, leave: Callable[[], None], come_back: Callable[[], None], times: int = 5) -> Found:
    """Asks for lists and reports events while the store is down, several times."""
    server = service(store)
    server.start()
    process, caller = server.process, Caller(server.port)
    known, later = [str(n) for n in range(1, 51)], []
    for user in known:
        caller.ask("GET", f"/v1/users/{user}/recommendations")
    lists: Counter[str] = Counter()
    events: Counter[int] = Counter()
    slowest = 0.0
    for turn in range(times):
        leave()
        until = time.perf_counter() + 4
        for user in itertools.cycle([*known, "a stranger"]):
            began = time.perf_counter()
            if began > until:
                break
            status, told = caller.ask("GET", f"/v1/users/{user.replace(' ', '%20')}/recommendations")
            slowest = max(slowest, time.perf_counter() - began)
            lists[f"{status} {told.get('source', '')}".strip()] += 1
            if began > until - 2.5 and not events[503] > turn:
                events[caller.ask("POST", "/v1/events", {"events": SOME})[0]] += 1
        come_back()
        later.append(wait(lambda: whole(caller)))
    assert server.process is process
    server.kill()
    wrong = sum(count for told, count in lists.items() if told[:3] not in ("200", "503"))
    wrong += sum(count for status, count in events.items() if status != 503)
    found: Found = {"outages": times, "lists": dict(lists), "slowest list, s": round(slowest, 3)}
    found |= {"events": dict(events), "seconds from the store's return to whole answers": spread(later)}
    return found | {"other answers": wrong}


def whole(caller: Caller) -> bool:
    """Whether an event is acknowledged and a list comes without a note."""
    if caller.ask("POST", "/v1/events", {"events": SOME})[0] != 200:
        return False
    status, told = caller.ask("GET", "/v1/users/2/recommendations")
    return status == 200 and not told["notes"]


# A full disk


def full(here: Path, run: Path) -> Found:
    """Fills the disk of the SQLite store, asks on, and makes room again."""
    disk = here / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", disk], check=False).returncode:
        raise SystemExit("a tmpfs cannot be mounted here: run this part as root.")
    try:
        return filled(disk, run)
    finally:
        subprocess.run(["umount", "-l", disk], check=True)


def filled(disk: Path, run: Path) -> Found:
    """Reports events until there is no room, then makes some."""
    store = f"sqlite:///{disk / 'store.db'}"
    published(run, store)
    server = service(store)
    server.start()
    caller, filler = Caller(server.port), disk / "filler"
    told = Reporters(server.port, 100_000)
    wait(lambda: told.events > 500)
    with suppress(OSError), filler.open("wb", buffering=0) as file:
        while True:
            file.write(bytes(4096))
    wait(lambda: told.statuses[503] > 20)
    lists = Counter(caller.ask("GET", f"/v1/users/{n}/recommendations")[0] for n in range(1, 101))
    before, refused = told.events, told.statuses[503]
    filler.unlink()
    later = wait(lambda: told.events > before)
    told.stop()
    server.kill()
    opened = open_store(store)
    found: Found = {"acknowledged before it was full": before, "refused with 503": refused, **audited(opened, told)}
    opened.close()
    found["lists while it was full, by status"] = dict(lists)
    wrong = sum(count for status, count in told.statuses.items() if status not in (200, 503)) + 100 - lists[200]
    return found | {"seconds from room to the next acknowledged event": round(later, 3), "other answers": wrong}


# Two releases at once


def releases(here: Path, options: argparse.Namespace) -> Found:
    """Publishes two runs at once, five times, and goes back once, while lists are read; checks every list."""
    store = f"sqlite:///{here / 'store.db'}"
    published(options.run, store)
    server = service(store)
    server.start()
    over, heard = threading.Event(), list[tuple[str, int, dict[str, object]]]()
    readers = [threading.Thread(target=read, args=(server.port, seed, over, heard)) for seed in range(4)]
    for reader in readers:
        reader.start()
    for _ in range(5):
        both = [publish(options.run, store), publish(options.other, store)]
        assert [one.wait() for one in both] == [0, 0]
    opened = open_store(store)
    latest = opened.rollback().version
    wait(lambda: heard[-1][2].get("version") == latest)
    over.set()
    for reader in readers:
        reader.join()
    server.kill()
    _, names = RunFolder.open(options.run).catalogue()
    statuses, seen, mixed = Counter[int](), Counter[str](), 0
    for user, status, told in heard:
        statuses[status] += 1
        if status == 200:
            row = opened.user(str(told["version"]), user).row
            ids = [names.values[number] for number in row.numbers[:10]] if row is not None else []
            mixed += [item["item_id"] for item in told["items"]] != ids  # type: ignore[attr-defined]
            seen[str(told["version"])] += 1
    opened.close()
    found: Found = {"publishings": 10, "lists read": len(heard), "answers by status (0: none)": dict(statuses)}
    found |= {"releases seen in answers": len(seen), "other answers": len(heard) - statuses[200]}
    return found | {MIXED: mixed}


def read(port: int, seed: int, over: threading.Event, heard: list[tuple[str, int, dict[str, object]]]) -> None:
    """Reads lists until told to stop."""
    caller, chance = Caller(port), random.Random(seed)
    while not over.wait(0.002):
        user = str(chance.randint(1, 610))
        heard.append((user, *caller.ask("GET", f"/v1/users/{user}/recommendations")))


if __name__ == "__main__":
    if shutil.which("redis-server") is None:
        print("redis-server: not found; leave out redis and down.", file=sys.stderr)
    main()
