"""A user's attribute vector: what becomes a number, and that training users alone decide how."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from l2rec.data import people
from l2rec.data.columns import Columns, resolved
from l2rec.data.lines import CsvTable
from l2rec.data.sources._open import table
from l2rec.data.tables import KEY
from tests.data.logs import people as by_id
from tests.data.logs import prepared, write

ALL = np.array([True, True, True])


def vectors(path: Path, trained: np.ndarray = ALL, **settings: object) -> people.Vectors:
    log = CsvTable(path.parent / "log.csv", ("user_id", "item_id", "timestamp"))
    users = table(path, "utf-8", None)
    found = people.read(users, resolved(Columns.model_validate(settings), log, None, users))
    assert found is not None
    return people.vectors(found.frame.drop(KEY), trained)


def test_numbers_are_standardised_and_texts_become_one_column_a_value(tmp_path: Path) -> None:
    found = vectors(write(tmp_path / "users.csv", "user_id,age,gender\na,20,F\nb,30,M\nc,40,F\n"))
    assert found.names == ("age", "gender=F", "gender=M")
    deviation = np.sqrt(200 / 3)
    expected = [[-10 / deviation, 1, 0], [0, 0, 1], [10 / deviation, 1, 0]]
    np.testing.assert_allclose(found.values, expected, rtol=1e-6)


def test_what_only_a_newcomer_has_moves_no_other_vector(tmp_path: Path) -> None:
    head = "user_id,age,gender\na,20,F\nb,30,M\n"
    plain = vectors(write(tmp_path / "users.csv", head + "c,25,F\n"), np.array([True, True, False]))
    extreme = vectors(write(tmp_path / "users.csv", head + "c,999,X\n"), np.array([True, True, False]))
    assert plain.names == extreme.names
    np.testing.assert_array_equal(plain.values[:2], extreme.values[:2])
    assert extreme.values[2, 1:].tolist() == [0, 0]


def test_a_missing_value_is_the_mean_and_no_category(tmp_path: Path) -> None:
    found = vectors(write(tmp_path / "users.csv", "user_id,age,gender\na,20,F\nb,40,M\nc,,\n"))
    assert found.values[2].tolist() == [0, 0, 0]


def test_codes_with_leading_zeros_and_postal_codes_are_no_numbers(tmp_path: Path) -> None:
    found = vectors(write(tmp_path / "users.csv", "user_id,branch,zip_code\na,01,10115\nb,02,80331\nc,02,10115\n"))
    assert found.names == ("branch=01", "branch=02", "zip_code=10115", "zip_code=80331")


def test_a_column_with_too_many_values_or_one_is_left_out_with_the_reason(tmp_path: Path) -> None:
    rows = "".join(f"u{n},name {n},same,7\n" for n in range(70))
    found = vectors(write(tmp_path / "users.csv", "user_id,name,country,age\n" + rows), np.ones(70, bool))
    assert found.values.shape == (70, 0)
    assert found.left_out == (
        "name: 70 values among training users, expected 2 to 64",
        "country: 1 values among training users, expected 2 to 64",
        "age: the same for all training users",
    )


def test_of_two_rows_with_one_id_the_first_counts(tmp_path: Path) -> None:
    path = write(tmp_path / "users.csv", "user_id,age\na,20\na,30\n")
    log = CsvTable(tmp_path / "log.csv", ("user_id", "item_id", "timestamp"))
    users = table(path, "utf-8", None)
    found = people.read(users, resolved(Columns(), log, None, users))
    assert found is not None
    assert found.duplicates == 1
    assert found.frame.rows() == [("a", 20.0)]


def test_numbers_of_parquet_stay_numbers(tmp_path: Path) -> None:
    frame = pl.DataFrame({"user_id": ["a", "b", "c"], "age": [1, 2, None], "gender": ["F", "M", "F"]})
    frame.write_parquet(tmp_path / "users.parquet")
    assert vectors(tmp_path / "users.parquet").values[:, 0].tolist() == [-1, 1, 0]


def test_columns_counted_over_all_dates_are_not_taken_by_themselves(tmp_path: Path) -> None:
    path = write(tmp_path / "users.csv", "user_id,review_count,age\na,1,3\nb,2,4\nc,3,5\n")
    assert vectors(path).names == ("age",)


@pytest.mark.parametrize("wanted", [(), ("age",)])
def test_only_the_named_columns_enter_the_vector(tmp_path: Path, wanted: tuple[str, ...]) -> None:
    path = write(tmp_path / "users.csv", "user_id,gender,age\na,F,3\nb,M,4\nc,F,5\n")
    assert vectors(path, user_attributes=wanted).names == wanted


@pytest.mark.parametrize("name", ["user_id", "id", "vector"])
def test_an_attribute_may_have_a_name_that_the_prepared_folder_uses(tmp_path: Path, name: str) -> None:
    folder = tmp_path / "s"
    write(folder / "log.csv", "user_id,item_id,timestamp\na,x,1\nb,x,2\n")
    write(folder / "users.csv", f"uid,{name}\na,10\nb,30\n")
    data = prepared(folder, Columns(user_key="uid", user_attributes=(name,)))
    assert data.manifest.user_columns == (name,)
    assert by_id(data) == {"a": [-1], "b": [1]}
    kept = pl.read_parquet(data.folder / "users.parquet")
    assert sorted(kept["user_id"]) == ["a", "b"]
    assert sorted(kept[name if name == "id" else f"attribute {name}"]) == [10, 30]
