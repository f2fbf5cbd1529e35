"""The log's rows: what is read, what is refused with its line, what is dropped and counted."""

from pathlib import Path

import polars as pl
import pytest

from l2rec.data import interactions, times
from l2rec.data.columns import Columns
from l2rec.data.interactions import Log
from l2rec.data.sources import find
from l2rec.errors import DataError
from tests.data.logs import LOG, write


def read(path: Path, columns: Columns | None = None) -> Log:
    return interactions.read(find(path, "auto", columns or Columns()), path.parent)


def rows(log: Log) -> list[tuple[object, ...]]:
    return sorted(pl.read_parquet(log.path).rows())


GOOD = LOG + "anna,x,1000\n"
STRANGE = '"b ""q"", ü",  y\u200b ,2000'


def test_quotes_commas_blanks_and_unicode_in_ids_are_kept_but_for_outer_blanks(tmp_path: Path) -> None:
    log = read(write(tmp_path / "log.csv", GOOD + STRANGE + "\n"))
    assert rows(log) == [("anna", "x", 1_000_000_000), ('b "q", ü', "y\u200b", 2_000_000_000)]


@pytest.mark.parametrize("suffix", ["csv", "csv.gz"])
def test_a_byte_order_mark_and_windows_line_ends_change_nothing(tmp_path: Path, suffix: str) -> None:
    log = read(write(tmp_path / f"log.{suffix}", "\ufeff" + GOOD.replace("\n", "\r\n")))
    assert rows(log) == [("anna", "x", 1_000_000_000)]


def test_a_byte_order_mark_before_json_changes_nothing(tmp_path: Path) -> None:
    log = read(write(tmp_path / "log.jsonl", '\ufeff{"user_id": 1, "item_id": "x", "timestamp": 1000}\n'))
    assert rows(log) == [("1", "x", 1_000_000_000)]


def test_a_field_of_a_million_characters_is_read(tmp_path: Path) -> None:
    text = "user_id,item_id,timestamp,review\na,x,5," + '"' + "word, " * 200_000 + '"\n'
    assert rows(read(write(tmp_path / "log.csv", text))) == [("a", "x", 5_000_000)]
    broken = text + "b,y,soon,short\n"
    with pytest.raises(DataError, match=r'log\.csv line 3: timestamp "soon"'):
        read(write(tmp_path / "log.csv", broken))


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (
            "bob,y,yesterday",
            r'timestamp "yesterday": expected seconds since 1970 or an ISO date\. Fix .* --time-format\.',
        ),
        ("bob,y,", r"timestamp: empty\. Fix the row, or pass --bad-rows drop\."),
        ("bob,y,nan", r'timestamp "nan": expected seconds'),
        ("bob,y,inf", r'timestamp "inf": expected seconds'),
        ("bob,,5", r"item_id: empty\. Fix"),
        ('"  ",y,5', r"user_id: empty\. Fix"),
        ("bob,y", r"timestamp: empty\. Fix"),
        ("bob,y,5,6", r"4 fields: expected 3 \(user_id, item_id, timestamp\)\. Fix the row, or pass --bad-rows drop\."),
    ],
)
def test_a_bad_row_is_refused_with_its_line_or_dropped_and_counted(tmp_path: Path, row: str, message: str) -> None:
    # Line 3 to 4 is one row whose item has a line break, and line 5 is blank: the bad row stands on line 6.
    path = write(tmp_path / "log.csv", GOOD + 'carl,"x\ny",1500\n\n' + row + "\ndora,z,1600\n")
    with pytest.raises(DataError, match=rf"log\.csv line 6: {message}"):
        read(path)
    log = read(path, Columns(bad_rows="drop"))
    assert [user for user, _, _ in rows(log)] == ["anna", "carl", "dora"]
    assert (log.rows, log.bad_rows) == (4, 1)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"user_id": "b", ', r"not JSON: .*\. Fix the row, or pass --bad-rows drop\."),
        ('["b", "y", 5]', r"expected a JSON object in braces\. Fix the row"),
        ('{"user_id": "b", "item_id": "y"}', r"timestamp: empty\. Fix the row"),
        ('{"user_id": "b", "item_id": "y", "timestamp": {"at": 5}}', r'timestamp "\{"at": 5\}": expected seconds'),
    ],
)
def test_a_bad_line_of_json_is_refused_with_its_number_or_dropped(tmp_path: Path, line: str, message: str) -> None:
    good = '{"user_id": "a", "item_id": "x", "timestamp": 1000}\n'
    path = write(tmp_path / "log.jsonl", good + "\n" + line + "\n" + good.replace("x", "z"))
    with pytest.raises(DataError, match=rf"log\.jsonl line 3: {message}"):
        read(path)
    log = read(path, Columns(bad_rows="drop"))
    assert [item for _, item, _ in rows(log)] == ["x", "z"]
    assert (log.rows, log.bad_rows) == (3, 1)


