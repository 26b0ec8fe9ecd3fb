"""What two habits of the source's docstrings need to be read as reStructuredText."""

from __future__ import annotations

import re
from typing import Any

__all__ = ["setup"]


def _tidy(app: Any, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    """Make a module's underlined headings bold, and |x| a length rather than a substitution."""
    for place, line in enumerate(lines):
        if "``" not in line and "math::" not in line:
            lines[place] = re.sub(r"(?<!\\)\|(?=\S)", r"\\|", line)
        if what == "module" and place and re.fullmatch(r"-{3,}", line):
            lines[place - 1 : place + 1] = [f"**{lines[place - 1]}**", ""]


def setup(app: Any) -> dict[str, bool]:
    """Register the extension with Sphinx."""
    app.connect("autodoc-process-docstring", _tidy, priority=900)  # after numpydoc's sections are read
    return {"parallel_read_safe": True}
