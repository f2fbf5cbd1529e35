"""What all pages share: templates, and complaints as a sentence on a page."""

from collections.abc import Awaitable, Callable, Mapping

from fastapi import Request, Response
from fastapi.responses import HTMLResponse
from fastapi.routing import APIRoute
from jinja2 import Environment, PackageLoader, StrictUndefined

from l2rec.errors import L2RecError
from l2rec.serving.api.faults import status_of

_TEMPLATES = Environment(
    loader=PackageLoader("l2rec.serving.pages"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)

_MEANINGS = {
    "fresh": "the model, just now",
    "cached": "made ahead",
    "newcomer": "the model, without a history",
    "popular": "what most chose",
}


def _score(value: float) -> str:
    return f"{value:.3f}" if abs(value) < 100 else f"{value:.0f}"


_TEMPLATES.filters |= {"score": _score, "meaning": lambda source: _MEANINGS[source]}


def share(name: str, value: object) -> None:
    """Makes a value known to every template."""
    _TEMPLATES.globals[name] = value


def page(
    template: str, given: Mapping[str, object], status: int = 200, headers: Mapping[str, str] | None = None
) -> Response:
    """Returns a template filled in; every text that is given is escaped.

    Args:
        template: Its name without the ending.
        given: What it needs; a name that is missing is an error.
        status: The HTTP status.
        headers: More headers.
    """
    text = _TEMPLATES.get_template(f"{template}.html.j2").render(given)
    return HTMLResponse(text, status, headers)


class PageRoute(APIRoute):
    """A route whose complaints are read by a person: a sentence on a page, with the status that fits."""

    def get_route_handler(self) -> Callable[[Request], Awaitable[Response]]:  # type: ignore[override]
        """Returns the handler of a request."""
        answered = super().get_route_handler()

        async def told(request: Request) -> Response:
            try:
                return await answered(request)
            except L2RecError as error:
                return page("trouble", {"message": sentence(error), "here": ""}, status_of(error))

        return told


def sentence(error: L2RecError) -> str:
    """Returns a complaint as a sentence."""
    text = " ".join(str(error).split())
    return text[:1].upper() + text[1:]
