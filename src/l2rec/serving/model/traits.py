"""Attributes of somebody who asks: as the vector that a model was trained with, and in words where that is not read."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from l2rec.errors import SettingError
from l2rec.serving.manifest import Manifest
from l2rec.serving.wishes import DEFAULT_LIMITS, Limits, check_ids, check_text

Attributes = Sequence[float] | Mapping[str, str | Sequence[str]]
"""A vector as the run's data has it, or values by name, of which the data need not know any."""
STRANGE = "attributes that the run's data does not have count only without a history: they were left out"
WORDLESS = "the attributes cannot be put into words: this model hears them only beside a history"
_YES, _NO = {"yes", "true"}, {"no", "false"}


@dataclass(frozen=True)
class Told:
    """What attributes come to.

    Attributes:
        vector: The attribute vector; None where nothing was said that has a place in it.
        words: The same as a sentence; empty where none of it can be put into words.
        strange: Names of which a value has no place in the vector.
    """

    vector: tuple[float, ...] | None = None
    words: str = ""
    strange: tuple[str, ...] = ()

    def unheard(self, can_read: bool, has_history: bool) -> tuple[str, ...]:
        """Returns a note where something was said that the model does not hear.

        Args:
            can_read: Whether the model reads.
            has_history: Whether there is a history, beside which only the vector counts.
        """
        if has_history:
            return (STRANGE,) if self.strange else ()
        return (WORDLESS,) if can_read and not self.words and any(self.vector or ()) else ()


def prompt_of(said: Told, can_read: bool, *words: str | None) -> tuple[str | None, bool]:
    """Returns the prompt of somebody without a history, and whether all of it tells of the user.

    Args:
        said: What was said of the user; nothing where there is a history.
        can_read: Whether the model reads; if not, it gets words only where the vector does not hold all of them.
        words: What is wanted, in words.
    """
    of_user = said.words if can_read or said.strange else ""
    parts = [part for part in (*words, of_user or None) if part is not None]
    return ". ".join(parts) if parts else None, bool(of_user) and parts == [of_user]


def vector_of(said: Told, width: int) -> Float[ndarray, " A"] | None:
    """Returns the attribute vector; None where there is none, or the run's data has none.

    Raises:
        SettingError: it has another length than the run's, or a value that is no 32-bit number.
    """
    if said.vector is None:
        return None
    if len(said.vector) != width:
        raise SettingError(f"attributes: {len(said.vector)} values: the run has {width}. Send that many, or none.")
    with np.errstate(over="ignore"):
        vector = np.array(said.vector, dtype=np.float32)
    wrong = np.flatnonzero(~np.isfinite(vector))
    if len(wrong):
        value = said.vector[wrong[0]]
        raise SettingError(f"attributes: {value:g}: no finite 32-bit number. Send values like those of the training.")
    return vector if width else None


def check_attributes(values: Mapping[str, str | Sequence[str]], limits: Limits = DEFAULT_LIMITS) -> None:
    """Refuses values by name that are too many or too long, or where a name or value is empty or no Unicode text.

    Raises:
        SettingError: see above.
    """
    several = [value for given in values.values() for value in _several(given)]
    for texts in (list(values), several):
        check_ids("attributes", texts, limits.ids, limits)
    check_text("attributes", " ".join((*values, *several)), limits, empty=True)


def told(attributes: Attributes | None, manifest: Manifest) -> Told:
    """Returns what attributes come to in a run.

    Args:
        attributes: Nothing, a vector, or values by name.
        manifest: The run's.
    """
    if attributes is None:
        return Told()
    names = user_columns(manifest)
    if not isinstance(attributes, Mapping):
        known = [names[place] for place, value in enumerate(attributes[: len(names)]) if value > 0]
        return Told(tuple(attributes), _sentence(name.partition("=")[::2] for name in known if "=" in name))
    pairs = [(name, value) for name, values in attributes.items() for value in _several(values)]
    vector = [0.0] * manifest.attributes
    strange = dict.fromkeys(name for name, value in pairs if f"{name}={value}" not in names)
    for name, value in pairs:
        if name not in strange:
            vector[names.index(f"{name}={value}")] = 1.0
    return Told(tuple(vector) if any(vector) else None, _sentence(pairs), tuple(strange))


def user_columns(manifest: Manifest) -> tuple[str, ...]:
    """Returns the names of the places of an attribute vector; none where the run's data is not at hand or changed."""
    return _read(Path(manifest.data), manifest.fingerprint, manifest.attributes)


@lru_cache(4)
def _read(data: Path, fingerprint: str, count: int) -> tuple[str, ...]:
    try:
        said = json.loads((data / "manifest.json").read_text(encoding="utf-8"))
        if said["fingerprint"] == fingerprint and len(said["user_columns"]) == count:
            return tuple(said["user_columns"])
    except (OSError, ValueError, KeyError, TypeError):
        pass
    return ()


def _several(values: str | Sequence[str]) -> Sequence[str]:
    return (values,) if isinstance(values, str) else values


def _sentence(pairs: Iterable[tuple[str, str]]) -> str:
    """Names and values one after another, each a part of its own; a name alone for yes, and ruled out for no."""
    parts = []
    for name, value in pairs:
        what, said = name.replace("_", " ").strip(), value.strip()
        parts.append(what if said.lower() in _YES else f"no {what}" if said.lower() in _NO else f"{what} {said}")
    return ", ".join(parts)
