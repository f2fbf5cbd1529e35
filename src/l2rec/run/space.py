"""What a search tries: the space that the model's file declares, as `[search]` in the TOML file changes it."""

import difflib
import types
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, get_args, get_origin

from pydantic import Field, TypeAdapter, ValidationError
from pydantic.fields import FieldInfo

from l2rec import models
from l2rec.config import Settings, TrainingSettings, validated
from l2rec.errors import SettingError
from l2rec.models import Choices, Counter, Range, Space


class SearchSettings(Settings):
    """What only `l2rec search` reads; it decides no run."""

    declared: bool = True
    """Whether the space that the model's file declares is searched; without it, `space` is the whole."""
    space: dict[str, dict[str, Any]] = Field(default_factory=dict)
    """By setting, e.g. `"model.width"`, `{choices = [...]}` or `{low = ..., high = ..., log = ..., step = ...}`; each
    counts instead of what is declared for that setting."""


def space_of(model: str, search: SearchSettings) -> dict[str, Choices | Range]:
    """Returns the space of a search, by setting, every value looked at; bounds are whole where the setting is.

    Raises:
        ModelError: no model has that name.
        SettingError: there is nothing to search; a setting is unknown or cannot be searched; a value is out of range.
    """
    found = models.find(model)
    given = {name: _kind_of(name, values) for name, values in search.space.items()}
    space: Space = {**(found.space if search.declared else {}), **given}
    if not space:
        raise SettingError(f"search.space: empty: {model} declares none. Add settings under [search.space].")
    counts = issubclass(found.model, Counter)
    fields = dict(_fields(found.config, "model.")) | ({} if counts else dict(_fields(TrainingSettings, "training.")))
    return {name: _fitted(name, kind, _known(name, fields, model)) for name, kind in sorted(space.items())}


def _kind_of(name: str, values: dict[str, Any]) -> Choices | Range:
    place = f'search.space."{name}"'
    return validated(Choices, values, place) if "choices" in values else validated(Range, values, place)


def _fields(kind: type[Settings], place: str) -> Iterator[tuple[str, FieldInfo]]:
    """Every setting by its whole name, those of groups within too."""
    for name, field in kind.model_fields.items():
        annotation = field.annotation
        if isinstance(annotation, type) and issubclass(annotation, Settings):
            yield from _fields(annotation, f"{place}{name}.")
        else:
            yield f"{place}{name}", field


def _known(name: str, fields: Mapping[str, FieldInfo], model: str) -> FieldInfo:
    if name not in fields:
        close = difflib.get_close_matches(name, fields, n=1, cutoff=0.75)
        hint = f'Did you mean "{close[0]}"?' if close else f"See `l2rec models {model}`."
        raise SettingError(f'search.space: "{name}": a search of {model} has no such setting. {hint}')
    return fields[name]


def _fitted(name: str, kind: Choices | Range, field: FieldInfo) -> Choices | Range:
    """The kind as it is tried for this setting."""
    if isinstance(kind, Choices):
        for value in kind.choices:
            _refuse_unfit(name, value, field)
        return kind
    for value in (kind.low, kind.high):
        _refuse_unfit(name, value, field)
    number = _number(field)
    if number is None:
        raise SettingError(f'search.space."{name}": has bounds and is no number. Give it choices.')
    step = None if kind.step is None else number(kind.step)
    if step != kind.step:
        raise SettingError(f'search.space."{name}": step {kind.step}: expected a whole number. Round it.')
    return Range(low=number(kind.low), high=number(kind.high), log=kind.log, step=step)


def _refuse_unfit(name: str, value: Any, field: FieldInfo) -> None:
    try:
        annotated: Any = Annotated[field.annotation, field]
        TypeAdapter(annotated).validate_python(value)
    except ValidationError as error:
        said = error.errors()[0]["msg"]
        raise SettingError(f'search.space."{name}": {value!r}: {said[0].lower()}{said[1:]}. Change it there.') from None


def _number(field: FieldInfo) -> type[int] | type[float] | None:
    kinds: set[Any] = {field.annotation}
    if get_origin(field.annotation) is types.UnionType:
        kinds = set(get_args(field.annotation))
    return next((kind for kind in (int, float) if kind in kinds), None)


def values_of(kind: Choices | Range) -> tuple[bool | int | float | str, ...]:
    """Returns the values of choices, or the two bounds of a range, as `tuning.space` has them."""
    return kind.choices if isinstance(kind, Choices) else (kind.low, kind.high)
