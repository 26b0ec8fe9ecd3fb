"""Fit a matplotlib SVG into a page: its colours follow the page's theme, its identifiers are its own.

Only what we drew passes through here, yet nothing of it is trusted: the SVG is parsed as XML and written anew from a
short list of elements and attributes, so that a string from the data can end up as text and as nothing else.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from xml.etree import ElementTree

from tippingpoint.report import figures
from tippingpoint.report.markup import safe

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["inline_svg"]

ELEMENTS = {"svg", "g", "defs", "path", "use", "text", "tspan", "clipPath", "rect", "circle", "line", "polyline"}
ATTRIBUTES = {
    "id", "d", "x", "y", "width", "height", "viewBox", "transform", "style", "clip-path", "href", "cx", "cy", "r",
    "points", "x1", "y1", "x2", "y2",
}  # fmt: skip
COLOURS = {
    figures.INK: "--ink",
    figures.MUTED: "--muted",
    figures.GRID: "--line",
    figures.PAPER: "--paper",
    figures.BLUE: "--blue",
    figures.VERMILLION: "--vermillion",
    figures.GREEN: "--green",
    figures.PURPLE: "--purple",
    figures.SKY: "--olive",
    figures.HELPS: "--helps",
}
_REFERENCE = re.compile(r"url\(#([^)]+)\)")
_FONT = re.compile(r"^font: (\w+) (\d+(?:\.\d+)?)px .*$")
_DECIMALS = re.compile(r"(\d+\.\d{2})\d+")


def inline_svg(figure: Figure, name: str, description: str) -> str:
    """Return a figure as an SVG element for the page.

    Parameters
    ----------
    figure : matplotlib Figure
        What was drawn.
    name : str
        A short identifier, unique in the page, of letters, digits and hyphens.
    description : str
        What the figure shows, for those who cannot see it.

    Returns
    -------
    str
        ``<svg role="img" ...>``; byte for byte the same for the same figure.
    """
    source = figures.figure_bytes(figure, "svg", live_text=True)
    # Not a user's file: matplotlib wrote it a moment ago, so no entity can be hidden in it.
    root = ElementTree.fromstring(source)  # noqa: S314
    used = {
        match
        for element in root.iter()
        for value in element.attrib.values()
        for match in [*_REFERENCE.findall(value), *([value[1:]] if value.startswith("#") else [])]
    }
    parts: list[str] = []
    _write(root, parts, name, used, description)
    return "".join(parts)


def _local(tag: str) -> str:
    return tag.rpartition("}")[2]


def _write(element: ElementTree.Element, parts: list[str], name: str, used: set[str], description: str = "") -> None:
    """Write one element and what is in it."""
    tag = _local(element.tag)
    if tag not in ELEMENTS:
        return
    attributes = _attributes(element, name, used)
    if tag == "svg":
        attributes.pop("width", None)
        attributes.pop("height", None)
        attributes |= {"role": "img", "aria-label": description}
    written = "".join(f' {key}="{safe(value)}"' for key, value in attributes.items())
    text = element.text if tag in ("text", "tspan") and element.text else ""
    if tag == "g" and not written:  # matplotlib's groups that only carry a name
        for child in element:
            _write(child, parts, name, used)
        return
    parts.append(f"<{tag}{written}>{safe(text)}")
    for child in element:
        _write(child, parts, name, used)
    parts.append(f"</{tag}>")


def _attributes(element: ElementTree.Element, name: str, used: set[str]) -> dict[str, str]:
    """Return the attributes that may stay, identifiers prefixed and colours named."""
    kept = {}
    for raw, value in element.attrib.items():
        key = _local(raw)
        if key not in ATTRIBUTES or (key == "id" and value not in used):
            continue
        kept[key] = _value(key, value, name)
    return kept


def _value(key: str, value: str, name: str) -> str:
    """Return one attribute's value as it stands in the page."""
    if key == "id":
        return f"{name}-{value}"
    if key == "href":
        return f"#{name}-{value[1:]}"
    if key in ("d", "transform", "points"):
        return _DECIMALS.sub(r"\1", " ".join(value.split()))
    own = _REFERENCE.sub(rf"url(#{name}-\1)", value)
    return _themed(own) if key == "style" else own


def _themed(style: str) -> str:
    """Replace the figure's colours by the page's, and its font family by the page's."""
    declarations = [part.strip() for part in style.split(";") if part.strip()]
    kept = [part for part in declarations if not part.startswith("font-family")]
    text = "; ".join(
        _FONT.sub(lambda found: f"font-weight: {found[1]}; font-size: {found[2]}px", part) for part in kept
    )
    for colour, variable in COLOURS.items():
        text = re.sub(re.escape(colour), f"var({variable})", text, flags=re.IGNORECASE)
    return text
