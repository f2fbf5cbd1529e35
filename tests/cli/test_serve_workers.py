"""`l2rec serve --workers 2`: two real processes on one store hear of each other, and count together."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest

from l2rec.serving.publishing.publish import PublishOptions, publish
from l2rec.serving.store.opening import open_store
from tests.models.conftest import backbone  # noqa: F401  (the fixture)
from tests.serving.conftest import redis_server, url  # noqa: F401  (the fixtures)
from tests.serving.model import runs
from tests.trained import World

USER = "/v1/users/u5/recommendations"


@dataclass(frozen=True)
class Line:
    """A connection that stays with the process that accepted it, and that process's number."""

    connection: HTTPConnection
    process: int = 0

    def ask(self, method: str, path: str, body: object = None) -> bytes:
        """The answer, which must be one."""
        content = None if body is None else json.dumps(body).encode()
        self.connection.request(method, path, content, {"content-type": "application/json"})
        answer = self.connection.getresponse()
        told = answer.read()
        assert answer.status == 200, told
        return told

    def list(self, path: str) -> list[str]:
        """The item ids of a list."""
        return [item["item_id"] for item in json.loads(self.ask("GET", path))["items"]]


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def workers(folder: Path, port: int, process: "subprocess.Popen[bytes]") -> list[int]:
    """The numbers of the two processes, from the files in which they count, once both have loaded the release."""
    for _ in range(600):
        assert process.poll() is None
        page = b""
        with suppress(OSError), closing(HTTPConnection("127.0.0.1", port, timeout=60)) as connection:
            page = Line(connection).ask("GET", "/metrics")
        if counted(page, 'l2rec_reloads_total{outcome="done"}') == 2:
            return sorted({int(file.stem.rpartition("_")[2]) for file in folder.glob("l2rec-metrics-*/counter_*.db")})
        time.sleep(0.1)
    raise AssertionError("two workers did not start")


def line_to(port: int, process: int, other: int) -> Line:
    """A line to one of the two workers; the other is held while the line is laid."""
    os.kill(other, signal.SIGSTOP)
    try:
        line = Line(HTTPConnection("127.0.0.1", port, timeout=60), process)
        line.ask("GET", "/healthz")
        return line
    finally:
        os.kill(other, signal.SIGCONT)


@contextmanager
def two_workers(address: str, folder: Path) -> Iterator[tuple[Line, Line]]:
    port = free_port()
    words = [sys.executable, "-m", "l2rec", "serve", "--store", address, "--port", str(port), "--workers", "2"]
    quiet = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore", "TMPDIR": str(folder)}
    said = folder / "stderr"
    with said.open("wb") as err, subprocess.Popen(words, stderr=err, env=quiet, start_new_session=True) as process:
        try:
            one, other = workers(folder, port, process)
            here, there = line_to(port, one, other), line_to(port, other, one)
            with closing(here.connection), closing(there.connection):
                yield here, there
            process.send_signal(signal.SIGTERM)
            process.wait(timeout=60)
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
    assert "Traceback" not in said.read_text()
    assert not list(folder.glob("l2rec-metrics-*"))


def counted(text: bytes, name: str) -> float:
    """A value of a metrics page, summed over its labels."""
    lines = [line for line in text.decode().splitlines() if line.startswith(name)]
    return sum(float(line.rsplit(" ", 1)[1]) for line in lines)


def events_are_heard(here: Line, there: Line) -> None:
    """Each takes the best item of its list out by an event that the other acknowledges."""
    for n, (asks, reports) in enumerate([(here, there), (there, here)] * 3):
        best = asks.list(f"{USER}?k=5&deadline_ms=30000")[0]
        report: Any = {"events": [{"event_id": f"e{n}", "user_id": "u5", "item_id": best}]}
        assert json.loads(reports.ask("POST", "/v1/events", report)) == {"accepted": 1, "new": 1}
        after = json.loads(asks.ask("GET", f"{USER}?k=30&deadline_ms=30000"))
        assert after["source"] == "fresh"
        assert best not in [item["item_id"] for item in after["items"]]


