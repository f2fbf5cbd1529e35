"""From a query string or a body to a wish: parsed by hand where every microsecond counts, described as OpenAPI."""

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Annotated, Any
from urllib.parse import parse_qsl

from pydantic import ConfigDict, Field, WithJsonSchema
from starlette.convertors import PathConvertor, register_url_convertor

from l2rec.config import Settings
from l2rec.errors import SettingError
from l2rec.serving.wishes import DEFAULT_LIMITS, Filters, Limits, Source, Wish

DEFAULT = Wish()
_KEPT = 512
"""Bytes of the longest query string whose wish is kept."""
_LISTS = {
    "allow": "Item id that may be listed; where any are given, no other is. May be repeated.",
    "deny": "Item id that is not listed. May be repeated.",
    "allow_attributes": "Token column=value; an item needs one of every column that is named. May be repeated.",
    "deny_attributes": "Token column=value; an item that holds one is not listed. May be repeated.",
}


_WORD = {"type": "string", "minLength": 1, "maxLength": DEFAULT_LIMITS.characters}
_TOKEN = _WORD | {"pattern": "="}
Name = Annotated[str, WithJsonSchema(_WORD)]
"""An id in a body; `check_ids` refuses what it is described not to be."""
Token = Annotated[str, WithJsonSchema(_TOKEN)]
"""A token column=value in a body."""
Text = Annotated[str, WithJsonSchema({"type": "string", "maxLength": DEFAULT_LIMITS.text})]
"""Words in a body; `check_text` refuses more of them."""


class _AnyText(PathConvertor):
    """The rest of a path, line breaks included: they are as good as any other character of an id."""

    regex = "(?s:.*)"


register_url_convertor("path", _AnyText())


class Place(Settings):
    """One place of a list."""

    item_id: str
    """The item's id."""
    title: str
    """What a person is shown; the id where there is no title."""
    score: float
    """Comparable within one list only."""


class List(Settings):
    """A list, and where it comes from."""

    items: list[Place]
    """Best first."""
    source: Source
    """`fresh`: the model, just now; `cached`: made ahead; `newcomer`: the model without a history; `popular`."""
    version: str
    """The release that answered."""
    age: float
    """Seconds since the list was made; 0 for one of this moment."""
    notes: list[str]
    """Why the answer is less than was asked for."""


class WishBody(Settings):
    """What is wanted of a list, as a body says it."""

    model_config = ConfigDict(strict=True)

    k: Annotated[int, Field(json_schema_extra={"minimum": 1})] = DEFAULT.k
    """Length of the list."""
    mask_seen: bool | None = None
    """Whether items of the history are left out; the run's own rule where missing."""
    allow: list[Name] = Field(default_factory=list)
    """Item ids that may be listed; where any are given, no other is."""
    deny: list[Name] = Field(default_factory=list)
    """Item ids that are not listed."""
    allow_attributes: list[Token] = Field(default_factory=list)
    """Tokens column=value; an item needs one of every column that is named."""
    deny_attributes: list[Token] = Field(default_factory=list)
    """Tokens column=value; an item that holds one is not listed."""
    diversity: Annotated[float, Field(ge=0, le=1)] = 0.0
    """0 for the best scores, up to 1 for the greatest difference."""
    prompt: Text | None = None
    """What is wanted, in words, within the user's taste."""
    deadline_ms: Annotated[float, Field(gt=0, json_schema_extra={"maximum": DEFAULT_LIMITS.seconds * 1000})] = (
        DEFAULT.deadline * 1000
    )
    """Milliseconds within which store and model must answer; after them the next best source does."""

    def wish(self, limits: Limits) -> Wish:
        """Returns the wish.

        Raises:
            SettingError: a value is out of range.
        """
        filters = Filters(*(frozenset(v) for v in (self.allow, self.deny, self.allow_attributes, self.deny_attributes)))
        made = Wish(self.k, self.mask_seen, filters, self.diversity, self.prompt, self.deadline_ms / 1000)
        made.check(limits)
        return made


