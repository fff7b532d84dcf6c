"""Sphinx: the documentation site. `make docs` builds it into build/site; a warning is an error."""

from __future__ import annotations

import re
from pathlib import Path

project = "autograder"
author = "The authors of the course"
extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx.ext.viewcode",
    "sphinx_click",
    "sphinx_copybutton",
]
highlight_language = "text"
html_theme = "furo"
html_show_copyright = False
html_show_sourcelink = False
html_title = "A deep-learning course with marks that can be trusted"
html_static_path = ["static"]
html_css_files = ["site.css"]
exclude_patterns = ["examples", "static"]

myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3
suppress_warnings = ["myst.header"]  # a page that is also read on GitHub may begin below the first level
nitpicky = False

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
copybutton_prompt_text = "$ "

#: what the pages lack for a keyboard and a screen reader (tests/test_accessibility.py looks for more)
_INSTEAD = (
    (r'<p class="caption" role="heading">', '<p class="caption" role="heading" aria-level="2">'),
    (r'<aside class="sidebar-drawer">', '<aside class="sidebar-drawer" aria-label="Pages">'),
    (r'<aside class="toc-drawer">', '<aside class="toc-drawer" aria-label="On this page">'),
    (r"<pre(?! tabindex)", '<pre tabindex="0"'),
    (r'<div class="table-wrapper', '<div tabindex="0" role="group" aria-label="Table" class="table-wrapper'),
    (r"(<article[^>]*>)(\s*<noscript>)", r"\1<h1>Search</h1>\2"),  # only the page of the search begins so
)


def _complete(app, error):  # type: ignore[no-untyped-def]
    """Write into every page what the theme leaves out."""
    for path in Path(app.outdir).rglob("*.html") if error is None else ():
        before = text = path.read_text(encoding="utf-8")
        for pattern, words in _INSTEAD:
            text = re.sub(pattern, words, text)
        if text != before:
            path.write_text(text, encoding="utf-8")


def setup(app):  # type: ignore[no-untyped-def]
    """Let Sphinx call it after a build."""
    app.connect("build-finished", _complete)
