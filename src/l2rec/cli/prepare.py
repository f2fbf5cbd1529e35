"""`l2rec prepare`: from a log and a catalogue to a prepared folder; one flag for every setting of columns and split."""

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer import Option

from l2rec.cli.show import show, show_json
from l2rec.errors import SettingError

if TYPE_CHECKING:
    from l2rec.data.prepared import Prepared

LISTS = ("text", "item_attributes", "user_attributes")
"""Flags that take several columns with commas between."""


def prepare(
    source: Annotated[Path, typer.Argument(help="Folder or file with the log, or `sample` for the bundled one.")],
    out: Annotated[Path, Option(help="Folder to write.")],
    kind: Annotated[str, Option("--kind", "--format", help="Format of the source; auto looks at the files.")] = "auto",
    user: Annotated[str | None, Option(metavar="COLUMN", help="User's id in the log.")] = None,
    item: Annotated[str | None, Option(metavar="COLUMN", help="Item's id in the log.")] = None,
    time: Annotated[str | None, Option(metavar="COLUMN", help="Time of the event.")] = None,
    rating: Annotated[str | None, Option(metavar="COLUMN", help="Rating; `none` if there is none.")] = None,
    item_key: Annotated[str | None, Option(metavar="COLUMN", help="Item's id in the items table.")] = None,
    user_key: Annotated[str | None, Option(metavar="COLUMN", help="User's id in the users table.")] = None,
    title: Annotated[str | None, Option(metavar="COLUMN", help="Title in the items table.")] = None,
    text: Annotated[str | None, Option(metavar="COLUMN,...", help="Columns that follow the title in a text.")] = None,
    item_attributes: Annotated[str | None, Option(metavar="COLUMN,...", help="Columns that describe an item.")] = None,
    user_attributes: Annotated[str | None, Option(metavar="COLUMN,...", help="Columns that describe a user.")] = None,
    items_file: Annotated[str | None, Option(metavar="FILE", help="Items table, if it lies elsewhere.")] = None,
    users_file: Annotated[str | None, Option(metavar="FILE", help="Users table, if it lies elsewhere.")] = None,
    text_characters: Annotated[int | None, Option(help="Characters that one column gives to a text.")] = None,
    time_format: Annotated[str | None, Option(help="seconds, milliseconds, position, or e.g. %d/%m/%Y.")] = None,
    encoding: Annotated[str | None, Option(help="utf-8 or latin-1.")] = None,
    quotes: Annotated[bool | None, Option("--quotes/--no-quotes", help="Whether quotes enclose fields.")] = None,
    bad_rows: Annotated[str | None, Option(help="refuse the file, or drop the row and count it.")] = None,
    drop_bad_rows: Annotated[bool, Option("--drop-bad-rows", help="The same as --bad-rows drop.")] = False,
    duplicate_rows: Annotated[str | None, Option(help="drop or keep the second of two equal rows.")] = None,
    split: Annotated[str | None, Option(help="loo: leave the last one out; temporal: one cut in time.")] = None,
    validation_share: Annotated[float | None, Option(help="Share of events between the cuts.")] = None,
    test_share: Annotated[float | None, Option(help="Share of events after the second cut.")] = None,
    validation_from: Annotated[str | None, Option(help="First cut: seconds or an ISO date.")] = None,
    test_from: Annotated[str | None, Option(help="Second cut: seconds or an ISO date.")] = None,
    cases: Annotated[str | None, Option(help="first, last or all of a user's events after a cut.")] = None,
    k_core: Annotated[int | None, Option(help="Training events that users and items must have.")] = None,
    min_rating: Annotated[float | None, Option(help="Events with a lower rating are left out.")] = None,
    seed: Annotated[int | None, Option(help="Seed of numbers and of the order at one time.")] = None,
    force: Annotated[bool, Option("--force", help="Replace the folder if it is there.")] = False,
    as_json: Annotated[bool, Option("--json", help="Print the manifest as JSON.")] = False,
) -> None:
    """Turn a log and a catalogue into a prepared folder.

    Reads, checks, splits and numbers; the same input always gives the same bytes.
    """
    found = _prepared(locals())
    show_json(found.manifest.model_dump(mode="json")) if as_json else show(_words(found))


def _prepared(flags: dict[str, Any]) -> "Prepared":
    from l2rec.data import prepare as pipeline
    from l2rec.data import sample
    from l2rec.data.columns import Columns
    from l2rec.data.splits import SplitSettings

    given = {name: value for name, value in flags.items() if value is not None}
    given |= {name: tuple(given[name].split(",")) for name in LISTS if name in given}
    given |= {"bad_rows": "drop"} if given["drop_bad_rows"] else {}
    given |= {"kind": given.get("split", "loo")}
    source = flags["source"]
    return pipeline.prepare(
        sample.path() if str(source) == "sample" and not source.exists() else source,
        flags["out"],
        source_kind=flags["kind"],
        columns=_validated(Columns, given),
        split=_validated(SplitSettings, given),
        force=flags["force"],
    )


def _validated(kind: Any, given: dict[str, Any]) -> Any:
    """Returns the flags that belong to `kind`; a complaint names the flag."""
    from l2rec.config import validated

    try:
        return validated(kind, {name: given[name] for name in kind.model_fields if name in given}, "")
    except SettingError as error:
        told = re.sub(r"Change it with --set (\w+)=\.\.\.", lambda m: f"Pass another --{_flag(m[1])}.", str(error))
        raise SettingError(re.sub(r"^\w+", lambda m: f"--{_flag(m[0])}", told)) from None


def _flag(name: str) -> str:
    return "split" if name == "kind" else name.replace("_", "-")


def _words(prepared: "Prepared") -> str:
    facts, counts = prepared.manifest, prepared.manifest.counts
    lines = [
        f"{prepared.folder}: {facts.source} ({facts.source_kind}), split {facts.split_name}",
        f"{counts.users} users ({counts.new_users} new), {counts.items} items ({counts.new_items} new)",
        f"{counts.train_events} training events; {counts.validation_cases} validation, {counts.test_cases} test cases",
        f"{facts.tie_share:.1%} of the events share their time with another event of the same user",
    ]
    dropped = {
        "bad rows": counts.bad_rows,
        "rows that occur twice": counts.duplicate_rows,
        "low ratings": counts.low_rating,
        "events outside the k-core": counts.outside_core,
        "bad items": counts.bad_items,
        "items that occur twice": counts.duplicate_items,
    }
    lines += [f"left out: {number} {what}" for what, number in dropped.items() if number]
    lacking = {"row in the items table": counts.items_without_row, "text": counts.items_without_text}
    lines += [f"items without a {what}: {number} of {counts.items}" for what, number in lacking.items() if number]
    return "\n".join(lines)
