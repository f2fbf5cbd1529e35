"""The finder: a model's name is its file's name; files are looked at, only the one asked for is imported."""

import difflib
from importlib import import_module
from importlib.metadata import entry_points
from pathlib import Path
from typing import NamedTuple

from l2rec.config import ModelSettings
from l2rec.errors import ModelError
from l2rec.models._base import Counter, Explaining, Growing, Learner, Recommender, Retriever, TextReader
from l2rec.models._prefix import PrefixReader
from l2rec.models._space import Choices, Range, Space

__all__ = [
    "Choices",
    "Counter",
    "Explaining",
    "Found",
    "Growing",
    "Learner",
    "PrefixReader",
    "Range",
    "Recommender",
    "Retriever",
    "Space",
    "TextReader",
    "find",
    "names",
]


class Found(NamedTuple):
    """What a model's file offers: its two classes, its opening sentence, and what a search of its settings tries."""

    config: type[ModelSettings]
    model: type[Recommender]
    summary: str
    space: Space


def names() -> list[str]:
    """Returns the name of every model, ours and other packages', in alphabetical order; imports none of them."""
    return sorted({**_own(), **_foreign()})


def find(name: str) -> Found:
    """Returns `Config`, `Model` and, empty where there is none, `SPACE` of one model's file.

    Raises:
        ModelError: no model has that name, or its file lacks `Config` or `Model`.
    """
    places = _own()
    if name not in places:  # packages are only looked through where they are needed; there are hundreds of them
        places |= _foreign()
    if name not in places:
        close = difflib.get_close_matches(name, places, n=1)
        hint = f'Did you mean "{close[0]}"?' if close else f"Known: {', '.join(sorted(places))}."
        raise ModelError(f'model.name: "{name}": no such model. {hint}')
    module = import_module(places[name])
    offered = vars(module)
    if "Config" not in offered or "Model" not in offered:
        raise ModelError(f"{places[name]}: offers no Config and Model. Add both; docs/add-a-model.md shows how.")
    summary = (module.__doc__ or "").strip().split("\n")[0]
    return Found(offered["Config"], offered["Model"], summary, offered.get("SPACE", {}))


def _own() -> dict[str, str]:
    here = Path(__file__).parent
    files = (path for path in here.glob("*/*.py") if not path.name.startswith("_"))
    return {path.stem: f"{__name__}.{path.parent.name}.{path.stem}" for path in files}


def _foreign() -> dict[str, str]:
    return {point.name: point.value for point in entry_points(group="l2rec.models")}