class Reader:
    """Reads query strings, those seen lately at once."""

    def __init__(self, limits: Limits, names: Sequence[str] = ()) -> None:
        """Keeps what may be asked.

        Args:
            limits: What may be asked for at most.
            names: Parameters that are known; all where none are given.
        """
        self.limits, self.names = limits, tuple(names) or (*_SINGLE, *_LISTS)
        self._kept: Callable[[bytes], Wish] = lru_cache(1024)(self._wish)

    def wish(self, query: bytes) -> Wish:
        """Returns the wish of a query string; those of short ones are kept.

        Raises:
            SettingError: a name is unknown or given twice, or a value is out of range.
        """
        return self._kept(query) if len(query) <= _KEPT else self._wish(query)

    def _wish(self, query: bytes) -> Wish:
        if not query:
            return DEFAULT
        given: dict[str, list[str]] = {}
        most = 5 * self.limits.ids
        try:
            pairs = parse_qsl(query.decode("latin-1"), keep_blank_values=True, max_num_fields=most)
        except ValueError:
            raise SettingError(f"the query: over {most} values. Send fewer.") from None
        for name, value in pairs:
            given.setdefault(name, []).append(value)
        unknown = sorted(given.keys() - {*self.names})
        if unknown:
            raise SettingError(f"{unknown[0][:40]!r}: no such parameter. Known: {', '.join(self.names)}.")
        values = {name: _SINGLE[name](name, given[name]) for name in _SINGLE if name in given}
        filters = Filters(*(self._listed(name, given.get(name, [])) for name in _LISTS))
        wish = Wish(filters=filters, deadline=values.pop("deadline_ms", 1000 * DEFAULT.deadline) / 1000, **values)
        wish.check(self.limits)
        return wish

    def _listed(self, name: str, values: list[str]) -> frozenset[str]:
        if len(values) > self.limits.ids:
            raise SettingError(f"{name}: {len(values)} values: over {self.limits.ids}. Send fewer.")
        return frozenset(values)


def _only(name: str, values: list[str]) -> str:
    if len(values) > 1:
        raise SettingError(f"{name}: given {len(values)} times. Give it once.")
    return values[0]


def whole(name: str, values: list[str]) -> int:
    """Returns the one value as a whole number.

    Raises:
        SettingError: it is none.
    """
    text = _only(name, values)
    if not (text.removeprefix("-").isascii() and text.removeprefix("-").isdecimal() and len(text) < 10):
        raise SettingError(f"{name}: {text[:40]!r}: expected a whole number. Correct it.")
    return int(text)


def _number(name: str, values: list[str]) -> float:
    text = _only(name, values)
    try:
        return float(text)
    except ValueError:
        raise SettingError(f"{name}: {text[:40]!r}: expected a number. Correct it.") from None


def _boolean(name: str, values: list[str]) -> bool:
    text = _only(name, values)
    if text not in ("true", "false"):
        raise SettingError(f"{name}: {text[:40]!r}: expected true or false. Correct it.")
    return text == "true"


_SINGLE: dict[str, Callable[[str, list[str]], Any]] = {
    "k": whole,
    "mask_seen": _boolean,
    "diversity": _number,
    "prompt": _only,
    "deadline_ms": _number,
}


def parameters(limits: Limits, names: Sequence[str]) -> list[dict[str, Any]]:
    """Returns how the parameters of those names are described in OpenAPI."""
    schema = WishBody.model_json_schema()["properties"]
    singles: dict[str, dict[str, Any]] = {
        "k": {"type": "integer", "minimum": 1, "maximum": limits.k, "default": DEFAULT.k},
        "mask_seen": {"type": "boolean"},
        "diversity": {"type": "number", "minimum": 0, "maximum": 1, "default": 0},
        "prompt": {"type": "string", "minLength": 1, "maxLength": limits.text},
        "deadline_ms": {"type": "number", "exclusiveMinimum": 0, "maximum": limits.seconds * 1000, "default": 1000},
    }
    described = [query(name, kind, schema[name]["description"]) for name, kind in singles.items()]
    word: dict[str, Any] = {"type": "string", "minLength": 1, "maxLength": limits.characters}
    for name, meaning in _LISTS.items():
        items = word | ({"pattern": "="} if name.endswith("attributes") else {})
        described.append(query(name, {"type": "array", "items": items, "maxItems": limits.ids}, meaning))
    return [one for one in described if one["name"] in names]


def query(name: str, schema: dict[str, Any], meaning: str) -> dict[str, Any]:
    """Returns how one parameter is described."""
    return {"name": name, "in": "query", "required": False, "schema": schema, "description": meaning}


def path_id(limits: Limits) -> dict[str, Any]:
    """Returns how the id in a path is described."""
    schema = {"type": "string", "minLength": 1, "maxLength": limits.characters}
    meaning = "Any text, percent-encoded; a slash may stand as it is."
    return {"name": "id", "in": "path", "required": True, "schema": schema, "description": meaning}
