"""Charts as inline SVG whose colours are the page's, so that they read in light and dark and at any width."""

import io
import re
import warnings
from collections.abc import Callable
from typing import Any

INK, RULE = "#0a0b0c", "#0a0b0d"
"""Stand for the page's text colour and for its faint lines; replaced after drawing."""
SERIES = tuple(f"#a0a00{number}" for number in range(7))
"""Stand for the page's series colours."""
MARKERS = ("o", "s", "D", "^", "v", "P", "X")
"""One a series, as colour alone must not tell."""
_WIDTH = 4.5
"""Inches: the text of a chart this wide reads in half a desktop window and on a phone."""
_STYLE: Any = {
    "svg.fonttype": "none",
    "svg.hashsalt": "l2rec",
    "text.parse_math": False,
    "font.size": 9,
    "font.family": "DejaVu Sans",
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": RULE,
    "axes.axisbelow": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 9,
    "axes.titlelocation": "left",
    "grid.color": RULE,
    "grid.linewidth": 0.6,
    "xtick.color": INK,
    "ytick.color": INK,
    "xtick.labelsize": 8.5,
    "ytick.labelsize": 8.5,
    "xtick.major.size": 0,
    "ytick.major.size": 0,
}


def chart(draw: Callable[[Any], None], height: float, name: str) -> str:
    """Returns what `draw` puts on a pair of matplotlib axes, as SVG without a single outside address.

    Args:
        draw: Gets the axes; colours are taken from `INK`, `RULE` and `SERIES`.
        height: In inches, the width being 4.5.
        name: Prefix of the ids within, unique on the page.
    """
    import matplotlib as mpl
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    with mpl.rc_context(_STYLE), warnings.catch_warnings():
        # A label in a script that the measuring font lacks: the reader's browser has it.
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        figure = Figure(figsize=(_WIDTH, height), layout="constrained")
        FigureCanvasSVG(figure)
        draw(figure.subplots())
        written = io.StringIO()
        figure.savefig(written, format="svg", transparent=True, metadata={"Date": None})
    return _inlined(written.getvalue(), name)


def shortened(label: str, longest: int = 28) -> str:
    """Returns a label that leaves room for the chart."""
    return label if len(label) <= longest else label[: longest - 1] + "…"


def _inlined(text: str, name: str) -> str:
    """The SVG element alone, with the page's colours, its own ids, and nothing that a page does not need."""
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>\s*", "", text, flags=re.DOTALL)
    head, body = text.split(">", 1)
    box = re.search(r'viewBox="[^"]*"', head)
    assert box is not None, "matplotlib writes a viewBox"
    body = re.sub(r' id="([^"]+)"', rf' id="{name}-\1"', body)
    body = re.sub(r'xlink:href="#([^"]+)"', rf'href="#{name}-\1"', body)
    body = re.sub(r"url\(#([^)]+)\)", rf"url(#{name}-\1)", body)
    body = body.replace(INK, "currentColor").replace(RULE, "var(--rule)")
    for number, colour in enumerate(SERIES):
        body = body.replace(colour, f"var(--s{number})")
    return f'<svg {box[0]} aria-hidden="true" focusable="false">{body}'
