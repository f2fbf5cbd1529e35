"""Tables: ids as text from any type, and a Parquet file as the readers see it."""

from pathlib import Path

import polars as pl
import pytest

from l2rec.data.tables import ROW, ParquetTable, identifier, parquet_columns
from l2rec.errors import DataError


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (["a", " b ", "", None, "  "], ["a", "b", "", "", ""]),
        ([1, -2, None], ["1", "-2", ""]),
        ([1.0, 2.5, None], ["1", "2.5", ""]),
        ([2**62], [str(2**62)]),
        (["007", "1.0"], ["007", "1.0"]),
        ([True, False], ["true", "false"]),
    ],
)
def test_an_id_is_text_whatever_it_was(values: list[object], expected: list[str]) -> None:
    frame = pl.DataFrame({"id": values})
    assert frame.select(identifier("id", frame.schema["id"]))["id"].to_list() == expected


def test_a_parquet_table_gives_the_wanted_columns_and_the_row(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    pl.DataFrame({"a": [5, 6], "b": ["x", None], "c": [0, 0]}).write_parquet(path)
    table = ParquetTable(path, parquet_columns(path))
    assert table.columns == ("a", "b", "c")
    frame = table.scan(["b", "a"]).collect()
    assert frame.columns == [ROW, "b", "a"]
    assert frame.rows() == [(0, "x", 5), (1, None, 6)]
    assert table.patient(["b", "a"], drop=True)[0].equals(frame)
    assert (table.place(1), table.value(0, "b"), table.value(1, "b")) == ("t.parquet row 2", "x", "")


def test_a_missing_parquet_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(
        DataError, match=r"gone\.parquet: no such file\. Pass the path of a file or folder that is there\."
    ):
        parquet_columns(tmp_path / "gone.parquet")


def test_a_parquet_file_that_breaks_off_is_refused_when_read(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    pl.DataFrame({"a": range(10_000)}).write_parquet(path)
    table = ParquetTable(path, ("a",))
    path.write_bytes(path.read_bytes()[:500])
    with pytest.raises(DataError, match=r"t\.parquet: not a readable Parquet file: .*\. Write or fetch it again\."):
        table.patient(["a"], drop=False)
