"""`l2rec recommend`: a list for a user of the data, for a history, or for words."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from l2rec.cli.show import show_json, show_table
from l2rec.errors import SettingError

if TYPE_CHECKING:
    from l2rec.serving.recommender import Recommendation

_ALLOWED = "Item id that may be listed, and no other; may be repeated."
_DENIED = "Item id that is not listed; may be repeated."
_NEEDED = "Token that an item needs, one of every column named; may be repeated."
_UNWANTED = "Token that an item must not hold; may be repeated."


def recommend(
    run: Annotated[Path, typer.Argument(help="Run folder.")],
    user: Annotated[str | None, typer.Option(help="A user id of the run's data; reads the history there.")] = None,
    history: Annotated[str | None, typer.Option(help="Item ids, oldest first, with commas between.")] = None,
    text: Annotated[str | None, typer.Option(help="What is wanted, in words.")] = None,
    prompt: Annotated[
        str | None, typer.Option(help="What is wanted within a taste, in words; alone, for anybody.")
    ] = None,
    allow: Annotated[list[str] | None, typer.Option(metavar="ID", help=_ALLOWED)] = None,
    deny: Annotated[list[str] | None, typer.Option(metavar="ID", help=_DENIED)] = None,
    allow_attribute: Annotated[list[str] | None, typer.Option(metavar="COLUMN=VALUE", help=_NEEDED)] = None,
    deny_attribute: Annotated[list[str] | None, typer.Option(metavar="COLUMN=VALUE", help=_UNWANTED)] = None,
    count: Annotated[int, typer.Option("--count", "-k", min=1, help="Length of the list.")] = 10,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Print the items that a run recommends.

    For a user of its data, for a history of item ids, or for words; what the history holds is left out. A prompt
    steers the list of a user or a history, and filters say what may stand in it, as in the service.
    """
    if prompt is not None and user is history is text is None:
        history = ""
    if sum(asked is not None for asked in (user, history, text)) != 1:
        raise SettingError(f"recommend {run}: pass exactly one of --user ID, --history ID,ID and --text WORDS.")
    from l2rec.serving.recommender import Recommender
    from l2rec.serving.wishes import Filters, Wish

    recommender = Recommender.load(run)
    ids = None if history is None else [part.strip() for part in history.split(",") if part.strip()]
    filters = Filters(*(frozenset(given or ()) for given in (allow, deny, allow_attribute, deny_attribute)))
    wish = Wish(count, filters=filters, prompt=prompt)
    _show(recommender.recommend(user_id=user, history=ids, text=text, wish=wish), as_json)


def _show(found: "list[Recommendation]", as_json: bool) -> None:
    if as_json:
        show_json([{"item_id": r.item_id, "title": r.title, "score": r.score} for r in found])
        return
    rows = [(str(place), r.item_id, r.title, f"{r.score:.4f}") for place, r in enumerate(found, 1)]
    show_table(("", "item", "title", "score"), rows, words=(1, 2))
