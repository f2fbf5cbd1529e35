"""What tests of publishing share: the rows that a release has, and events that happened."""

from l2rec.serving.publishing.publish import PublishOptions
from l2rec.serving.records import Event, Release, UserRow
from l2rec.serving.store.sqlite import SqliteStore

SMALL = PublishOptions(k=9, batch=7)


def rows_of(store: SqliteStore, release: Release) -> dict[str, UserRow]:
    found = {}
    for user_id in store.user_ids(release.version, "", 10_000):
        row = store.user(release.version, user_id).row
        assert row is not None
        found[user_id] = row
    return found


def written(store: SqliteStore, release: Release) -> dict[str, bytes]:
    return {user_id: row.to_bytes() for user_id, row in rows_of(store, release).items()}


def happened(*pairs: tuple[str, str]) -> list[Event]:
    return [Event(f"e{n}", user, item, 1.6e9 + n) for n, (user, item) in enumerate(pairs)]
