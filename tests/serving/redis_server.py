"""A Redis server that a test starts on a free port, kills and starts again."""

import shutil
import socket
import subprocess
import time
from pathlib import Path

PROGRAM = shutil.which("redis-server")
"""The server's program; None where it is not installed."""
KINDS = ["sqlite", *(["redis"] if PROGRAM else [])]
"""The kinds of store that can be tested here."""
MISSING = "redis-server: not found, the Redis store was not tested"

_DURABLE = ("--appendonly", "yes", "--appendfsync", "always")


class RedisServer:
    """One server with its files in one folder.

    Attributes:
        url: The address of its first database.
    """

    def __init__(self, folder: Path, *settings: str) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = int(probe.getsockname()[1])
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self._folder = folder
        self._settings = settings or _DURABLE
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Starts the server on the files that it left, and waits until it answers."""
        assert PROGRAM is not None
        self._folder.mkdir(parents=True, exist_ok=True)
        place = ("--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(self._folder), "--save", "")
        self._process = subprocess.Popen([PROGRAM, *place, *self._settings], stdout=subprocess.DEVNULL)
        until = time.monotonic() + 20
        while time.monotonic() < until:
            try:
                with socket.create_connection(("127.0.0.1", self.port), timeout=1) as line:
                    line.sendall(b"PING\r\n")
                    if line.recv(16).startswith(b"+PONG"):
                        return
            except OSError:
                pass
            time.sleep(0.02)
        raise TimeoutError("the Redis server did not answer within 20 s")

    @property
    def pid(self) -> int:
        """The number of its process."""
        assert self._process is not None
        return self._process.pid

    def empty(self) -> None:
        """Deletes all that the server holds."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=10) as line:
            line.sendall(b"FLUSHALL\r\n")
            assert line.recv(16).startswith(b"+OK")

    def kill(self) -> None:
        """Ends the server at once, as `kill -9` does."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None
