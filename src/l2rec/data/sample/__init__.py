"""The bundled sample: MovieLens ml-latest-small, the files as published, under its own terms."""

from pathlib import Path

CITATION = (
    "F. Maxwell Harper and Joseph A. Konstan. 2015. The MovieLens Datasets: History and Context. "
    "ACM Transactions on Interactive Intelligent Systems (TiiS) 5, 4: 19:1-19:19. https://doi.org/10.1145/2827872"
)
"""What its terms ask every publication to cite; the terms are in `README.txt` beside the files."""


def path() -> Path:
    """Returns the folder of the sample; its tables are gzipped, otherwise byte for byte the official ones."""
    return Path(__file__).parent / "ml-latest-small"
