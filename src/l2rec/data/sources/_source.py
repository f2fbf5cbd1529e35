"""What every reader returns: three tables and the names of their columns."""

from dataclasses import dataclass
from typing import Literal

from l2rec.data.columns import Columns
from l2rec.data.tables import Table


@dataclass(frozen=True)
class Source:
    """A source that was found but not read yet.

    Attributes:
        kind: The format's name: `generic`, `movielens`, `amazon-2018`, ...
        interactions: The log.
        items: The catalogue; None if there is none.
        users: User attributes; None if there are none.
        columns: The names of the columns, guesses filled in.
        timestamp_kind: Whether times are times or only positions in the user's sequence.
    """

    kind: str
    interactions: Table
    items: Table | None
    users: Table | None
    columns: Columns
    timestamp_kind: Literal["seconds", "position"]
