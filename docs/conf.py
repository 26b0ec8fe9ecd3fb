"""How the site is built from these pages: `make docs`. It needs no network, and what it writes asks for none.

The pages stay plain Markdown that reads well on a code host: the navigation is read from the links of ``index.md``, and
mathematics becomes MathML, which browsers draw themselves, so that the site carries no script for it.
"""

from __future__ import annotations

import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE / "_extensions"))

from tippingpoint import __version__  # noqa: E402 - after the path

project = "tippingpoint"
author = "The tippingpoint authors"
copyright = "The tippingpoint authors, Apache-2.0"
release = version = __version__

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    # ours, in _extensions:
    "accessible",
    "command_pages",
    "docstrings",
    "mathml",
    "navigation",
]
exclude_patterns = ["_extensions"]
source_suffix = {".md": "markdown"}

myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 4  # the anchors that code hosts make, so that one link serves both

autodoc_member_order = "bysource"
autodoc_typehints = "none"  # the docstrings say types in words
autodoc_default_options = {"members": True, "show-inheritance": True}
napoleon_google_docstring = False
napoleon_use_rtype = False
napoleon_custom_sections = [("Attributes", "params_style")]  # as they stand, "floor_" with its underscore
smartquotes = False  # --option is two hyphens
default_role = "code"  # a name between single backquotes in a docstring
add_module_names = False
python_display_short_literal_types = True

suppress_warnings = ["ref.python"]  # an attribute named as in another class: the link is left out

html_theme = "furo"
html_title = "tippingpoint"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_sphinx = False
pygments_style = "friendly"
pygments_dark_style = "monokai"
