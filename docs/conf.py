"""Sphinx: the documentation site. `make docs` builds it into build/site; a warning is an error."""

from __future__ import annotations

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

myst_enable_extensions = ["colon_fence", "deflist", "tasklist"]
myst_heading_anchors = 3
suppress_warnings = ["myst.header"]  # a page that is also read on GitHub may begin below the first level
nitpicky = False

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
copybutton_prompt_text = "$ "
