"""Tables: ids as text from any type, and a Parquet file as the readers see it."""

from pathlib import Path

import polars as pl
import pytest

from l2rec.data.tables import ROW, ParquetTable, identifier, parquet_columns, unpointed
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


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (["7.0", " 10.0", "", None, "-2.0", "0.0"], ["7", "10", "", None, "-2", "0"]),
        (["1.0"] * 1000 + ["1.1"], None),
        (["1.0", "2"], None),
        (["007.0"], None),
        (["7.00"], None),
        ([7.0, 8.5], None),
    ],
)
def test_only_a_column_of_nothing_but_whole_floats_loses_its_points(
    values: list[object], expected: list[object] | None
) -> None:
    frame = pl.DataFrame({"id": values, "other": values}).lazy()
    found = unpointed(frame, ["id"]).collect()
    assert found["id"].to_list() == (expected or values)
    assert found["other"].to_list() == values


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
