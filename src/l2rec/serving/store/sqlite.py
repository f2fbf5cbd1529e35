"""The store in one SQLite file: the embedded default, for any number of processes of one machine."""

from collections.abc import Sequence
from pathlib import Path
from sqlite3 import Connection

from l2rec.errors import StoreError
from l2rec.serving.records import Event, Key, LiveItem, Release, UserRow, UserState
from l2rec.serving.store.contract import NEWEST, Store
from l2rec.serving.store.file import SqliteFile
from l2rec.serving.store.ids import checked, past, to_bytes, to_text

_TABLES = (
    # `turn` orders the releases that were switched to; the highest is the current one.
    """CREATE TABLE releases(id INTEGER PRIMARY KEY AUTOINCREMENT, version BLOB NOT NULL UNIQUE, body TEXT NOT NULL,
       done INTEGER NOT NULL DEFAULT 0, turn INTEGER)""",
    "CREATE TABLE dropped(release INTEGER PRIMARY KEY)",
    """CREATE TABLE rows(release INTEGER NOT NULL, user_id BLOB NOT NULL, upto INTEGER NOT NULL, data BLOB NOT NULL,
       UNIQUE(release, user_id))""",
    """CREATE TABLE events(number INTEGER PRIMARY KEY, event_id BLOB NOT NULL UNIQUE, user_id BLOB NOT NULL,
       item_id BLOB NOT NULL, time REAL NOT NULL)""",
    "CREATE INDEX events_of_a_user ON events(user_id, number)",
    "CREATE TABLE items(item_id BLOB PRIMARY KEY, number INTEGER NOT NULL UNIQUE, body TEXT NOT NULL)",
    "CREATE TABLE keys(digest BLOB PRIMARY KEY, name BLOB NOT NULL, body TEXT NOT NULL)",
)

_USER = f"""
WITH known AS (SELECT upto, data FROM rows
               WHERE release = (SELECT id FROM releases WHERE version = ?1) AND user_id = ?2)
SELECT 0, data, NULL, NULL FROM known
UNION ALL
SELECT * FROM (SELECT number, event_id, item_id, time FROM events
               WHERE user_id = ?2 AND number > coalesce((SELECT upto FROM known), 0)
               ORDER BY number DESC LIMIT {NEWEST})
"""
_CURRENT = "SELECT version, body FROM releases WHERE turn IS NOT NULL ORDER BY turn DESC LIMIT 1"
_STEP = 500
"""Rows that are deleted in one transaction."""


