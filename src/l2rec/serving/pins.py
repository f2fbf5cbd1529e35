"""Pins: what the files of a finished run hashed to, so that one that was lost, cut or changed is refused."""

import hashlib
from collections.abc import Iterable, Mapping
from functools import lru_cache
from pathlib import Path

from l2rec.errors import RunError
from l2rec.models._checkpoint import WEIGHTS

IDS = "ids"


def pins_of(folder: Path, paths: Iterable[Path]) -> dict[str, str]:
    """Returns the SHA-256 of files by their names within a folder.

    Raises:
        RunError: one cannot be read.
    """
    found = {path.relative_to(folder).as_posix(): file_hash(path) for path in paths}
    for name, digest in found.items():
        if not digest:
            raise RunError(f"{folder / name}: not written. Train the run again.")
    return found


def pinned_files(folder: Path) -> dict[str, str]:
    """Returns the hashes of a run's weights and of every file in its ids/; `RunFolder.write` adds the settings'.

    Raises:
        RunError: the weights are missing.
    """
    return pins_of(folder, [folder / WEIGHTS, *sorted((folder / IDS).glob("*"))])


def refuse_changed(folder: Path, pins: Mapping[str, str], names: Iterable[str]) -> None:
    """Refuses files that are not what they were when they were pinned.

    Whoever may write the pins may write others: this finds damage, half a copy and hands that slipped. Against more
    than that, a store keeps the hash of the weights that were published.

    Args:
        folder: Where the files lie.
        pins: SHA-256 by name within the folder.
        names: Which of them to look at.

    Raises:
        RunError: one is missing, cut or changed, or has no pin among others that have one.
    """
    for name in names:
        found, pinned = file_hash(folder / name), pins.get(name, "no hash")
        if found != pinned:
            told = f"sha256 {found[:12]}" if found else "missing"
            raise RunError(
                f"{folder / name}: {told}, the finished run had {pinned[:12]}: lost, cut or changed since. "
                "Restore a copy, or train again."
            )


def file_hash(path: Path) -> str:
    """Returns the SHA-256 of a file in hexadecimal; nothing where it cannot be read.

    A file that was read before is read again only where the system says that it was written or replaced since.
    """
    try:
        facts = path.stat()
        return _read(path.resolve(), (facts.st_dev, facts.st_ino, facts.st_size, facts.st_mtime_ns, facts.st_ctime_ns))
    except OSError:
        return ""


@lru_cache(maxsize=64)
def _read(path: Path, _: tuple[int, ...]) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
