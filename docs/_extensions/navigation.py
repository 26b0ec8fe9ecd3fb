"""The navigation is what ``index.md`` links to: a part for each of its ``##`` headings, in the order of the links.

So a page has one place in the documentation, and a page without one is a warning of the build, which is an error.
"""

from __future__ import annotations

import re
from typing import Any

__all__ = ["parts", "setup"]


def parts(index: str) -> dict[str, list[str]]:
    """Return the pages of each part: heading -> names without ``.md``, in the order of the page, each once."""
    found: dict[str, list[str]] = {}
    for section in re.split(r"^## ", index, flags=re.MULTILINE)[1:]:
        heading, _, text = section.partition("\n")
        pages = re.findall(r"\]\(([\w/.-]+)\.md\)", text)
        found[heading.strip()] = list(dict.fromkeys(pages))
    return found


def _add_trees(app: Any, docname: str, source: list[str]) -> None:
    """Append a hidden toctree for each part to the index; a link to a page outside of the site is to its file."""
    source[0] = re.sub(r"\]\((\.\./(?:benchmarks|src)/[^)#]*\.md)\)", r"](path:\1)", source[0])
    if docname != "index":
        return
    for heading, pages in parts(source[0]).items():
        listed = "\n".join(pages)
        source[0] += f"\n\n```{{toctree}}\n:hidden:\n:caption: {heading}\n\n{listed}\n```\n"


def setup(app: Any) -> dict[str, bool]:
    """Register the extension with Sphinx."""
    app.connect("source-read", _add_trees)
    return {"parallel_read_safe": True}
