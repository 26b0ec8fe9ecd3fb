"""Fit a matplotlib SVG into a page: its colours follow the page's theme, its identifiers are its own.

Only what we drew passes through here, yet nothing of it is trusted: the SVG is parsed as XML and written anew from a
short list of elements and attributes, so that a string from the data can end up as text and as nothing else.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING
from xml.etree import ElementTree

from tippingpoint.report import canvas
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
    canvas.INK: "--ink",
    canvas.MUTED: "--muted",
    canvas.GRID: "--line",
    canvas.PAPER: "--paper",
    canvas.BLUE: "--blue",
    canvas.VERMILLION: "--vermillion",
    canvas.GREEN: "--green",
    canvas.PURPLE: "--purple",
    canvas.SLATE: "--slate",
    canvas.HELPS: "--helps",
    canvas.HARMS: "--harms",
    **{shade: f"--shade-{place}" for place, shade in enumerate(canvas.SHADES)},
}
_REFERENCE = re.compile(r"url\(#([^)]+)\)")
_FONT = re.compile(r"^font: (\w+) (\d+(?:\.\d+)?)px .*$")
_DECIMALS = re.compile(r"(\d+\.\d)\d+")


def inline_svg(figure: Figure, name: str, description: str, runs: Mapping[str, Sequence[str]] | None = None) -> str:
    """Return a figure as an SVG element for the page.

    Parameters
    ----------
    figure : matplotlib Figure
        What was drawn.
    name : str
        A short identifier, unique in the page, of letters, digits and hyphens.
    description : str
        What the figure shows, for those who cannot see it.
    runs : mapping of str to sequence of str, optional
        For each group of points (by the ``gid`` it was drawn with) the runs behind each point, in order: places in the
        table, joined by spaces. They become ``data-runs``, which the page's script reads.

    Returns
    -------
    str
        ``<svg role="img" ...>``; byte for byte the same for the same figure.
    """
    source = canvas.figure_bytes(figure, "svg", live_text=True)
    # Not a user's file: matplotlib wrote it a moment ago, so no entity can be hidden in it.
    root = ElementTree.fromstring(source)  # noqa: S314
    used = {
        match
        for element in root.iter()
        for value in element.attrib.values()
        for match in [*_REFERENCE.findall(value), *([value[1:]] if value.startswith("#") else [])]
    }
    names = {
        old: f"{name}-{place}" for place, old in enumerate(e.get("id") for e in root.iter() if e.get("id") in used)
    }
    writer = _Writer(names, runs or {}, description)
    writer.write(root)
    return "".join(writer.parts)


def _local(tag: str) -> str:
    return tag.rpartition("}")[2]


class _Writer:
    """Write an SVG anew: what may stay, identifiers of its own, marks that know their runs."""

    def __init__(self, names: Mapping[str | None, str], runs: Mapping[str, Sequence[str]], description: str) -> None:
        self.names = names
        self.runs = runs
        self.description = description
        self.parts: list[str] = []

    def write(self, element: ElementTree.Element, dropped: str = "", behind: Sequence[str] = ()) -> None:
        """Write one element and what is in it; ``dropped`` is the style that its group states already."""
        tag = _local(element.tag)
        if tag not in ELEMENTS:
            return
        attributes = self._attributes(element, dropped)
        if tag == "svg":
            attributes.pop("width", None)
            attributes.pop("height", None)
            attributes |= {"role": "img", "aria-label": self.description}
            attributes |= {"tabindex": "0"} if self.runs else {}
        behind = self.runs.get(element.get("id") or "", behind)
        marks = [child for child in element if _local(child.tag) == "use"] if tag == "g" else []
        common = marks[0].get("style", "") if len(marks) > 1 and len({m.get("style") for m in marks}) == 1 else ""
        if common:
            attributes["style"] = _themed(common)
        if tag == "use" and behind:
            attributes["data-runs"] = behind[0]
        written = "".join(f' {key}="{safe(value)}"' for key, value in attributes.items())
        text = safe(element.text) if tag in ("text", "tspan") and element.text else ""
        bare = tag == "g" and not written  # matplotlib's groups that only carry a name
        if not bare and not len(element) and not text:
            self.parts.append(f"<{tag}{written}/>")
            return
        if not bare:
            self.parts.append(f"<{tag}{written}>{text}")
        known = len(marks) == len(behind)  # else some were not drawn: rather no runs than those of another mark
        place = 0
        for child in element:
            own = behind if _local(child.tag) == "g" else ()
            if _local(child.tag) == "use" and known and behind:
                own, place = behind[place : place + 1], place + 1
            self.write(child, common or dropped, own)
        if not bare:
            self.parts.append(f"</{tag}>")

    def _attributes(self, element: ElementTree.Element, dropped: str) -> dict[str, str]:
        """Return the attributes that may stay, identifiers renamed and colours named."""
        kept = {}
        for raw, value in element.attrib.items():
            key = _local(raw)
            if key not in ATTRIBUTES or (key == "id" and value not in self.names):
                continue
            if key == "style" and value == dropped and _local(element.tag) == "use":
                continue
            kept[key] = self._value(key, value)
        return kept

    def _value(self, key: str, value: str) -> str:
        """Return one attribute's value as it stands in the page."""
        if key == "id":
            return self.names[value]
        if key == "href":
            return f"#{self.names[value[1:]]}"
        if key in ("x", "y"):
            return f"{float(value):.1f}"
        if key in ("d", "transform", "points"):
            return _DECIMALS.sub(r"\1", " ".join(value.split()))
        own = _REFERENCE.sub(lambda found: f"url(#{self.names[found[1]]})", value)
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
