"""Drawings of matplotlib as SVG to stand in a page: coloured by the page's style, in its font, in light and dark."""

import io
import re
import textwrap
from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import Any
from xml.etree import ElementTree

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.typing import RcKeyType

INK, SOFT, LINE, GRID, CARD = "#1c2430", "#5b6675", "#dfe3e8", "#eceff2", "#ffffff"
OURS, OTHERS, BAD = "#0072b2", "#9aa6b4", "#b3261e"
PHASES = ("#b9c6d6", "#5b8bd0", "#2f9e9b", "#8f83c4", "#c3ab74", "#7d8a99")
SWITCH = "#e0952b"
SERIES = (OURS, "#d55e00", "#009e73", "#cc79a7", "#a6761d", "#56b4e9")
"""Colours that stay apart for the colour-blind (Okabe and Ito), the yellow made dark enough for paper."""
MARKERS = ("o", "s", "^", "D", "v", "P")
"""Shapes that tell series apart without colour."""
NAMES: Mapping[str, str] = {
    INK: "ink", SOFT: "soft", LINE: "line", GRID: "grid", CARD: "card", OTHERS: "p0", BAD: "bad", SWITCH: "switch",
    **{colour: f"p{index}" for index, colour in enumerate(PHASES[:5], 1)}, PHASES[5]: "p6",
    **{colour: f"s{index}" for index, colour in enumerate(SERIES)},
}  # fmt: skip
"""The colours' names in the page's style; benchmarks/page.html has those that the report's page lacks."""
STYLE: dict[RcKeyType, Any] = {
    "svg.fonttype": "none", "svg.hashsalt": "intercloud", "text.parse_math": False, "font.size": 8.5,
    "text.color": INK, "axes.labelcolor": SOFT, "axes.edgecolor": LINE, "xtick.color": LINE, "ytick.color": LINE,
    "xtick.labelcolor": SOFT, "ytick.labelcolor": INK, "axes.facecolor": "none", "figure.facecolor": "none",
    "axes.grid": True, "grid.color": GRID, "axes.axisbelow": True, "axes.spines.top": False, "axes.spines.right": False,
    "axes.titlesize": 8.5, "axes.titlelocation": "left", "legend.frameon": False, "legend.labelcolor": INK,
}  # fmt: skip
WIDTH = 10.0
"""Inches, and as wide as the page: all drawings are scaled alike."""


def styled() -> AbstractContextManager[None]:
    """Hold the page's style: whatever is drawn, and written, is drawn within it."""
    return mpl.rc_context(STYLE)


def panels(rows: int, height: float) -> tuple[Figure, list[Axes]]:
    """Make a figure of equal panels, one above the other. height: of all, in inches."""
    figure = Figure(figsize=(WIDTH, height), layout="constrained")
    return figure, list(figure.subplots(rows, squeeze=False).flat)


def plain(text: str) -> str:
    """Make foreign text fit a drawing: short, on one line, without what XML forbids."""
    return textwrap.shorten("".join(letter if letter.isprintable() else " " for letter in text), 72, placeholder="…")


def inline(figure: Figure, title: str) -> str:
    """Write a figure as an element of a page. title: says what it is to those who do not see it; unique in the page."""
    text = io.StringIO()
    figure.savefig(text, format="svg", metadata=dict.fromkeys(("Creator", "Date", "Format", "Type")))
    root = ElementTree.fromstring(text.getvalue())
    prefix = re.sub(r"\W+", "-", title.lower())
    for element in root.iter():
        element.tag = _local(element.tag)
        element.attrib = {_local(name): _attribute(_local(name), value, prefix) for name, value in element.items()}
    for part in list(root):
        if part.tag == "metadata" or part.find("style") is not None:
            root.remove(part)
    root.attrib = {"viewBox": root.attrib["viewBox"], "role": "img", "aria-label": title}
    return ElementTree.tostring(root, encoding="unicode")


def _local(name: str) -> str:
    """Leave the namespace off: none is needed within HTML."""
    return name.rpartition("}")[2]


def _attribute(name: str, value: str, prefix: str) -> str:
    """Name colours by the page's style, leave the font to it, and keep the ids of several drawings apart."""
    if name == "id":
        return f"{prefix}-{value}"
    if name in ("href", "clip-path"):
        return value.replace("#", f"#{prefix}-")
    if name != "style":
        return value
    value = re.sub(r"font-family: [^;]*; ?", "", value)
    return re.sub(r"#[0-9a-f]{6}\b", lambda found: _colour(found[0]), value)


def _colour(colour: str) -> str:
    return f"var(--{NAMES[colour]})" if colour in NAMES else colour
