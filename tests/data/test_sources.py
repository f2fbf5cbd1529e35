"""Every public format, read from small files in its exact layout, with what makes it hostile."""

from pathlib import Path

import polars as pl
import pytest

from l2rec.data.columns import Columns
from l2rec.data.prepare import prepare
from l2rec.errors import DataError
from tests.data.logs import events, json_lines, people, prepared, ratings, texts, tokens, write

EVENTS = [("anna", "x", 10), ("anna", "y", 20), ("anna", "z", 30), ("bob", "y", 15)]


def table_text(kind: str) -> str:
    if kind.startswith("jsonl"):
        return json_lines({"user_id": u, "item_id": i, "timestamp": t, "rating": 4.5} for u, i, t in EVENTS)
    comma = "," if kind.startswith("csv") else "\t"
    rows = [["user_id", "item_id", "timestamp", "rating"], *([u, i, str(t), "4.5"] for u, i, t in EVENTS)]
    return "".join(comma.join(row) + "\n" for row in rows)


@pytest.mark.parametrize("kind", ["csv", "csv.gz", "tsv", "tsv.gz", "jsonl", "jsonl.gz"])
def test_the_same_log_is_read_from_every_text_format(tmp_path: Path, kind: str) -> None:
    write(tmp_path / "log" / f"interactions.{kind}", table_text(kind))
    data = prepared(tmp_path / "log")
    assert events(data) == EVENTS
    assert ratings(data) == [4.5] * 4
    assert data.manifest.source_kind == "generic"


def test_a_log_is_read_from_parquet_and_from_a_single_file(tmp_path: Path) -> None:
    frame = pl.DataFrame(EVENTS, ["user_id", "item_id", "timestamp"], orient="row")
    frame.write_parquet(tmp_path / "anything.parquet")
    assert events(prepared(tmp_path / "anything.parquet")) == EVENTS


def test_numbers_and_dates_of_parquet_become_ids_and_seconds(tmp_path: Path) -> None:
    frame = pl.DataFrame({"user": [7.0, 7.0], "item": [1, 2], "time": [86_400_000, 172_800_000]})
    frame = frame.with_columns(pl.col("time").cast(pl.Datetime("ms")))
    frame.write_parquet(tmp_path / "log.parquet")
    assert events(prepared(tmp_path / "log.parquet")) == [("7", "1", 86_400), ("7", "2", 172_800)]


def test_a_position_said_by_parquet_is_kept_as_a_position(tmp_path: Path) -> None:
    frame = pl.DataFrame(EVENTS, ["user_id", "item_id", "timestamp"], orient="row")
    frame.write_parquet(tmp_path / "log.parquet", metadata={"timestamp_kind": "position"})
    data = prepared(tmp_path / "log.parquet")
    assert data.manifest.timestamp_kind == "position"
    assert events(data) == EVENTS


def test_two_events_at_one_position_are_refused(tmp_path: Path) -> None:
    write(tmp_path / "log.csv", "user_id,item_id,timestamp\na,x,0\na,y,1\na,z,1\n")
    with pytest.raises(DataError, match=r'user "a": position 1: two events\. Give each event of a user its own'):
        prepared(tmp_path / "log.csv", Columns(time_format="position"))


def test_columns_of_any_name_are_read_when_named(tmp_path: Path) -> None:
    write(tmp_path / "log.csv", "wer;".replace(";", ",") + "was,wann\na,x,5\n")
    assert events(prepared(tmp_path / "log.csv", Columns(user="wer", item="was", time="wann"))) == [("a", "x", 5)]


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        (Columns(), r"log\.csv: no column looks like the item: it has user, wann\. Pass --item with one of them\."),
        (Columns(item="thing"), r'log\.csv: no column "thing": it has user, wann\. Pass --item with one of them\.'),
    ],
)
def test_a_missing_column_is_named_with_those_that_are_there(tmp_path: Path, columns: Columns, message: str) -> None:
    write(tmp_path / "log.csv", "user,wann\na,5\n")
    with pytest.raises(DataError, match=message):
        prepared(tmp_path / "log.csv", columns)


