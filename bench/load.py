"""A load from outside: many connections of HTTP/1.1, as fast as they are answered or at a given rate."""

import asyncio
import random
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import cast

Ask = Callable[[], Sequence[bytes]]
"""Gives the requests of the next turn; they follow one another on one connection."""


@dataclass(frozen=True)
class Heard:
    """What came back.

    Attributes:
        seconds: From when a turn was due to its last answer, in the order of the answers.
        statuses: How many answers had which status.
        wall: Seconds of the whole load.
    """

    seconds: list[float]
    statuses: dict[int, int]
    wall: float

    @property
    def rate(self) -> float:
        """Turns a second."""
        return len(self.seconds) / self.wall

    def quantile(self, share: float) -> float:
        """Returns the seconds within which that share of the turns was answered."""
        ordered = sorted(self.seconds)
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


class Line(asyncio.Protocol):
    """One connection, kept open; asks one thing at a time."""

    def __init__(self, heard: Callable[["Line", int], None]) -> None:
        """Tells `heard` the status of each answer when its last byte is there."""
        self._heard = heard
        self._bytes = b""
        self.transport: asyncio.Transport | None = None
        self.due = 0.0
        self.rest: deque[bytes] = deque()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keeps the way out."""
        self.transport = cast(asyncio.Transport, transport)  # uvloop's is no asyncio.Transport to isinstance

    def begin(self, due: float, requests: Sequence[bytes]) -> None:
        """Sends the first request of a turn; the others follow their answers."""
        self.due, self.rest = due, deque(requests)
        self.send()

    def send(self) -> None:
        """Sends the next request of the turn."""
        assert self.transport is not None
        self.transport.write(self.rest.popleft())

    def data_received(self, data: bytes) -> None:
        """Waits for the whole answer."""
        self._bytes += data
        head, sign, body = self._bytes.partition(b"\r\n\r\n")
        if not sign:
            return
        length = next((int(x[15:]) for x in head.lower().split(b"\r\n") if x.startswith(b"content-length:")), 0)
        if len(body) < length:
            return
        self._bytes = body[length:]
        self._heard(self, int(head[9:12]))


class Load:
    """Turns over a number of connections for a number of seconds."""

    def __init__(self, ask: Ask, seconds: float, rate: float | None) -> None:
        """Takes what is asked; as fast as answers come where there is no rate, else at random times of that rate."""
        self._ask, self._seconds, self._rate = ask, seconds, rate
        self._free: deque[Line] = deque()
        self._late: deque[float] = deque()
        self._found: list[float] = []
        self._statuses: dict[int, int] = {}
        self._until = 0.0
        self._open = 0

    def _heard(self, line: Line, status: int) -> None:
        self._statuses[status] = self._statuses.get(status, 0) + 1
        if line.rest:
            line.send()
            return
        now = time.perf_counter()
        self._found.append(now - line.due)
        if self._late:
            line.begin(self._late.popleft(), self._ask())
        elif self._rate is None and now < self._until:
            line.begin(now, self._ask())
        else:
            self._free.append(line)

    async def run(self, port: int, connections: int) -> Heard:
        """Returns what came back."""
        loop = asyncio.get_running_loop()
        for _ in range(connections):
            _, line = await loop.create_connection(lambda: Line(self._heard), "127.0.0.1", port)
            self._free.append(line)
        lines = list(self._free)
        began = time.perf_counter()
        self._until = began + self._seconds
        if self._rate is None:
            for _ in range(connections):
                self._free.popleft().begin(time.perf_counter(), self._ask())
            await asyncio.sleep(self._seconds)
        else:
            await self._arrive(self._rate, began)
        while len(self._free) < connections:
            await asyncio.sleep(0.005)
        wall = time.perf_counter() - began
        for line in lines:
            assert line.transport is not None
            line.transport.close()
        return Heard(self._found, self._statuses, wall)

    async def _arrive(self, rate: float, began: float) -> None:
        for due in arrivals(rate, self._seconds):
            if (early := began + due - time.perf_counter()) > 0:
                await asyncio.sleep(early)
            if self._free:
                self._free.popleft().begin(began + due, self._ask())
            else:
                self._late.append(began + due)


def arrivals(rate: float, seconds: float) -> Iterator[float]:
    """Yields the times of a Poisson process, the same ones at every call."""
    chance, at = random.Random(0), 0.0
    while (at := at + chance.expovariate(rate)) < seconds:
        yield at


def load(port: int, ask: Ask, *, seconds: float, connections: int, rate: float | None = None) -> Heard:
    """Returns what came back from a load.

    Args:
        port: Of a server on this machine.
        ask: Gives the requests of each turn.
        seconds: How long new turns begin.
        connections: Open at once; a turn that finds none free waits, and the wait counts.
        rate: Turns a second; as many as are answered where None.
    """
    import uvloop

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(Load(ask, seconds, rate).run(port, connections))


def get(path: str) -> bytes:
    """Returns a GET request."""
    return f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode()


def post(path: str, body: bytes) -> bytes:
    """Returns a POST request of JSON."""
    head = f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: {len(body)}"
    return head.encode() + b"\r\n\r\n" + body
