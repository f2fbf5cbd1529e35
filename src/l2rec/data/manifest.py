"""The manifest of a prepared folder: where the data comes from, what was done to it, and its fingerprint."""

import hashlib
import json
from pathlib import Path
from typing import Literal

from pydantic import ValidationError

from l2rec.config import Settings
from l2rec.data.columns import Columns
from l2rec.data.splits import SplitSettings
from l2rec.errors import DataError

FILE = "manifest.json"
TABLES = ("items.parquet", "users.parquet", "train.parquet", "validation.parquet", "test.parquet")


class Counts(Settings):
    """How many of what."""

    rows: int
    """Rows of the log, blank ones excluded."""
    bad_rows: int
    """Rows that were dropped since they could not be read."""
    low_rating: int
    """Events that were dropped since their rating was too low or missing."""
    duplicate_rows: int
    """Events that were dropped as the second with the same user, item, time and rating."""
    outside_core: int
    """Training events that were dropped by the k-core."""
    outside_core_users: int
    """Users who left with all their events since the k-core kept none of their training events."""
    users: int
    """Users that were kept."""
    new_users: int
    """Users without a training event."""
    items: int
    """Items of the catalogue."""
    new_items: int
    """Items without a training event."""
    train_events: int
    """Events of the training part."""
    validation_events: int
    """Held-out events of the validation part."""
    validation_cases: int
    """Held-out events of the validation part that are asked for."""
    test_events: int
    """Held-out events of the test part."""
    test_cases: int
    """Held-out events of the test part that are asked for."""
    items_without_text: int
    """Items whose text is empty."""
    items_without_row: int
    """Items of the log that the items table lacks."""
    duplicate_items: int
    """Rows of the items table that were dropped since an earlier row has their id."""
    bad_items: int
    """Rows of the items table that were dropped since they could not be read or have no id."""
    users_without_events: int
    """Rows of the users table that were dropped since the log lacks their id."""
    duplicate_users: int
    """Rows of the users table that were dropped since an earlier row has their id."""


class Manifest(Settings):
    """What a prepared folder says of itself."""

    format: Literal[1] = 1
    """Version of the folder's layout."""
    source: str
    """Name of the folder or file that was read."""
    source_kind: str
    """The public format it was read as."""
    columns: Columns
    """The columns that were read, guesses filled in."""
    split: SplitSettings
    """How the log was divided."""
    split_name: str
    """What a protocol calls the split."""
    timestamp_kind: Literal["seconds", "position"]
    """Whether a timestamp is a time or a position in the user's sequence."""
    first_time: int
    """The earliest timestamp of all parts."""
    last_time: int
    """The latest timestamp of all parts."""
    validation_from: int | None
    """First second of the validation part of a temporal split."""
    test_from: int | None
    """First second of the test part of a temporal split."""
    tie_share: float
    """Share of all events that have the timestamp of another event of the same user."""
    user_columns: tuple[str, ...]
    """What each number of a user's attribute vector means."""
    left_out_user_columns: tuple[str, ...]
    """Columns of the users table that make no number, with the reason."""
    counts: Counts
    """How many of what."""
    files: dict[str, str]
    """SHA-256 of every table's bytes, by file name."""
    fingerprint: str = ""
    """SHA-256 of all that stands above."""

    def signed(self) -> "Manifest":
        """Returns the manifest with its fingerprint."""
        return self.model_copy(update={"fingerprint": self._digest()})

    def _digest(self) -> str:
        values = self.model_dump(mode="json", exclude={"fingerprint"})
        return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()

    def write(self, folder: Path) -> None:
        """Writes the manifest into its folder."""
        text = json.dumps(self.model_dump(mode="json"), indent=1, ensure_ascii=False)
        (folder / FILE).write_text(text + "\n", encoding="utf-8")


def read(folder: Path) -> Manifest:
    """Returns the manifest of a prepared folder after comparing every table with it.

    Raises:
        DataError: the folder is missing, half written, changed, or of another format.
    """
    again = "Run l2rec prepare again."
    try:
        manifest = Manifest.model_validate_json((folder / FILE).read_text(encoding="utf-8"))
    except OSError:
        raise DataError(f"{folder}: not a prepared folder: it has no {FILE}. {again}") from None
    except (ValidationError, UnicodeDecodeError) as error:
        raise DataError(f"{folder / FILE}: cannot be read: {str(error).splitlines()[0]}. {again}") from None
    if manifest.signed() != manifest:
        raise DataError(f"{folder / FILE}: changed since it was written. {again}")
    for name in TABLES:
        path = folder / name
        if not path.is_file():
            raise DataError(f"{path}: missing. {again}")
        if digest(path) != manifest.files.get(name):
            raise DataError(f"{path}: changed since it was written. {again}")
    return manifest


def described(folder: Path) -> bool:
    """Returns whether a folder's manifest is that of a prepared folder, be its tables whole or not; a run's is not."""
    try:
        Manifest.model_validate_json((folder / FILE).read_bytes())
    except (OSError, ValidationError):
        return False
    return True


def digest(path: Path) -> str:
    """Returns the SHA-256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