def test_items_and_users_elsewhere_are_read_when_named(tmp_path: Path) -> None:
    write(tmp_path / "log.csv", table_text("csv"))
    write(tmp_path / "goods.jsonl", json_lines([{"id": "x", "name": "Lamp"}]))
    write(tmp_path / "folk.tsv", "user\tage\nanna\t30\nbob\t40\n")
    named = {"items_file": str(tmp_path / "goods.jsonl"), "users_file": str(tmp_path / "folk.tsv")}
    data = prepared(tmp_path / "log.csv", Columns(item_key="id", **named))
    assert texts(data) == {"x": "Lamp", "y": "", "z": ""}
    assert people(data) == {"anna": [-1.0], "bob": [1.0]}


def movielens_rows(comma: str) -> str:
    rows = [(1, 2, 3.5, 100), (1, 1, 4, 200), (2, 1, 5, 150), (2, 3, 1, 160)]
    return "".join(comma.join(map(str, row)) + "\n" for row in rows)


MOVIELENS = [("1", "2", 100), ("1", "1", 200), ("2", "1", 150), ("2", "3", 160)]


@pytest.mark.parametrize("suffix", ["csv", "csv.gz"])
def test_movielens_latest_and_32m_are_read_with_quoted_titles(tmp_path: Path, suffix: str) -> None:
    movies = 'movieId,title,genres\n1,"Prince, ""A"" (1995)",Comedy|Drama\n2,Café :: Noir (2001),(no genres listed)\n'
    write(tmp_path / "ml" / f"ratings.{suffix}", "userId,movieId,rating,timestamp\n" + movielens_rows(","))
    write(tmp_path / "ml" / f"movies.{suffix}", movies)
    write(tmp_path / "ml" / "tags.csv", "userId,movieId,tag,timestamp\n1,1,spoiler,99999\n")
    data = prepared(tmp_path / "ml")
    assert data.manifest.source_kind == "movielens"
    assert events(data) == MOVIELENS
    assert texts(data) == {"1": 'Prince, "A" (1995) | Comedy, Drama', "2": "Café :: Noir (2001)", "3": ""}
    assert tokens(data)["1"] == ("genres=Comedy", "genres=Drama", "year=1995")
    assert data.manifest.counts.items_without_row == 1


def test_movielens_1m_is_read_with_colons_in_titles_and_codes_as_words(tmp_path: Path) -> None:
    write(tmp_path / "ml" / "ratings.dat", movielens_rows("::"))
    movies = "1::Se7en:: the:: sequel (1997)::Crime|Drama\n2::Misérables, Les (1995)::Drama\n"
    write(tmp_path / "ml" / "movies.dat", movies, "latin-1")
    write(tmp_path / "ml" / "users.dat", "1::F::1::10::48067\n2::M::56::16::70072\n")
    data = prepared(tmp_path / "ml")
    assert events(data) == MOVIELENS
    assert texts(data)["1"] == "Se7en:: the:: sequel (1997) | Crime, Drama"
    assert texts(data)["2"] == "Misérables, Les (1995) | Drama"
    users = pl.read_parquet(data.folder / "users.parquet").sort("user_id")
    assert users["age"].to_list() == ["under 18", "56 and over"]
    assert users["occupation"].to_list() == ["K-12 student", "self-employed"]


def test_a_line_of_movielens_1m_that_does_not_fit_is_named(tmp_path: Path) -> None:
    write(tmp_path / "ml" / "ratings.dat", movielens_rows("::") + "1:2:3\n")
    with pytest.raises(DataError, match=r'ratings\.dat line 5: "1:2:3": expected UserID::MovieID::Rating::Timestamp\.'):
        prepared(tmp_path / "ml")
    data = prepared(tmp_path / "ml", Columns(bad_rows="drop"))
    assert events(data) == MOVIELENS
    assert data.manifest.counts.bad_rows == 1


def test_movielens_100k_is_read_with_latin_1_titles_and_flagged_genres(tmp_path: Path) -> None:
    write(tmp_path / "ml" / "u.data", movielens_rows("\t"))
    flags = lambda *on: "|".join("1" if n in on else "0" for n in range(19))  # noqa: E731
    movies = [
        f'1|Cité | "Lost" (1995)|01-Jan-1995||http://imdb/x?A%20(1995)|{flags(1, 5)}',
        f"2|unknown||||{flags(0)}",
    ]
    write(tmp_path / "ml" / "u.item", "\n".join(movies) + "\n", "latin-1")
    write(tmp_path / "ml" / "u.user", "1|24|M|technician|85711\n2|53|F|other|94043\n")
    data = prepared(tmp_path / "ml")
    assert events(data) == MOVIELENS
    assert texts(data) == {"1": 'Cité | "Lost" (1995) | Action, Comedy', "2": "unknown", "3": ""}
    names = ("age", "gender=F", "gender=M", "occupation=other", "occupation=technician")
    assert data.manifest.user_columns == names
    assert people(data) == {"1": [-1.0, 0.0, 1.0, 0.0, 1.0], "2": [1.0, 1.0, 0.0, 1.0, 0.0]}


