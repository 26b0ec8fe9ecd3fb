"""Mathematics as MathML, by the converter that docutils carries: no script, no font and no network in the page."""

from __future__ import annotations

import re
from typing import Any

from docutils import nodes  # type: ignore[import-untyped]
from docutils.utils.math.latex2mathml import tex2mathml  # type: ignore[import-untyped]
from sphinx.util.logging import getLogger

__all__ = ["setup"]

_LOG = getLogger(__name__)
_SAID_OTHERWISE = (  # what the converter does not know, in words that it does
    (re.compile(r"\\dots\b"), r"\\ldots"),
    (re.compile(r"\\iff\b"), r"\\Longleftrightarrow"),
    (re.compile(r"^\^"), "{}^"),
    (re.compile(r"'"), r"^{\\prime}"),
)


def _inline(translator: Any, node: Any) -> None:
    _write(translator, node, as_block=False)


def _block(translator: Any, node: Any) -> None:
    translator.body.append('<div class="math" tabindex="0">')
    _write(translator, node, as_block=True)
    translator.body.append("</div>")
    raise nodes.SkipNode


def _write(translator: Any, node: Any, *, as_block: bool) -> None:
    """Write one formula; one that cannot be converted is a warning, which fails a strict build."""
    text = node.astext().strip()
    for pattern, words in _SAID_OTHERWISE:
        text = pattern.sub(words, text)
    try:
        translator.body.append(tex2mathml(text, as_block=as_block))
    except Exception as error:  # whatever the converter does not know
        _LOG.warning("formula %r: %s", text, error, location=node)
        translator.body.append(f"<code>{translator.encode(text)}</code>")
    raise nodes.SkipNode


def setup(app: Any) -> dict[str, bool]:
    """Register the renderer with Sphinx."""
    app.add_html_math_renderer("mathml", (_inline, None), (_block, None))
    return {"parallel_read_safe": True, "parallel_write_safe": True}
