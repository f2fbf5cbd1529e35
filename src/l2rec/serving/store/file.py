"""An SQLite file that threads and processes share: its connections, its transactions, and what goes wrong with it."""

import itertools
import os
import sqlite3
import threading
import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

from l2rec.errors import StoreDownError, StoreError

_OURS = 0x6C327265
_LAYOUT = 1
_SETTINGS = ("synchronous=FULL", "cache_size=-8000", "journal_size_limit=67108864", "temp_store=MEMORY")
_REMEDIES = {
    sqlite3.SQLITE_FULL: "Make room; nothing was half written.",
    sqlite3.SQLITE_BUSY: "Another process holds it; try again.",
    sqlite3.SQLITE_CANTOPEN: "Make its folder, and let this user write there.",
    sqlite3.SQLITE_READONLY: "Let this user write the file and its folder.",
    sqlite3.SQLITE_NOTADB: "Put a backup in its place, or choose another path.",
    sqlite3.SQLITE_CORRUPT: "Put a backup in its place.",
}

_Stamp = tuple[int, int]
_turns = itertools.count()


class SqliteFile:
    """A file of tables in write-ahead mode, opened at the first use and again whenever that is needed.

    A connection is used by one thread at a time and kept for the next; one that met an error is thrown away. Readers
    never wait for a writer. The file is asked for by its device and inode at every use, so that nothing is written to
    one that was deleted or replaced.

    Attributes:
        path: Where the file is.
    """

    def __init__(self, path: Path, tables: Sequence[str], patience: float) -> None:
        """Notes the path; nothing is opened yet.

        Args:
            path: The file; made at the first use where it is missing.
            tables: Statements that make its tables.
            patience: Seconds to wait for another writer.
        """
        self.path = path
        self._tables = tables
        self._patience = patience
        self._free: deque[tuple[_Stamp, sqlite3.Connection]] = deque()
        self._watch: tuple[_Stamp, sqlite3.Connection, int] | None = None
        self._stamp: _Stamp | None = None
        self._pid = os.getpid()
        self._opening = threading.Lock()
        self._writing = threading.Lock()
        self._watching = threading.Lock()

    def read(self, question: str, values: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        """Returns the rows of one question, all from one moment.

        Raises:
            StoreDownError: the file cannot be read.
        """
        stamp, connection = self._take()
        try:
            rows = connection.execute(question, values).fetchall()
        except sqlite3.Error as error:
            connection.close()
            raise self._down(error) from error
        self._free.append((stamp, connection))
        return rows

    def moment(self) -> tuple[int, int]:
        """Returns what equals a later answer only where no connection of any process changed the file between the two.

        SQLite counts, for each connection, the changes of all others; one that never writes is told of every change.

        Raises:
            StoreDownError: the file cannot be read.
        """
        self._leave_a_parent()
        with self._watching:
            watch, now = self._watch, self._present()
            if watch is None or watch[0] != now:
                self._unwatch()
                watch = self._watch = (*self._open(), next(_turns))
            try:
                [(count,)] = watch[1].execute("PRAGMA data_version")
            except sqlite3.Error as error:
                self._unwatch()
                raise self._down(error) from error
            return watch[2], count

    @contextmanager
    def change(self) -> Iterator[sqlite3.Connection]:
        """Yields a connection whose changes are seen, and on the disk, after the block; none of them if it raises.

        Raises:
            StoreDownError: the file cannot be written.
        """
        self._leave_a_parent()
        if not self._writing.acquire(timeout=self._patience):
            raise StoreDownError(f"{self.path}: busy for {self._patience:g} s. Try again.")
        try:
            stamp, connection = self._take()
            try:
                connection.execute("BEGIN IMMEDIATE")
                yield connection
                connection.execute("COMMIT")
            except BaseException as error:
                _abandon(connection)
                if isinstance(error, sqlite3.Error):
                    raise self._down(error) from error
                raise
            self._free.append((stamp, connection))
        finally:
            self._writing.release()

    def close(self) -> None:
        """Closes every connection that nobody uses."""
        with self._watching:
            self._unwatch()
        while self._free:
            self._free.pop()[1].close()

    def _take(self) -> tuple[_Stamp, sqlite3.Connection]:
        self._leave_a_parent()
        now = self._present()
        while now is not None:
            try:
                stamp, connection = self._free.pop()
            except IndexError:
                break
            if stamp == now:
                return stamp, connection
            connection.close()
        return self._open()

    def _present(self) -> _Stamp | None:
        """The file that lies there now; None where it was never seen."""
        try:
            return _stamp_of(self.path)
        except OSError as error:
            if self._stamp is not None:
                raise StoreDownError(f"{self.path}: {error.strerror}. Put the file back.") from error
            return None

    def _unwatch(self) -> None:
        if self._watch is not None:
            self._watch[1].close()
            self._watch = None

    def _leave_a_parent(self) -> None:
        """After a fork, leaves the parent's connections open and unused: SQLite forbids even to close them here."""
        if self._pid != os.getpid():
            _of_the_parent.extend((self._free, self._watch))
            self._free, self._watch, self._pid = deque(), None, os.getpid()
            self._opening, self._writing, self._watching = threading.Lock(), threading.Lock(), threading.Lock()

    def _open(self) -> tuple[_Stamp, sqlite3.Connection]:
        mode = "rwc" if self._stamp is None else "rw"
        with self._opening:
            try:
                connection = sqlite3.connect(
                    f"file:{quote(os.fspath(self.path.absolute()))}?mode={mode}",
                    timeout=self._patience,
                    isolation_level=None,
                    check_same_thread=False,
                    uri=True,
                )
            except sqlite3.Error as error:
                raise self._down(error) from error
            try:
                self._prepare(connection)
                self._stamp = _stamp_of(self.path)
            except (sqlite3.Error, OSError) as error:
                connection.close()
                raise self._down(error) from error
            except StoreError:
                connection.close()
                raise
            return self._stamp, connection

    def _prepare(self, connection: sqlite3.Connection) -> None:
        for setting in _SETTINGS:
            connection.execute(f"PRAGMA {setting}")
        ours = _is_ours(connection, self.path)
        if not ours:
            connection.execute("PRAGMA page_size=8192")  # four rows of usual length a page
        self._write_ahead(connection)  # of a copy too: VACUUM INTO writes one that is not in that mode
        if not ours:
            connection.execute("BEGIN IMMEDIATE")
            if not _is_ours(connection, self.path):
                for table in self._tables:
                    connection.execute(table)
                connection.execute(f"PRAGMA application_id={_OURS}")
                connection.execute(f"PRAGMA user_version={_LAYOUT}")
            connection.execute("COMMIT")

    def _write_ahead(self, connection: sqlite3.Connection) -> None:
        """Switches the file to write-ahead mode; SQLite does not wait by itself for others who do the same."""
        until = time.monotonic() + self._patience
        while True:
            try:
                [(mode,)] = connection.execute("PRAGMA journal_mode=WAL")
            except sqlite3.OperationalError:
                if time.monotonic() > until:
                    raise
                time.sleep(0.01)
                continue
            if mode != "wal":
                raise StoreError(f"{self.path}: its folder cannot hold a write-ahead log. Choose a local disk.")
            return

    def _down(self, error: Exception) -> StoreDownError:
        code = error.sqlite_errorcode & 0xFF if isinstance(error, sqlite3.Error) else sqlite3.SQLITE_CANTOPEN
        return StoreDownError(f"{self.path}: {error}. {_REMEDIES.get(code, 'Look at the disk, then try again.')}")


_of_the_parent: list[object] = []


def _stamp_of(path: Path) -> _Stamp:
    found = os.stat(path)
    return found.st_dev, found.st_ino


def _is_ours(connection: sqlite3.Connection, path: Path) -> bool:
    """Returns whether the tables are made; a file of somebody else's tables is left alone."""
    [(owner,)] = connection.execute("PRAGMA application_id")
    [(layout,)] = connection.execute("PRAGMA user_version")
    if (owner, layout) == (_OURS, _LAYOUT):
        return True
    [(tables,)] = connection.execute("SELECT count(*) FROM sqlite_master")
    if owner == _OURS:
        raise StoreError(f"{path}: layout {layout}: expected {_LAYOUT}. Publish into a new file.")
    if tables or owner:
        raise StoreError(f"{path}: an SQLite file of another program. Choose another path.")
    return False


def _abandon(connection: sqlite3.Connection) -> None:
    """Takes back what was changed and closes; closing alone would do the same."""
    try:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
    except sqlite3.Error:
        pass
    finally:
        connection.close()
