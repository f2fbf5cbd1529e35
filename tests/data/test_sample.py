"""The bundled sample is the published data set, whole, with its terms and its citation."""

import csv
import gzip
import hashlib
from pathlib import Path

import pytest

from l2rec.data import sample
from l2rec.data.splits import SplitSettings
from l2rec.errors import DataError

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


def test_the_sample_is_prepared_once_and_again_when_damaged_or_divided_otherwise(tmp_path: Path) -> None:
    cache = tmp_path / "sample"
    first = sample.load_or_prepare(cache)
    counts = first.manifest.counts
    assert first.manifest.source_kind == "movielens"
    assert (len(first.user_ids), len(first.items)) == (610, 9_742)
    assert counts.train_events + counts.validation_events + counts.test_events == 100_836
    toy_story = first.item_ids.number("1")
    assert first.items.titles[toy_story] == "Toy Story (1995)"
    written = (cache / "train.parquet").stat().st_mtime_ns

    assert sample.load_or_prepare(cache).manifest == first.manifest
    assert (cache / "train.parquet").stat().st_mtime_ns == written

    otherwise = sample.load_or_prepare(cache, SplitSettings(seed=1))
    assert otherwise.manifest.split.seed == 1
    (cache / "train.parquet").write_bytes(b"damaged")
    assert sample.load_or_prepare(cache).manifest == first.manifest


def test_a_folder_of_something_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("do not lose me")
    with pytest.raises(DataError, match=r"exists and is no prepared folder\. Choose another folder\."):
        sample.load_or_prepare(tmp_path)
    assert (tmp_path / "thesis.txt").read_text() == "do not lose me"
