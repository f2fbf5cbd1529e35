"""The bundled sample is the published data set, whole, with its terms and its citation."""

import csv
import gzip
import hashlib
from pathlib import Path

import pytest

from l2rec.data import sample

OFFICIAL = {
    "ratings.csv": (2_483_723, 100_836),
    "movies.csv": (494_431, 9_742),
    "tags.csv": (118_660, 3_683),
    "links.csv": (197_979, 9_742),
}
"""Bytes and rows of the published files; the rows are also told by the README of the data set."""


@pytest.mark.parametrize("name", OFFICIAL)
def test_a_table_holds_the_published_bytes_and_rows(name: str) -> None:
    content = gzip.decompress((sample.path() / f"{name}.gz").read_bytes())
    rows = list(csv.reader(content.decode("utf-8").splitlines()))
    assert (len(content), len(rows) - 1) == OFFICIAL[name]


def test_the_readme_is_the_published_one_with_terms_and_citation() -> None:
    content = (sample.path() / "README.txt").read_bytes()
    assert len(content) == 8_342
    assert hashlib.sha256(content).hexdigest().startswith("63d22ac138e80fae")
    text = content.decode("utf-8")
    assert "The user may redistribute the data set, including transformations" in text
    quoted = text.split("> F. Maxwell")[1].split("\n")[0].replace("–", "-").replace("<", "").replace(">", "")
    assert f"F. Maxwell{quoted}" == sample.CITATION


def test_the_archives_carry_no_date_so_that_a_wheel_is_reproducible() -> None:
    for archive in sample.path().glob("*.gz"):
        assert archive.read_bytes()[4:8] == bytes(4), archive.name


def test_the_sample_lies_inside_the_package() -> None:
    package = Path(sample.__file__).parents[2]
    assert package.name == "l2rec"
    assert sample.path().is_relative_to(package)
    assert sum(f.stat().st_size for f in sample.path().iterdir()) < 1_100_000
