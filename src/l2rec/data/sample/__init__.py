"""The bundled sample: MovieLens ml-latest-small, the files as published, under its own terms."""

from pathlib import Path

from l2rec.data.prepare import prepare
from l2rec.data.prepared import Prepared, load
from l2rec.data.splits import SplitSettings
from l2rec.errors import DataError

CITATION = (
    "F. Maxwell Harper and Joseph A. Konstan. 2015. The MovieLens Datasets: History and Context. "
    "ACM Transactions on Interactive Intelligent Systems (TiiS) 5, 4: 19:1-19:19. https://doi.org/10.1145/2827872"
)
"""What its terms ask every publication to cite; the terms are in `README.txt` beside the files."""

_DEFAULT_SPLIT = SplitSettings()


def path() -> Path:
    """Returns the folder of the sample; its tables are gzipped, otherwise byte for byte the official ones."""
    return Path(__file__).parent / "ml-latest-small"


def load_or_prepare(cache: Path, split: SplitSettings = _DEFAULT_SPLIT) -> Prepared:
    """Returns the prepared sample, kept in `cache` so that it is prepared once.

    Args:
        cache: The prepared folder; written where it is missing, damaged or divided otherwise.
        split: How the log is divided.

    Raises:
        DataError: `cache` holds something else.
    """
    try:
        kept = load(cache)
    except DataError:
        return prepare(path(), cache, split=split, force=True)
    return kept if kept.manifest.split == split else prepare(path(), cache, split=split, force=True)
