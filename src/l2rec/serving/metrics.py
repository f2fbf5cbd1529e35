"""What a server counts of itself, in the form that Prometheus reads."""

import os
from collections.abc import Callable
from functools import cache

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest, multiprocess

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
SIZES = (1, 2, 4, 8, 16, 32, 64, 128)
SHARED = "PROMETHEUS_MULTIPROC_DIR"
"""Name of the variable with the folder in which several processes count together."""


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
        self._counted = cache(lambda route, status: (self.requests.labels(route, status), self.seconds.labels(route)))
        self.answer = cache(self.answers.labels)
        self._queue = self._gauge("l2rec_queue_length", "Questions that wait for the model.", "livesum")
        self._age = self._gauge("l2rec_release_age_seconds", "Seconds since the served lists were made.", "livemax")

    def request(self, route: str, status: int, seconds: float) -> None:
        """Counts a request."""
        requests, duration = self._counted(route, status)
        requests.inc()
        duration.observe(seconds)

    def watch(self, queue: Callable[[], float], age: Callable[[], float]) -> None:
        """Says where the length of the queue and the age of the release are read."""
        self._read: tuple[Callable[[], float], Callable[[], float]] = (queue, age)

    def text(self) -> bytes:
        """Returns everything in Prometheus's text format."""
        queue, age = self._read
        self._queue.set(queue())
        self._age.set(age())
        registry = self._registry
        if SHARED in os.environ:
            registry = CollectorRegistry()
            multiprocess.MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
        return generate_latest(registry)

    def _gauge(self, name: str, meaning: str, mode: str) -> Gauge:
        return Gauge(name, meaning, registry=self._registry, multiprocess_mode=mode)  # type: ignore[arg-type]