def items_are_heard(here: Line, there: Line) -> float:
    """Returns how many seconds after it was put through one process an item stands in a list of the other."""
    started = time.monotonic()
    body = {"title": "red lamp", "text": "red lamp 0", "attributes": ["size=new"]}
    told = json.loads(here.ask("PUT", "/v1/items/new", body))
    assert told == {"item_id": "new", "recommendable": True}
    while there.list("/v1/users/u7/recommendations?allow=new") != ["new"]:
        assert time.monotonic() - started < 20
        time.sleep(0.01)
    return time.monotonic() - started


@pytest.mark.slow
def test_two_processes_are_one_service(
    world: World,
    backbone: Path,  # noqa: F811
    url: str,  # noqa: F811
    tmp_path: Path,
) -> None:
    store = open_store(url)
    publish(runs.l2rec(world, backbone).folder.path, store, PublishOptions(k=12))
    store.close()
    with two_workers(url, tmp_path) as (here, there):
        assert here.list("/v1/users/u7/recommendations") == there.list("/v1/users/u7/recommendations")
        events_are_heard(here, there)
        seconds = items_are_heard(here, there)
        sys.stdout.write(f"put through one process, listed by the other: {seconds * 1000:.0f} ms\n")
        assert seconds < 5  # 1 where the machine is idle; the store is looked at every 0.2 s
        time.sleep(1)  # each process notes what it remembers when it looks at the store
        pages = [line.ask("GET", "/metrics") for line in (here, there)]
    for page in pages:
        assert counted(page, "l2rec_events_total") == 6
        assert counted(page, 'l2rec_requests_total{route="/v1/events"') == 6
        assert counted(page, 'l2rec_requests_total{route="/v1/items/') == 1
        assert counted(page, 'l2rec_reloads_total{outcome="done"}') == 2
        assert counted(page, 'l2rec_answers_total{source="fresh"}') >= 11
        lists = counted(page, 'l2rec_requests_total{route="/v1/users/{id:path}/recommendations",status="200"}')
        assert lists == counted(page, "l2rec_answers_total") == counted(pages[0], "l2rec_answers_total")
        assert counted(page, "l2rec_prefixes_total") == counted(pages[0], "l2rec_prefixes_total") > 0


def both_remember(here: Line, there: Line) -> float:
    """Has each process read the history of a user of its own, and returns the bytes that both remember."""
    for line, user in ((here, "u5"), (there, "u7")):
        report = {"events": [{"event_id": user, "user_id": user, "item_id": "i3"}]}
        line.ask("POST", "/v1/events", report)
        line.list(f"/v1/users/{user}/recommendations?deadline_ms=30000")
    time.sleep(1)
    return counted(here.ask("GET", "/metrics"), "l2rec_prefix_bytes")


@pytest.mark.slow
def test_a_process_that_is_killed_is_replaced_and_of_it_only_the_counts_stay(
    world: World,
    backbone: Path,  # noqa: F811
    tmp_path: Path,
) -> None:
    address = f"sqlite:///{tmp_path / 'store.db'}"
    store = open_store(address)
    publish(runs.l2rec(world, backbone).folder.path, store, PublishOptions(k=12))
    store.close()
    with two_workers(address, tmp_path) as (here, there):
        before = both_remember(here, there)
        os.kill(there.process, signal.SIGKILL)
        for _ in range(600):
            page = here.ask("GET", "/metrics")
            if counted(page, 'l2rec_reloads_total{outcome="done"}') == 3:
                break
            time.sleep(0.1)
        time.sleep(1)
        page = here.ask("GET", "/metrics")
        gauges = {int(file.stem.rpartition("_")[2]) for file in tmp_path.glob("l2rec-metrics-*/gauge_live*.db")}
    assert there.process not in gauges
    assert here.process in gauges
    assert len(gauges) == 2, "the one that took its place has its own"
    assert 0 < counted(page, "l2rec_prefix_bytes") < before
    assert counted(page, "l2rec_events_total") == 2
    assert counted(page, 'l2rec_requests_total{route="/v1/events"') == 2
