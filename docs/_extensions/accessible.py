"""What axe-core misses in the theme's pages: levels of headings in the navigation, code that keys can scroll."""

from __future__ import annotations

from typing import Any

__all__ = ["setup"]


def _mend(app: Any, page: str, template: str, context: dict[str, Any], doctree: Any) -> None:
    """Give the captions of the navigation a level, and let Tab reach code, which may be wider than the page."""
    tree = context.get("furo_navigation_tree", "")
    context["furo_navigation_tree"] = tree.replace('role="heading"', 'role="heading" aria-level="2"')
    if "body" in context:
        context["body"] = context["body"].replace("<pre>", '<pre tabindex="0">')


def setup(app: Any) -> dict[str, bool]:
    """Register the extension with Sphinx."""
    app.connect("html-page-context", _mend, priority=900)  # after the theme
    return {"parallel_read_safe": True, "parallel_write_safe": True}