class SqliteStore(Store):
    """See the base class. Readers never wait for writers; an acknowledged change is on the disk."""

    is_local = True

    def __init__(self, path: Path, patience: float = 5.0) -> None:
        """Notes the file; it is opened, and made where it is missing, at the first call.

        Args:
            path: The file, on a local disk.
            patience: Seconds to wait for another process that writes.
        """
        self._file = SqliteFile(path, _TABLES, patience)

    def begin(self, release: Release) -> None:
        """See the base class."""
        with self._file.change() as file:
            found = file.execute(
                "SELECT body, turn FROM releases WHERE version = ?", [to_bytes(release.version)]
            ).fetchone()
            if found is None:
                body = [to_bytes(release.version), release.model_dump_json()]
                file.execute("INSERT INTO releases(version, body) VALUES (?, ?)", body)
            elif found[1] is not None or Release.model_validate_json(found[0]).finished is not None:
                raise StoreError(f"release {release.version}: finished before. Publish under another version.")

    def write_rows(self, version: str, rows: Sequence[tuple[str, bytes]], done: int) -> None:
        """See the base class."""
        known = [(to_bytes(user_id), UserRow.from_bytes(data).upto, data) for user_id, data in rows]
        with self._file.change() as file:
            release = _id_of(file, version)
            file.executemany(
                f"""INSERT INTO rows(release, user_id, upto, data) VALUES ({release}, ?, ?, ?)
                    ON CONFLICT(release, user_id) DO UPDATE SET upto = excluded.upto, data = excluded.data""",
                known,
            )
            file.execute("UPDATE releases SET done = ? WHERE id = ?", [done, release])

    def done(self, version: str) -> int:
        """See the base class."""
        found = self._file.read("SELECT done FROM releases WHERE version = ?", [to_bytes(version)])
        return int(found[0][0]) if found else 0

    def switch(self, release: Release) -> None:
        """See the base class."""
        if release.finished is None:
            raise StoreError(f"release {release.version}: not finished. Publish it to its end.")
        with self._file.change() as file:
            file.execute(
                """UPDATE releases SET body = ?, turn = (SELECT coalesce(max(turn), 0) + 1 FROM releases)
                   WHERE id = ?""",
                [release.model_dump_json(), _id_of(file, release.version)],
            )

    def rollback(self) -> Release:
        """See the base class."""
        with self._file.change() as file:
            turns = file.execute(_CURRENT.replace("LIMIT 1", "LIMIT 2")).fetchall()
            if len(turns) < 2:
                raise StoreError("rollback: no release was current before this one. Publish a run.")
            file.execute("UPDATE releases SET turn = NULL WHERE version = ?", [turns[0][0]])
            return Release.model_validate_json(turns[1][1])

    def current(self) -> Release | None:
        """See the base class."""
        found = self._file.read(_CURRENT)
        return Release.model_validate_json(found[0][1]) if found else None

    def releases(self) -> list[Release]:
        """See the base class."""
        found = self._file.read("SELECT body FROM releases ORDER BY id DESC")
        kept = [Release.model_validate_json(body) for (body,) in found]
        return sorted(kept, key=lambda release: release.created, reverse=True)

    def drop(self, version: str) -> None:
        """See the base class."""
        with self._file.change() as file:
            current = file.execute(_CURRENT).fetchone()
            if current is not None and current[0] == to_bytes(version):
                raise StoreError(f"release {version}: the current one. Switch to another first.")
            file.execute("INSERT INTO dropped SELECT id FROM releases WHERE version = ?", [to_bytes(version)])
            file.execute("DELETE FROM releases WHERE version = ?", [to_bytes(version)])
        # Rows that a killed process has left are found in `dropped` by the next one.
        while left := self._file.read("SELECT release FROM dropped LIMIT 1"):
            with self._file.change() as file:
                deleted = file.execute(
                    "DELETE FROM rows WHERE rowid IN (SELECT rowid FROM rows WHERE release = ? LIMIT ?)",
                    [left[0][0], _STEP],
                ).rowcount
                if deleted < _STEP:
                    file.execute("DELETE FROM dropped WHERE release = ?", [left[0][0]])

    def user(self, version: str, user_id: str) -> UserState:
        """See the base class."""
        row, events = None, []
        for number, first, item_id, time in self._file.read(_USER, [to_bytes(version), to_bytes(user_id)]):
            if number == 0:
                row = UserRow.from_bytes(first)
            else:
                events.append(Event(to_text(first), user_id, to_text(item_id), time, number))
        events.sort(key=lambda event: event.number)
        return UserState(row, tuple(events))

    def moment(self) -> object:
        """See the base class: a number in memory that all processes share, for a fifth of the time of a read."""
        return self._file.moment()

    def user_ids(self, version: str, prefix: str, limit: int) -> list[str]:
        """See the base class."""
        found = self._file.read(
            """SELECT user_id FROM rows WHERE release = (SELECT id FROM releases WHERE version = ?)
               AND user_id >= ? AND user_id < ? ORDER BY user_id LIMIT ?""",
            [to_bytes(version), to_bytes(prefix), past(prefix), max(limit, 0)],
        )
        return [to_text(user_id) for (user_id,) in found]

    def append(self, events: Sequence[Event]) -> list[bool]:
        """See the base class."""
        told = [(to_bytes(e.event_id), to_bytes(e.user_id), to_bytes(e.item_id), e.time) for e in checked(events)]
        with self._file.change() as file:
            return [
                file.execute(
                    """INSERT INTO events(event_id, user_id, item_id, time) VALUES (?, ?, ?, ?)
                       ON CONFLICT(event_id) DO NOTHING""",
                    event,
                ).rowcount
                == 1
                for event in told
            ]

    def events(self, after: int = 0, limit: int = 10_000) -> list[Event]:
        """See the base class."""
        found = self._file.read(
            "SELECT event_id, user_id, item_id, time, number FROM events WHERE number > ? ORDER BY number LIMIT ?",
            [after, max(limit, 0)],
        )
        return [Event(to_text(a), to_text(b), to_text(c), time, number) for a, b, c, time, number in found]

    def last_event(self) -> int:
        """See the base class."""
        return int(self._file.read("SELECT coalesce(max(number), 0) FROM events")[0][0])

    def put_items(self, items: Sequence[LiveItem]) -> int:
        """See the base class."""
        with self._file.change() as file:
            [(last,)] = file.execute("SELECT coalesce(max(number), 0) FROM items")
            for number, item in enumerate(items, start=last + 1):
                body = item.model_copy(update={"number": number}).model_dump_json()
                file.execute("INSERT OR REPLACE INTO items VALUES (?, ?, ?)", [to_bytes(item.item_id), number, body])
        return int(last) + len(items)

    def items(self, after: int = 0) -> list[LiveItem]:
        """See the base class."""
        found = self._file.read("SELECT body FROM items WHERE number > ? ORDER BY number", [after])
        return [LiveItem.model_validate_json(body) for (body,) in found]

    def put_key(self, key: Key) -> None:
        """See the base class."""
        with self._file.change() as file:
            body = [to_bytes(key.digest), to_bytes(key.name), key.model_dump_json()]
            file.execute("INSERT OR REPLACE INTO keys VALUES (?, ?, ?)", body)

    def keys(self) -> list[Key]:
        """See the base class."""
        return [Key.model_validate_json(body) for (body,) in self._file.read("SELECT body FROM keys ORDER BY digest")]

    def drop_key(self, name: str) -> int:
        """See the base class."""
        with self._file.change() as file:
            return file.execute("DELETE FROM keys WHERE name = ?", [to_bytes(name)]).rowcount

    def ping(self) -> None:
        """See the base class."""
        self._file.read("SELECT 1 FROM releases LIMIT 1")

    def close(self) -> None:
        """See the base class."""
        self._file.close()


def _id_of(file: Connection, version: str) -> int:
    found = file.execute("SELECT id FROM releases WHERE version = ?", [to_bytes(version)]).fetchone()
    if found is None:
        raise StoreError(f"release {version}: never begun, or dropped. Publish it again.")
    return int(found[0])
