"""MovieLens folders as published: 100K (`u.data`), 1M and 10M (`.dat`), latest, 20M, 25M and 32M (`.csv`)."""

import re
from pathlib import Path

from l2rec.data.columns import Columns, resolved, with_defaults
from l2rec.data.lines import CsvTable, PatternTable, Values, header
from l2rec.data.sources._source import Source
from l2rec.data.tables import Table

NO_GENRES = "(no genres listed)"
_YEAR = re.compile(r"\((\d{4})\)\s*$")
# The order of the flags in `u.item`, as `u.genre` has it.
GENRES = (
    *("unknown", "Action", "Adventure", "Animation", "Children's", "Comedy", "Crime", "Documentary", "Drama"),
    *("Fantasy", "Film-Noir", "Horror", "Musical", "Mystery", "Romance", "Sci-Fi", "Thriller", "War", "Western"),
)
Tables = tuple[Table, Table | None, Table | None]
# The README of 1M names what the codes of `users.dat` mean.
AGES = {
    "1": "under 18",
    "18": "18-24",
    "25": "25-34",
    "35": "35-44",
    "45": "45-49",
    "50": "50-55",
    "56": "56 and over",
}
OCCUPATIONS = (
    *("other", "academic or educator", "artist", "clerical or admin", "college or graduate student"),
    *("customer service", "doctor or health care", "executive or managerial", "farmer", "homemaker"),
    *("K-12 student", "lawyer", "programmer", "retired", "sales or marketing", "scientist", "self-employed"),
    *("technician or engineer", "tradesman or craftsman", "unemployed", "writer"),
)


def present(path: Path) -> bool:
    """Returns whether the folder holds the files of one of the layouts, under their own column names."""
    if (path / "u.data").is_file() or (path / "ratings.dat").is_file():
        return True
    log = _csv(path, "ratings")
    return log is not None and {"userId", "movieId"} <= set(header(log, "utf-8", ",", quotes=True))


def read(path: Path, columns: Columns) -> Source:
    """Returns the tables of the folder; an item's year is taken from its title.

    Raises:
        DataError: a file is missing or lacks a column.
    """
    if (path / "u.data").is_file():
        tables = _hundred_thousand(path)
    elif (path / "ratings.dat").is_file():
        tables = _million(path)
    else:
        tables = _latest(path)
    defaults = Columns(
        user="userId",
        item="movieId",
        time="timestamp",
        rating="rating",
        item_key="movieId",
        user_key="userId",
        title="title",
        text=("genres",),
        item_attributes=("genres", "year"),
        user_attributes=("age", "gender", "occupation"),
        time_format="seconds",
    )
    names = resolved(with_defaults(columns, defaults), *tables)
    return Source("movielens", *tables, names, "seconds")


def _latest(path: Path) -> Tables:
    log, movies = _csv(path, "ratings") or path / "ratings.csv", _csv(path, "movies")
    events = CsvTable(log, header(log, "utf-8", ",", quotes=True))
    if movies is None:
        return events, None, None
    columns = (*header(movies, "utf-8", ",", quotes=True), "year")
    return events, CsvTable(movies, columns, convert=_with_year, added=("year",)), None


def _csv(path: Path, stem: str) -> Path | None:
    files = (path / f"{stem}.csv", path / f"{stem}.csv.gz")
    return next((file for file in files if file.is_file()), None)


def _million(path: Path) -> Tables:
    events = PatternTable(
        path / "ratings.dat",
        ("userId", "movieId", "rating", "timestamp"),
        pattern=r"(.*?)::(.*?)::([^:]*)::([^:]*)",
        layout="UserID::MovieID::Rating::Timestamp",
    )
    movies = PatternTable(
        path / "movies.dat",
        ("movieId", "title", "genres", "year"),
        _encoding(path / "movies.dat"),
        convert=_with_year,
        added=("year",),
        pattern=r"(.*?)::(.*)::(.*?)",
        layout="MovieID::Title::Genres",
    )
    users = PatternTable(
        path / "users.dat",
        ("userId", "gender", "age", "occupation", "zip_code"),
        convert=_with_words,
        pattern=r"(.*?)::(.*?)::(.*?)::(.*?)::(.*?)",
        layout="UserID::Gender::Age::Occupation::Zip-code",
    )
    return events, _if_there(movies), _if_there(users)


def _encoding(path: Path) -> str:
    """1M is written in Latin-1, 10M in UTF-8; hardly a Latin-1 title is UTF-8 by chance."""
    try:
        path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        return "latin-1"
    except OSError:
        return "utf-8"
    return "utf-8"


def _hundred_thousand(path: Path) -> Tables:
    names = ("userId", "movieId", "rating", "timestamp")
    events = CsvTable(path / "u.data", names, separator="\t", header=False, quotes=False)
    movies = PatternTable(
        path / "u.item",
        ("movieId", "title", "released", "video_released", "url", "genres", "year"),
        "latin-1",
        convert=_with_genres,
        added=("year",),
        pattern=r"(.*?)\|(.*)\|([^|]*)\|([^|]*)\|([^|]*)((?:\|[01]){19})",
        layout="id|title|date|date|URL and 19 genres of 0 or 1",
    )
    users = PatternTable(
        path / "u.user",
        ("userId", "age", "gender", "occupation", "zip_code"),
        "latin-1",
        pattern=r"(.*?)\|(.*?)\|(.*?)\|(.*?)\|(.*?)",
        layout="id|age|gender|occupation|zip code",
    )
    return events, _if_there(movies), _if_there(users)


def _if_there(table: Table) -> Table | None:
    return table if table.path.is_file() else None


def _with_year(movie: Values) -> Values:
    genres = movie.get("genres")
    year = _YEAR.search(movie.get("title") or "")
    return {**movie, "genres": None if genres == NO_GENRES else genres, "year": year[1] if year else None}


def _with_genres(movie: Values) -> Values:
    flags = (movie["genres"] or "").split("|")[1:]
    marked = [genre for genre, flag in zip(GENRES, flags, strict=True) if flag == "1" and genre != "unknown"]
    return _with_year({**movie, "genres": "|".join(marked)})


def _with_words(user: Values) -> Values:
    age, code = user["age"] or "", user["occupation"] or ""
    known = code.isdecimal() and int(code) < len(OCCUPATIONS)
    return {**user, "age": AGES.get(age, age), "occupation": OCCUPATIONS[int(code)] if known else code}
