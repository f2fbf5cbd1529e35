"""What a server counted of itself, read for a person: rates, latencies, where answers came from."""

import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import pairwise

from prometheus_client.parser import text_string_to_metric_families

_KEPT = 150
"""Looks that are remembered; five minutes where somebody looks all the time."""
_API = "/v1/"


@dataclass(frozen=True)
class Route:
    """One route of the API.

    Attributes:
        name: Its path.
        requests: Requests since the server began.
        refused: Those that were answered with a status of 400 to 499.
        failed: Those with 500 or above.
        p50: Seconds within which half of them were answered.
        p99: Seconds within which 99 of 100 were.
    """

    name: str
    requests: int
    refused: int
    failed: int
    p50: float
    p99: float


@dataclass(frozen=True)
class Counts:
    """All counters at one moment.

    Attributes:
        at: Seconds of a clock that only goes forward.
        routes: The API's routes, the busiest first.
        sources: Lists by where they came from.
        queue: Questions that wait for the model.
        batch: Mean size of a batch; None before the first.
        events: New events.
        reloads: Releases that were taken over, by outcome.
    """

    at: float
    routes: tuple[Route, ...]
    sources: Mapping[str, int]
    queue: int
    batch: float | None
    events: int
    reloads: Mapping[str, int]

    @property
    def requests(self) -> int:
        """Requests to the API."""
        return sum(route.requests for route in self.routes)


@dataclass
class Tally:
    """Counters as they were at the last looks.

    Attributes:
        seen: Moments and requests until then, oldest first.
    """

    seen: deque[tuple[float, int]] = field(default_factory=lambda: deque(maxlen=_KEPT))

    def look(self, counts: Counts) -> None:
        """Remembers a look; one that follows another within half a second replaces it."""
        if len(self.seen) > 1 and counts.at - self.seen[-2][0] < 0.5:
            self.seen.pop()
        self.seen.append((counts.at, counts.requests))

    def rates(self) -> list[float]:
        """Returns the requests a second between the looks, oldest first."""
        looks = list(self.seen)
        return [max(0, b - a) / max(1e-9, then - now) for (now, a), (then, b) in pairwise(looks)]


def read(text: bytes) -> Counts:
    """Returns the counters in Prometheus's text."""
    samples: dict[str, list[tuple[dict[str, str], float]]] = {}
    for family in text_string_to_metric_families(text.decode()):
        for sample in family.samples:
            samples.setdefault(sample.name, []).append((dict(sample.labels), sample.value))
    requests = samples.get("l2rec_requests_total", [])
    names = {labels["route"] for labels, _ in requests if labels["route"].startswith(_API)}
    routes = [_route(name, requests, samples.get("l2rec_request_seconds_bucket", [])) for name in names]
    batches = _sum(samples, "l2rec_batch_size_count")
    return Counts(
        time.monotonic(),
        tuple(sorted(routes, key=lambda route: (-route.requests, route.name))),
        {labels["source"]: int(value) for labels, value in samples.get("l2rec_answers_total", [])},
        int(_sum(samples, "l2rec_queue_length")),
        _sum(samples, "l2rec_batch_size_sum") / batches if batches else None,
        int(_sum(samples, "l2rec_events_total")),
        {labels["outcome"]: int(value) for labels, value in samples.get("l2rec_reloads_total", [])},
    )


def quantile(buckets: list[tuple[float, float]], share: float) -> float:
    """Returns the value below which a share of what was counted lies, evenly spread within a bucket.

    Args:
        buckets: Upper bounds, the last infinite, and how many lie at or below each; bounds rising.
        share: 0 to 1.
    """
    if not buckets or not buckets[-1][1]:
        return 0.0
    wanted, low, below = share * buckets[-1][1], 0.0, 0.0
    for bound, count in buckets:
        if count >= wanted and count > below:
            return low if bound == float("inf") else low + (bound - low) * (wanted - below) / (count - below)
        low, below = bound, count
    return low


def _route(
    name: str, requests: list[tuple[dict[str, str], float]], buckets: list[tuple[dict[str, str], float]]
) -> Route:
    own = [(labels["status"], int(value)) for labels, value in requests if labels["route"] == name]
    spread = sorted((float(labels["le"]), value) for labels, value in buckets if labels["route"] == name)
    return Route(
        name,
        sum(value for _, value in own),
        sum(value for status, value in own if status.startswith("4")),
        sum(value for status, value in own if status.startswith("5") or status == "0"),
        quantile(spread, 0.5),
        quantile(spread, 0.99),
    )


def _sum(samples: Mapping[str, list[tuple[dict[str, str], float]]], name: str) -> float:
    return sum((value for _, value in samples.get(name, [])), 0.0)
