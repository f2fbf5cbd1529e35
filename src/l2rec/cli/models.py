"""`l2rec models`: what there is, and every setting of one of them."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from l2rec.cli.show import show_json, show_table

if TYPE_CHECKING:
    from l2rec.config import Settings


def models(
    name: Annotated[str | None, typer.Argument(help="A model; all of them where left out.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """List the models, or the settings of one."""
    from l2rec import models as finder

    if name is None:
        rows = [{"name": known, "summary": finder.find(known).summary} for known in finder.names()]
    else:
        rows = settings_of(finder.find(name).config)
    if as_json:
        show_json(rows)
        return
    columns = list(rows[0]) if rows else ["name", "summary"]
    show_table(columns, [[str(cell) for cell in row.values()] for row in rows], words=range(len(columns)))


def settings_of(kind: "type[Settings]", place: str = "") -> list[dict[str, Any]]:
    """Returns name, type, default and meaning of every setting of a class of settings, in the order of its file.

    Args:
        kind: The class; the settings of a model within it are listed too, as `name.setting`.
        place: What the names begin with.
    """
    from l2rec.config import ModelSettings

    rows: list[dict[str, Any]] = []
    for name, field in kind.model_fields.items():
        default = None if field.is_required() else field.get_default(call_default_factory=True)
        if isinstance(default, ModelSettings):
            rows += settings_of(type(default), f"{place}{name}.")
            continue
        rows.append(
            {
                "setting": place + name,
                "type": _type_name(field.annotation),
                "default": "required" if field.is_required() else _plain(default),
                "meaning": " ".join((field.description or "").split()),
            }
        )
    return rows


def _type_name(annotation: Any) -> str:
    return annotation.__name__ if isinstance(annotation, type) else str(annotation).replace("typing.", "")


def _plain(value: Any) -> Any:
    return value if isinstance(value, (bool, int, float, str)) or value is None else str(value)
