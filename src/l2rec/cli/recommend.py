"""`l2rec recommend`: a list for a user of the data, for a history, or for words."""

from pathlib import Path
from typing import Annotated

import typer

from l2rec.cli.show import show_json, show_table
from l2rec.errors import SettingError


def recommend(
    run: Annotated[Path, typer.Argument(help="Run folder.")],
    user: Annotated[str | None, typer.Option(help="A user id of the run's data; reads the history there.")] = None,
    history: Annotated[str | None, typer.Option(help="Item ids, oldest first, with commas between.")] = None,
    text: Annotated[str | None, typer.Option(help="What is wanted, in words.")] = None,
    count: Annotated[int, typer.Option("--count", "-k", min=1, help="Length of the list.")] = 10,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Print the items that a run recommends.

    For a user of its data, for a history of item ids, or for words; what the history holds is left out.
    """
    if sum(asked is not None for asked in (user, history, text)) != 1:
        raise SettingError(f"recommend {run}: pass exactly one of --user ID, --history ID,ID and --text WORDS.")
    from l2rec.serving.recommender import Recommender

    recommender = Recommender.load(run)
    ids = None if history is None else [part.strip() for part in history.split(",") if part.strip()]
    found = recommender.recommend(user_id=user, history=ids, text=text, k=count)
    if as_json:
        show_json([{"item_id": r.item_id, "title": r.title, "score": r.score} for r in found])
        return
    rows = [(str(place), r.item_id, r.title, f"{r.score:.4f}") for place, r in enumerate(found, 1)]
    show_table(("", "item", "title", "score"), rows, words=(1, 2))
