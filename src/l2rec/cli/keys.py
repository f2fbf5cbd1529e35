"""`l2rec keys create`, `list` and `revoke`: who may ask a service."""

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from l2rec.cli.show import say, show, show_json, show_table
from l2rec.errors import SettingError

if TYPE_CHECKING:
    from l2rec.serving.records import Key

Place = Annotated[str, typer.Option("--store", help="sqlite:///PATH or redis://HOST[:PORT]/DB.")]
Name = Annotated[str, typer.Option(help="Whose key it is.")]

keys = typer.Typer(help="Create, list and revoke API keys.", no_args_is_help=True, rich_markup_mode=None)


@keys.command("create")
def create(
    store: Place,
    name: Name,
    scopes: Annotated[str, typer.Option(help="Of read, write and admin, with commas between them.")] = "read",
    rate: Annotated[float, typer.Option(help="Requests a second to each server process; 0: any.")] = 100.0,
    expires: Annotated[str | None, typer.Option(help="ISO date or time, in UTC, from which it is refused.")] = None,
) -> None:
    """Make a key and print it, this once.

    The store keeps only its hash; a key that was lost cannot be read again.
    """
    from l2rec.serving.access.keys import create
    from l2rec.serving.store.opening import open_store

    until = None if expires is None else _seconds(expires)
    wanted = [scope.strip() for scope in scopes.split(",") if scope.strip()]
    opened = open_store(store)
    try:
        made = create(opened, name, wanted, rate, until)
    finally:
        opened.close()
    say("Keep it: it is not shown again. Send it as Authorization: Bearer KEY or as X-API-Key: KEY.")
    show(made)


@keys.command("list")
def list_keys(
    store: Place,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """List the keys of a store by name, without the keys themselves."""
    from l2rec.serving.store.opening import open_store

    opened = open_store(store)
    try:
        found = sorted(opened.keys(), key=lambda key: key.name)
    finally:
        opened.close()
    told = [_told(key) for key in found]
    if as_json:
        show_json(told)
        return
    rows = [(one["name"], ",".join(one["scopes"]), f"{one['rate']:g}", one["expires"] or "never") for one in told]
    show_table(("name", "scopes", "rate", "expires"), rows, words=(0, 1, 3))


@keys.command("revoke")
def revoke(store: Place, name: Name) -> None:
    """Revoke the key of a name.

    Every server that runs on the store refuses it within a second.
    """
    from l2rec.serving.store.opening import open_store, shown

    opened = open_store(store)
    try:
        if not opened.drop_key(name):
            raise SettingError(f'--name "{name}": no such key. See: l2rec keys list --store {shown(store)}')
        left = opened.keys()
    finally:
        opened.close()
    say(f'"{name}" is revoked.')
    if not left:
        say("No key is left: servers that run admit nobody; one that is started anew on localhost admits everybody.")


def _told(key: "Key") -> dict[str, Any]:
    """What may be known of a key."""
    until = None if key.expires is None else datetime.fromtimestamp(key.expires, UTC).isoformat(timespec="seconds")
    return {"name": key.name, "scopes": list(key.scopes), "rate": key.rate, "expires": until}


def _seconds(text: str) -> float:
    """Seconds since 1970 of an ISO date or time; in UTC where it does not say."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise SettingError(f"--expires {text[:40]}: no ISO date. Write it like 2027-01-01.") from None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
