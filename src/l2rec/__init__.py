"""l2rec: from a log and a catalogue to recommendations of a language model, honestly measured.

`prepare`, `train`, `Run` and `Recommender` are loaded when they are first named, so that importing l2rec costs nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from l2rec.data.prepare import prepare
    from l2rec.run import Run, train
    from l2rec.serving.recommender import Recommender

__all__ = ["Recommender", "Run", "prepare", "train"]

_PLACES = {
    "prepare": "l2rec.data.prepare",
    "train": "l2rec.run",
    "Run": "l2rec.run",
    "Recommender": "l2rec.serving.recommender",
}


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return vars(import_module(_PLACES[name]))[name]