REVIEWS_2018 = [
    {"overall": 5.0, "verified": True, "reviewTime": "01 1, 2014", "reviewerID": "A1", "asin": "B01",
     "style": {"Color:": " Red"}, "reviewText": "good\n::", "summary": "é", "unixReviewTime": 1388534400},
    {"overall": 1, "vote": "1,234", "reviewerID": "A1", "asin": "B02", "image": ["u"], "unixReviewTime": 1388620800},
    {"overall": 3.0, "reviewerID": "A2", "asin": "B01", "unixReviewTime": 1388534400},
    {"overall": 3.0, "reviewerID": "A2", "asin": "B01", "unixReviewTime": 1388534400},
]  # fmt: skip
META_2018 = [
    {"category": ["Tools &amp; Home", "Lamps"], "description": ["<p>Warm   light.</p>", "Very <b>warm</b>."],
     "title": "Lamp &#39;A&#39;", "brand": "Acme", "also_buy": ["B02"], "rank": "1 in Lamps", "asin": "B01"},
    {"category": [], "description": [], "title": "<script>var aPageStart = 1; getTime();", "brand": "", "asin": "B02"},
    {"category": ["Tools &amp; Home"], "title": "A later row of B01", "asin": "B01"},
    {"title": "Never sold", "asin": "B03"},
]  # fmt: skip


def test_amazon_2018_is_read_from_gzipped_reviews_and_metadata(tmp_path: Path) -> None:
    write(tmp_path / "a" / "Tools_5.json.gz", json_lines(REVIEWS_2018))
    write(tmp_path / "a" / "meta_Tools.json.gz", json_lines(META_2018))
    data = prepared(tmp_path / "a")
    assert data.manifest.source_kind == "amazon-2018"
    assert events(data) == [("A1", "B01", 1388534400), ("A1", "B02", 1388620800), ("A2", "B01", 1388534400)]
    lamp = "Lamp 'A' | Tools & Home > Lamps | Acme | Warm light., Very warm ."
    assert texts(data) == {"B01": lamp, "B02": "", "B03": "Never sold"}
    levels = ("category=Tools & Home", "category=Lamps", "category=Tools & Home > Lamps", "brand=Acme")
    assert tokens(data)["B01"] == levels
    counts = data.manifest.counts
    assert (counts.duplicate_rows, counts.duplicate_items, counts.items_without_text) == (1, 1, 1)


REVIEWS_2023 = [
    {"rating": 5.0, "title": "Nice", "text": "t", "images": [], "asin": "B01x", "parent_asin": "B01", "user_id": "AE",
     "timestamp": 1588687728923, "helpful_vote": 0, "verified_purchase": True},
    {"rating": 4.0, "asin": "B02", "parent_asin": "B02", "user_id": "AE", "timestamp": 1588687728500},
]  # fmt: skip
META_2023 = [
    {"main_category": "All Beauty", "title": "Hårspray", "average_rating": 4.8, "rating_number": 10,
     "features": ["Holds"], "description": ["Strong", "Dry"], "price": None, "store": "Howard",
     "categories": ["Beauty", "Hair"], "details": {"Package": "7 x 5"}, "parent_asin": "B01"},
]  # fmt: skip


def test_amazon_2023_is_read_with_milliseconds_and_parents(tmp_path: Path) -> None:
    write(tmp_path / "a" / "All_Beauty.jsonl.gz", json_lines(REVIEWS_2023))
    write(tmp_path / "a" / "meta_All_Beauty.jsonl.gz", json_lines(META_2023))
    data = prepared(tmp_path / "a")
    assert data.manifest.source_kind == "amazon-2023"
    assert events(data) == [("AE", "B02", 1588687728), ("AE", "B01", 1588687728)]
    assert texts(data)["B01"] == "Hårspray | Beauty > Hair | Howard | Holds | Strong, Dry"