def test_a_bad_row_of_parquet_is_refused_with_its_number(tmp_path: Path) -> None:
    frame = pl.DataFrame({"user_id": ["a", "b"], "item_id": ["x", "y"], "timestamp": [5, None]})
    frame.write_parquet(tmp_path / "log.parquet")
    with pytest.raises(DataError, match=r"log\.parquet row 2: timestamp: empty\. Fix the row"):
        read(tmp_path / "log.parquet")


def test_a_rating_that_is_no_number_is_refused_and_an_empty_one_is_unknown(tmp_path: Path) -> None:
    head = "user_id,item_id,timestamp,rating\n"
    path = write(tmp_path / "log.csv", head + "a,x,5,\nb,x,5,2.5\nc,x,5,five\n")
    with pytest.raises(DataError, match=r'log\.csv line 4: rating "five": expected a number\. Fix .* --rating none\.'):
        read(path)
    log = read(path, Columns(bad_rows="drop"))
    assert [rating for *_, rating in rows(log)] == [None, 2.5]
    assert not read(path, Columns(rating="none")).rated


def test_a_quote_that_is_never_closed_is_refused_with_the_line_where_it_opens(tmp_path: Path) -> None:
    path = write(tmp_path / "log.csv", GOOD + 'bob,"y,2000\ncarl,z,3000\n')
    with pytest.raises(
        DataError, match=r"log\.csv line 3: a double quote is never closed\. Close it, or pass --no-quo"
    ):
        read(path, Columns(bad_rows="drop"))
    assert ("bob", '"y', 2_000_000_000) in rows(read(path, Columns(quotes=False)))


def test_quotes_in_tsv_are_plain_characters(tmp_path: Path) -> None:
    path = write(tmp_path / "log.tsv", LOG.replace(",", "\t") + 'a\t5" pipe\t5\n')
    assert rows(read(path)) == [("a", '5" pipe', 5_000_000)]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r"log\.csv: no header in line 1\. Put the columns' names there\."),
        (LOG, r"log\.csv: no events are left: it has no rows\. Check the file and the columns' names\."),
        (LOG + "\n,,\n", r"log\.csv: no events are left: it has no rows\."),
        (LOG + "a,x,soon\n", r"log\.csv: no events are left: 1 bad rows were dropped\."),
        ("user_id,item_id,user_id\n", r'log\.csv: the column "user_id" occurs twice\. Rename one of them\.'),
    ],
)
def test_a_log_without_events_is_refused(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        read(write(tmp_path / "log.csv", text), Columns(bad_rows="drop"))


def test_bytes_of_another_encoding_are_refused_and_read_when_named(tmp_path: Path) -> None:
    path = write(tmp_path / "log.csv", LOG + "josé,x,5\n", "latin-1")
    with pytest.raises(DataError, match=r"log\.csv: byte 0xe9 is not utf-8\. Pass --encoding latin-1, or convert"):
        read(path)
    assert rows(read(path, Columns(encoding="latin-1"))) == [("josé", "x", 5_000_000)]


def test_a_damaged_gzip_file_and_a_damaged_parquet_file_are_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "log.csv.gz", GOOD * 50)
    path.write_bytes(path.read_bytes()[:-12])
    with pytest.raises(DataError, match=r"log\.csv\.gz: cannot be read: .* Fetch it again\."):
        read(path)
    with pytest.raises(DataError, match=r"log\.parquet: not a readable Parquet file: .*\. Write or fetch it again\."):
        read(write(tmp_path / "log.parquet", "no"))


MOMENT = 1_577_880_000 * 1_000_000  # 2020-01-01 12:00 UTC in microseconds


@pytest.mark.parametrize(
    ("text", "columns"),
    [
        ("1577880000", Columns()),
        ("1577880000.0", Columns()),
        ("1577880000000", Columns()),
        ("1577880000000000", Columns()),
        ("1577880000000000000", Columns()),
        ("1577880000000", Columns(time_format="milliseconds")),
        ("2020-01-01T12:00:00", Columns()),
        ("2020-01-01 12:00:00.000", Columns()),
        ("2020-01-01T12:00:00Z", Columns()),
        ("2020-01-01 13:00:00+01:00", Columns()),
        ("2020-01-01T12:00", Columns()),
        ("2020-01-01 12:00", Columns()),
        ("2020-01-01 12:00Z", Columns()),
        ("2020-01-01T13:00+01:00", Columns()),
        ("2020-01-01 12:00 UTC", Columns()),
        ("2020-01-01 12:00:00 UTC", Columns()),
        ("2020-01-01 12:00:00.000000 UTC", Columns()),
        ("01/01/2020 12:00", Columns(time_format="%d/%m/%Y %H:%M")),
    ],
)
def test_one_moment_is_read_from_every_form(tmp_path: Path, text: str, columns: Columns) -> None:
    log = read(write(tmp_path / "log.csv", LOG + f"a,x,{text}\n"), columns)
    assert rows(log) == [("a", "x", MOMENT)]


