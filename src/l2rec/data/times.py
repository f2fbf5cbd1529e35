"""Times of a log in one unit: seconds to nanoseconds told apart by size, ISO dates, patterns, plain positions."""

from datetime import UTC, datetime

import polars as pl

from l2rec.data.tables import identifier
from l2rec.errors import DataError

MICROSECONDS = {"seconds": 1e6, "milliseconds": 1e3, "microseconds": 1.0, "nanoseconds": 1e-3, "position": 1.0}
DATES = "dates"
_ISO = (
    *("%Y-%m-%dT%H:%M:%S%.f%#z", "%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%d"),
    *("%Y-%m-%dT%H:%M%#z", "%Y-%m-%dT%H:%M"),
)
_UNITS = ("seconds", "milliseconds", "microseconds", "nanoseconds")
# As seconds this is the year 5138, as milliseconds March 1973.
_SECONDS_BELOW = 1e11
# In microseconds: the years 1 to 9999, and for positions what 64 bits hold.
_YEARS = (-62_135_596_800e6, 253_402_300_800e6)
_POSITIONS = (-9e18, 9e18)
_DAYS = (19_000_101, 21_001_231)
_PEEK = 1000


def form(frame: pl.LazyFrame, name: str, wanted: str) -> str:
    """Returns how the times of a column are written: `auto` (numbers of a unit not told yet), a unit, or `dates`.

    Args:
        frame: The log.
        name: The column of the time.
        wanted: The setting `time_format`.
    """
    kind = frame.collect_schema()[name]
    if kind.is_temporal():
        return DATES
    if wanted != "auto":
        return wanted if wanted in MICROSECONDS else DATES
    if kind != pl.String():
        return "auto"
    text = pl.col(name).str.strip_chars()
    values = frame.select(text).filter(text.is_not_null() & (text != "")).head(_PEEK).collect()[name]
    numbers = values.cast(pl.Float64, strict=False).is_not_null().sum()
    return DATES if values.str.contains(r"^\d{4}-\d{2}-\d{2}").sum() > numbers else "auto"


def numbers(name: str, kind: pl.DataType, written: str, wanted: str) -> pl.Expr:
    """Returns the times as floats: microseconds for dates, else the numbers as they are; null for what is no time.

    Args:
        name: The column.
        kind: Its type.
        written: What `form` returned.
        wanted: The setting `time_format`, a pattern perhaps.
    """
    column = pl.col(name)
    if kind.is_temporal():
        return column.cast(pl.Datetime("us"), strict=False).cast(pl.Int64).cast(pl.Float64)
    if kind != pl.String() and written != DATES:
        return column.cast(pl.Float64, strict=False)
    text = identifier(name, kind)
    if written != DATES:
        return text.cast(pl.Float64, strict=False)
    if wanted != "auto":
        return _micros(text, (wanted,))
    return _micros(text.str.replace(" ", "T", literal=True).str.replace(r" ?(?:[Zz]|UTC)$", "+00:00"), _ISO)


def _micros(text: pl.Expr, forms: tuple[str, ...]) -> pl.Expr:
    parsed = []
    for pattern in forms:
        zone = "UTC" if "%z" in pattern or "%#z" in pattern else None
        time = text.str.to_datetime(pattern, time_unit="us", strict=False, time_zone=zone)
        parsed.append(time.dt.replace_time_zone(None) if zone else time)
    return pl.coalesce(parsed).cast(pl.Int64).cast(pl.Float64)


def within(time: pl.Expr, written: str) -> pl.Expr:
    """Returns which numbers are a moment that can be kept; a unit that is not told yet is taken for the finest.

    Args:
        time: What `numbers` returned.
        written: What `form` returned.
    """
    low, high = _POSITIONS if written == "position" else _YEARS
    step = MICROSECONDS["nanoseconds" if written == "auto" else written] if written != DATES else 1.0
    return time.is_between(low / step, high / step, closed="left")


def limit(written: str) -> str:
    """Returns in words what `within` asks of a number, after the number."""
    if written == "position":
        return "expected a position between -9e18 and 9e18"
    unit = "a time in any unit" if written == "auto" else f"a time in {written}"
    return f"{unit} is between the years 1 and 9999, and this is not"


def days(low: float, high: float) -> bool:
    """Returns whether numbers could be days written as yyyymmdd, going by the smallest and the largest."""
    return _DAYS[0] <= low <= high <= _DAYS[1]


def day(time: pl.Expr) -> pl.Expr:
    """Returns which numbers are a day of the calendar, written as yyyymmdd."""
    whole = time.cast(pl.Int64, strict=False)
    return (whole == time) & whole.cast(pl.String).str.to_date("%Y%m%d", strict=False).is_not_null()


def scale(written: str, low: float, high: float, place: str) -> float:
    """Returns the microseconds in one unit of the log's times.

    Args:
        written: What `form` returned.
        low: The smallest time.
        high: The largest time; tells the unit where it was not given.
        place: The file's name, for the message.

    Raises:
        DataError: the smallest and the largest time cannot be of one unit, or the smallest is before the year 1.
    """
    if written == DATES:
        return 1.0
    if written in MICROSECONDS:
        return MICROSECONDS[written]
    step = sum(high >= _SECONDS_BELOW * 1e3**step for step in range(3))
    if step and 0 < low < _SECONDS_BELOW * 1e3 ** (step - 1):
        mixed = f"{place}: times from {low:.0f} to {high:.0f}: seconds and {_UNITS[step]} mixed?"
        raise DataError(f"{mixed} Fix them, or pass --time-format {_UNITS[step]}.")
    unit = _UNITS[step]
    if low * MICROSECONDS[unit] < _YEARS[0]:
        early = f"{place}: times from {low:.0f} to {high:.0f}: in {unit} the first is before the year 1"
        raise DataError(f"{early}. Fix them, or pass --time-format with their unit.")
    return MICROSECONDS[unit]


def seconds(value: str | int, place: str) -> int:
    """Returns a moment as seconds since 1970; an ISO date without a zone is read as UTC.

    Raises:
        DataError: it is neither seconds nor an ISO date, or a number that looks like a day written yyyymmdd.
    """
    text = str(value).strip()
    if text.lstrip("-").isdecimal():
        _refuse_day(int(text), place)
        return int(text)
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        example = "Write it like 2018-01-31 or 1517356800."
        raise DataError(f'{place}: "{text}": expected seconds since 1970 or an ISO date. {example}') from None
    return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp())


def _refuse_day(number: int, place: str) -> None:
    """As seconds, such a number is a moment of 1970, which hardly anybody means."""
    if not _DAYS[0] <= number <= _DAYS[1]:
        return
    try:
        meant = datetime.strptime(str(number), "%Y%m%d").replace(tzinfo=UTC)
    except ValueError:
        return
    either = f"Write {meant:%Y-%m-%d}, or {datetime.fromtimestamp(number, UTC):%Y-%m-%dT%H:%M:%S} if it is seconds."
    raise DataError(f"{place}: {number}: looks like a date written yyyymmdd. {either}")