def test_two_categories_in_one_folder_are_refused(tmp_path: Path) -> None:
    write(tmp_path / "A_5.json", json_lines(REVIEWS_2018))
    write(tmp_path / "B_5.json", json_lines(REVIEWS_2018))
    with pytest.raises(DataError, match=r"expected one file of reviews: found A_5\.json, B_5\.json\. Keep one file"):
        prepare(tmp_path, tmp_path / "out", source_kind="amazon-2018")


@pytest.mark.parametrize("name", ["rank", "also_buy"])
def test_a_column_counted_over_all_dates_is_refused(tmp_path: Path, name: str) -> None:
    write(tmp_path / "a" / "Tools_5.json", json_lines(REVIEWS_2018))
    write(tmp_path / "a" / "meta_Tools.json", json_lines(META_2018))
    message = rf'meta_Tools\.json: column "{name}": it is counted over all dates, .* Leave it out of --text\.'
    with pytest.raises(DataError, match=message):
        prepared(tmp_path / "a", Columns(text=(name,)))


def test_recbole_atomic_files_are_read_with_quotes_left_alone(tmp_path: Path) -> None:
    log = (
        'user_id:token\titem_id:token\trating:float\ttimestamp:float\n196\t242\t3\t881250949.0\n196\t"9\t1\t881250950\n'
    )
    movies = "item_id:token\tmovie_title:token_seq\trelease_year:token\tclass:token_seq\n"
    movies += '242\tKolya "the" Kid\t1996\tComedy Sci-Fi\n'
    write(tmp_path / "ml" / "ml-100k.inter", log)
    write(tmp_path / "ml" / "ml-100k.item", movies)
    write(tmp_path / "ml" / "ml-100k.user", "user_id:token\tage:token\tgender:token\n196\t49\tM\n")
    data = prepared(tmp_path / "ml")
    assert data.manifest.source_kind == "recbole"
    assert events(data) == [("196", "242", 881250949), ("196", '"9', 881250950)]
    assert texts(data)["242"] == 'Kolya "the" Kid | Comedy, Sci-Fi'
    assert tokens(data)["242"] == ("class=Comedy", "class=Sci-Fi", "release_year=1996")


def test_a_recbole_header_without_a_type_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "x.inter", "user_id\titem_id:token\n")
    with pytest.raises(
        DataError, match=r'x\.inter line 1: "user_id": expected name:type, type one of token, token_seq'
    ):
        prepared(tmp_path / "x.inter")


def test_two_inter_files_are_refused(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write(tmp_path / f"{name}.inter", "user_id:token\n")
    with pytest.raises(
        DataError, match=r"expected one \.inter file: found a\.inter, b\.inter\. Pass the path of one\."
    ):
        prepare(tmp_path, tmp_path / "out")


def test_a_folder_with_nothing_known_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "s" / "notes.txt", "hello")
    with pytest.raises(DataError, match=r"holds no source of a known kind \(movielens, .*generic\)\. Name its log"):
        prepared(tmp_path / "s")
    with pytest.raises(DataError, match=r"holds no interactions file .* Pass the path of the log\."):
        prepare(tmp_path / "s", tmp_path / "out", source_kind="generic")


def test_an_unknown_kind_and_a_missing_path_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"source kind netflix: unknown\. Pass auto or one of movielens, "):
        prepare(tmp_path, tmp_path / "out", source_kind="netflix")
    with pytest.raises(DataError, match=r"gone: no such file or folder\. Pass the path of a source that is there\."):
        prepare(tmp_path / "gone", tmp_path / "out")
    write(tmp_path / "log.xlsx", "x")
    with pytest.raises(
        DataError, match=r"a file of kind \.xlsx: expected \.parquet, \.csv, \.tsv or \.jsonl\. Convert"
    ):
        prepared(tmp_path / "log.xlsx")


def test_one_table_in_two_files_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "interactions.csv", table_text("csv"))
    write(tmp_path / "interactions.tsv", table_text("tsv"))
    with pytest.raises(
        DataError, match=r"holds interactions\.csv and interactions\.tsv\. Remove one, or pass one file"
    ):
        prepare(tmp_path, tmp_path / "out")