def test_a_plain_date_is_its_first_second(tmp_path: Path) -> None:
    assert rows(read(write(tmp_path / "log.csv", LOG + "a,x,2020-01-01\n")))[0][2] == MOMENT - 12 * 3600 * 1_000_000


AUTO = r"a time in any unit is between the years 1 and 9999, and this is not"
SECONDS = r"a time in seconds is between the years 1 and 9999, and this is not"


@pytest.mark.parametrize(
    ("value", "form", "message"),
    [
        ("1577880000000000000", "seconds", SECONDS),
        ("1577880000000", "seconds", SECONDS),
        ("-62135596801", "seconds", SECONDS),
        ("1e30", "auto", AUTO),
        ("-1e30", "auto", AUTO),
        ("1e19", "position", r"expected a position between -9e18 and 9e18"),
    ],
)
@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_a_time_that_no_calendar_holds_is_refused_with_its_row_or_dropped(
    tmp_path: Path, value: str, form: str, message: str, suffix: str
) -> None:
    path = write(tmp_path / "log.csv", GOOD + f"bob,y,{value}\n")
    place = "line 3"
    if suffix == "parquet":
        path, place = tmp_path / "log.parquet", "row 2"
        pl.read_csv(tmp_path / "log.csv", schema_overrides={"timestamp": pl.Float64}).write_parquet(path)
    with pytest.raises(
        DataError,
        match=rf'{path.name} {place}: timestamp ".*": {message}\. Fix the row, or pass another --time-format\.$',
    ):
        read(path, Columns(time_format=form))
    log = read(path, Columns(time_format=form, bad_rows="drop"))
    assert (len(rows(log)), log.bad_rows) == (1, 1)


def test_times_before_the_year_1_in_the_unit_that_the_largest_tells_are_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "log.csv", GOOD + "bob,y,-1e13\n")
    with pytest.raises(
        DataError,
        match=r"log\.csv: times from -10000000000000 to 1000: in seconds the first is before the year 1\. "
        r"Fix them, or pass --time-format with their unit\.",
    ):
        read(path)


@pytest.mark.parametrize("kind", [pl.String, pl.Int64, pl.Float64])
def test_numbers_that_are_all_days_are_refused_and_read_when_the_format_is_named(
    tmp_path: Path, kind: type[pl.DataType]
) -> None:
    path = tmp_path / "days.parquet"
    frame = pl.DataFrame({"user_id": ["a", "a"], "item_id": ["x", "y"], "timestamp": [20200101, 20200229]})
    frame.with_columns(pl.col("timestamp").cast(kind)).write_parquet(path)
    message = r"days\.parquet: times from 20200101 to 20200229: all look like dates written yyyymmdd\. "
    with pytest.raises(DataError, match=message + r"Pass --time-format %Y%m%d if they are, or --time-format seconds\."):
        read(path)
    day = MOMENT - 12 * 3600 * 1_000_000
    assert [time for *_, time in rows(read(path, Columns(time_format="%Y%m%d")))] == [day, day + 59 * 86400 * 1_000_000]
    assert rows(read(path, Columns(time_format="seconds")))[0][2] == 20200101 * 1_000_000


@pytest.mark.parametrize("other", ["20200230", "20200101.5", "18991231", "21010101"])
def test_one_number_that_is_no_day_makes_all_of_them_seconds(tmp_path: Path, other: str) -> None:
    log = read(write(tmp_path / "log.csv", LOG + f"a,x,20200101\na,y,{other}\n"))
    assert rows(log)[0][2] == 20200101 * 1_000_000


def test_positions_that_look_like_days_stay_positions(tmp_path: Path) -> None:
    log = read(write(tmp_path / "log.csv", LOG + "a,x,20200101\n"), Columns(time_format="position"))
    assert rows(log)[0][2] == 20200101


def test_seconds_and_milliseconds_in_one_column_are_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "log.csv", LOG + "a,x,1577880000\na,y,1577880000000\n")
    with pytest.raises(
        DataError, match=r"log\.csv: times from 1577880000 to 1577880000000: seconds and milliseconds mixed"
    ):
        read(path)


def test_a_time_that_does_not_fit_the_pattern_is_refused_with_the_pattern(tmp_path: Path) -> None:
    path = write(tmp_path / "log.csv", LOG + "a,x,2020-01-01\n")
    with pytest.raises(DataError, match=r'timestamp "2020-01-01": expected what --time-format %d/%m/%Y says\. Fix'):
        read(path, Columns(time_format="%d/%m/%Y"))


def test_the_dates_of_a_setting_are_read_as_utc() -> None:
    assert times.seconds("2020-01-01T12:00:00", "x") == times.seconds("2020-01-01T13:00:00+01:00", "x") == 1577880000
