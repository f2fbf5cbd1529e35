"""What a server counts of itself, in the form that Prometheus reads."""

import os
import sys
from collections import Counter as Counts
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest, multiprocess

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
SIZES = (1, 2, 4, 8, 16, 32, 64, 128)
SHARED = "PROMETHEUS_MULTIPROC_DIR"
"""Name of the variable with the folder in which several processes count together."""

OUTCOMES = ("grown", "same", "slid", "unknown", "dropped")
"""What becomes of a look-up among the remembered users, and of what is remembered; see `Prefixes.counts`."""


@dataclass(frozen=True)
class Reading:
    """What is read off a server at one moment.

    Attributes:
        queue: Questions that wait for the model.
        age: Seconds since the served lists were made.
        remembered: Bytes of what the model has read of the users who asked last.
        prefixes: How often which of `OUTCOMES` came about since the release was loaded; another object for another
            release.
    """

    queue: float = 0.0
    age: float = 0.0
    remembered: float = 0.0
    prefixes: Counts[str] = field(default_factory=Counts)


class Metrics:
    """Counters of one application; of all processes together where `SHARED` is set.

    Attributes:
        requests: Requests by route and status.
        seconds: Their duration by route.
        answers: Lists by source.
        answer: The counter of one source.
        batches: Sizes of the batches that the model computed.
        reloads: Releases that were taken over, by outcome.
        events: Acknowledged events that were new.
        prefixes: What became of the remembered users, by outcome.
    """

    def __init__(self) -> None:
        """Starts at zero."""
        self._registry = CollectorRegistry()
        own = self._registry
        self.requests = Counter("l2rec_requests", "Requests by route and status.", ["route", "status"], registry=own)
        self.seconds = Histogram(
            "l2rec_request_seconds", "Seconds of a request.", ["route"], buckets=SECONDS, registry=own
        )
        self.answers = Counter("l2rec_answers", "Lists by where they came from.", ["source"], registry=own)
        self.batches = Histogram("l2rec_batch_size", "Questions of a batch.", buckets=SIZES, registry=own)
        self.reloads = Counter("l2rec_reloads", "Releases taken over, by outcome.", ["outcome"], registry=own)
        self.events = Counter("l2rec_events", "Acknowledged events that were new.", registry=own)
        self.prefixes = Counter(
            "l2rec_prefixes",
            "Look-ups of what the model has read of a user (grown, same, slid, unknown), and users let go (dropped).",
            ["outcome"],
            registry=own,
        )
        self._counted = cache(lambda route, status: (self.requests.labels(route, status), self.seconds.labels(route)))
        self.answer = cache(self.answers.labels)
        self._queue = self._gauge("l2rec_queue_length", "Questions that wait for the model.", "livesum")
        self._age = self._gauge("l2rec_release_age_seconds", "Seconds since the served lists were made.", "livemax")
        self._bytes = self._gauge("l2rec_prefix_bytes", "Bytes of what the model has read of users.", "livesum")
        self._before, self._told = Counts[str](), Counts[str]()

    def request(self, route: str, status: int, seconds: float) -> None:
        """Counts a request."""
        requests, duration = self._counted(route, status)
        requests.inc()
        duration.observe(seconds)

    def watch(self, read: Callable[[], Reading]) -> None:
        """Says where the queue, the release's age and what is remembered are read."""
        self._read = read

    def note(self) -> None:
        """Reads off the server; each process does so for itself, since only one of them is asked for `text`."""
        reading = self._read()
        self._queue.set(reading.queue)
        self._age.set(reading.age)
        self._bytes.set(reading.remembered)
        if reading.prefixes is not self._before:
            self._before, self._told = reading.prefixes, Counts()
        for outcome in OUTCOMES:
            count = reading.prefixes[outcome]
            self.prefixes.labels(outcome).inc(count - self._told[outcome])
            self._told[outcome] = count

    def text(self) -> bytes:
        """Returns everything in Prometheus's text format."""
        self.note()
        registry = self._registry
        if SHARED in os.environ:
            _forget_the_dead(Path(os.environ[SHARED]))
            registry = CollectorRegistry()
            multiprocess.MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
        return generate_latest(registry)

    def _gauge(self, name: str, meaning: str, mode: str) -> Gauge:
        return Gauge(name, meaning, registry=self._registry, multiprocess_mode=mode)  # type: ignore[arg-type]


def _forget_the_dead(folder: Path) -> None:
    """Takes away the gauges of processes that have ended; what they counted stays."""
    for process in {int(file.stem.rpartition("_")[2]) for file in folder.glob("gauge_live*.db")}:
        if not _lives(process):
            with suppress(FileNotFoundError):  # another process, asked at the same time, was faster
                multiprocess.mark_process_dead(process, str(folder))  # type: ignore[no-untyped-call]


def _lives(process: int) -> bool:
    """Whether a process runs; always where asking is not possible."""
    if sys.platform == "win32":
        return True
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # it is somebody else's
        pass
    return True
