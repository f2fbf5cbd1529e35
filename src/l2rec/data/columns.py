"""What the columns of a source are called and how their values are read; what is left open is guessed by name."""

from collections.abc import Sequence
from typing import Any, Literal

from pydantic import Field

from l2rec.config import Settings
from l2rec.data.tables import Table
from l2rec.errors import DataError

USER = ("user_id", "user", "userid", "reviewerid", "customer_id", "visitorid", "session_id", "uid")
ITEM = ("item_id", "item", "itemid", "parent_asin", "asin", "movieid", "movie_id", "product_id", "article_id", "iid")
TIME = ("timestamp", "time", "unixreviewtime", "ts", "datetime", "date", "event_time", "t_dat")
RATING = ("rating", "overall", "stars", "score")
TITLE = ("title", "name", "movie_title", "item_title", "product_title", "prod_name", "text")
TEXT = ("genres", "genre", "categories", "category", "class", "brand", "store", "author", "artist", "publisher")
LONG_TEXT = ("features", "description")
ATTRIBUTES = (*TEXT, "year", "release_year")
# Counted over all dates, so that they tell of events after the cut.
AUTO = "auto"
NONE = "none"
LEAKING = frozenset(
    (
        *("rating_number", "average_rating", "average_stars", "review_count", "popularity"),
        *("rank", "salesrank", "sales_rank", "also_buy", "also_bought", "also_view", "also_viewed"),
        *("also_buy_also_view", "bought_together", "buy_after_viewing", "similar_item", "similar"),
    )
)


class Columns(Settings):
    """The names of a source's columns and how their values are read; `auto` guesses a name."""

    user: str = AUTO
    """Column of the user's id in the interactions."""
    item: str = AUTO
    """Column of the item's id in the interactions."""
    time: str = AUTO
    """Column of the event's time."""
    rating: str = AUTO
    """Column of the rating; `none` for none."""
    item_key: str = AUTO
    """Column of the item's id in the items table."""
    user_key: str = AUTO
    """Column of the user's id in the users table."""
    title: str = AUTO
    """Column of the title in the items table."""
    text: tuple[str, ...] = (AUTO,)
    """Columns of the items table that follow the title in an item's text."""
    item_attributes: tuple[str, ...] = (AUTO,)
    """Columns of the items table that become `column=value` attributes."""
    user_attributes: tuple[str, ...] = (AUTO,)
    """Columns of the users table that describe a user; `auto` takes all of them."""
    items_file: str = ""
    """File of the items table, if it does not lie beside the log under a usual name."""
    users_file: str = ""
    """File of the users table, if it does not lie beside the log under a usual name."""
    text_characters: int = Field(default=200, ge=1)
    """Characters of one text column that enter an item's text; cut at a blank. The title is never cut."""
    time_format: str = "auto"
    """auto, seconds, milliseconds, microseconds, position (order only), or a pattern such as %d/%m/%Y %H:%M."""
    encoding: Literal["utf-8", "latin-1"] = "utf-8"
    """Encoding of CSV, TSV and JSONL files."""
    quotes: bool | None = None
    """Whether double quotes enclose fields; by default in CSV files but not in TSV files."""
    bad_rows: Literal["refuse", "drop"] = "refuse"
    """What happens to a row that cannot be read: refuse the file, or drop the row and count it."""
    duplicate_rows: Literal["drop", "keep"] = "drop"
    """What happens to a second row with the same user, item, time and rating."""


def found(wanted: str, guesses: Sequence[str], table: Table, flag: str) -> str:
    """Returns the column that is asked for, or else the first guess that is there.

    Args:
        wanted: The name that was asked for, or `auto`.
        guesses: Names in lower case, the likeliest first.
        table: Where it is looked for.
        flag: The flag that names this column, without dashes.

    Raises:
        DataError: the column that is asked for is missing, or no guess fits.
    """
    place, there = table.path.name, ", ".join(table.columns)
    if wanted != AUTO:
        if wanted not in table.columns:
            raise DataError(f'{place}: no column "{wanted}": it has {there}. Pass --{flag} with one of them.')
        return wanted
    name = guessed(guesses, table.columns)
    if not name:
        raise DataError(f"{place}: no column looks like the {flag}: it has {there}. Pass --{flag} with one of them.")
    return name


def guessed(guesses: Sequence[str], columns: Sequence[str]) -> str:
    """Returns the first column whose name, in lower case, is among `guesses`, in their order; empty if none is."""
    lower = {column.lower().strip(): column for column in reversed(columns)}
    return next((lower[guess] for guess in guesses if guess in lower), "")


def with_defaults(columns: Columns, defaults: Columns) -> Columns:
    """Returns `columns` with everything that was not set taken from `defaults`."""
    return defaults.model_copy(update=columns.model_dump(exclude_unset=True))


def resolved(columns: Columns, log: Table, items: Table | None, users: Table | None) -> Columns:
    """Returns `columns` with every name filled in, each checked against its table.

    Raises:
        DataError: a column is missing, cannot be guessed, or would tell of events after the cut.
    """
    names = {
        "user": found(columns.user, USER, log, "user"),
        "item": found(columns.item, ITEM, log, "item"),
        "time": found(columns.time, TIME, log, "time"),
        "rating": _optional(columns.rating, RATING, log, "rating"),
    }
    return columns.model_copy(update={**names, **_item_names(columns, items), **_user_names(columns, users)})


def _item_names(columns: Columns, items: Table | None) -> dict[str, Any]:
    if items is None:
        return {"item_key": NONE, "title": NONE, "text": (), "item_attributes": ()}
    return {
        "item_key": found(columns.item_key, ITEM, items, "item-key"),
        "title": _optional(columns.title, TITLE, items, "title"),
        "text": _several(columns.text, _guesses((*TEXT, *LONG_TEXT), items), items, "text"),
        "item_attributes": _several(columns.item_attributes, _guesses(ATTRIBUTES, items), items, "item-attributes"),
    }


def _user_names(columns: Columns, users: Table | None) -> dict[str, Any]:
    if users is None:
        return {"user_key": NONE, "user_attributes": ()}
    key = found(columns.user_key, USER, users, "user-key")
    rest = tuple(name for name in users.columns if name != key and name.lower() not in LEAKING)
    return {
        "user_key": key,
        "user_attributes": _several(columns.user_attributes, rest, users, "user-attributes"),
    }


def _optional(wanted: str, guesses: Sequence[str], table: Table, flag: str) -> str:
    if wanted == NONE:
        return NONE
    if wanted != AUTO:
        return found(wanted, guesses, table, flag)
    return guessed(guesses, table.columns) or NONE


def _guesses(guesses: Sequence[str], table: Table) -> tuple[str, ...]:
    return tuple(name for guess in guesses if (name := guessed((guess,), table.columns)))


def _several(wanted: tuple[str, ...], guesses: tuple[str, ...], table: Table, flag: str) -> tuple[str, ...]:
    if wanted == (AUTO,):
        return guesses
    for name in wanted:
        found(name, (), table, flag)
        if name.lower() in LEAKING:
            why = "it is counted over all dates, so that it tells of events after the cut"
            raise DataError(f'{table.path.name}: column "{name}": {why}. Leave it out of --{flag}.')
    return wanted
