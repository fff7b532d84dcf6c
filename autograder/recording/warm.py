"""Warm: what nbgrader makes again for each student, kept for a whole class.

nbgrader opens its gradebook ten times for a student. Each time SQLAlchemy starts again, compiles every query again and
looks for every table. For each feedback page it compiles the templates, colours the code of the lesson, and reads the
finished page again as a tree only to describe pictures. This module keeps the connections, the compiled templates and
the coloured code, but nothing that is read or written with them.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from jinja2 import BaseLoader, BytecodeCache
from nbconvert.exporters import HTMLExporter, TemplateExporter
from nbconvert.filters import Highlight2HTML
from nbconvert.filters.widgetsdatatypefilter import WidgetsDataTypeFilter
from nbgrader.api import Gradebook
from sqlalchemy.engine import make_url
from sqlalchemy.orm import scoped_session, sessionmaker

_really_open, _really_close = Gradebook.__init__, Gradebook.close
_opened: dict[tuple[str, str, object], Any] = {}


@contextmanager
def warm_gradebook() -> Iterator[None]:
    """Within this block a gradebook that was opened once is opened at no cost; blocks may be nested."""
    if Gradebook.__init__ is _open:
        yield
        return
    Gradebook.__init__, Gradebook.close = _open, _close
    try:
        yield
    finally:
        Gradebook.__init__, Gradebook.close = _really_open, _really_close
        while _opened:
            _opened.popitem()[1].dispose()


def _open(self: Any, db_url: str, course_id: str = "default_course", authenticator: Any = None) -> None:
    known = _opened.get((db_url, course_id, _file(db_url)))
    if known is None:
        _really_open(self, db_url, course_id, authenticator)  # it creates a missing file
        _opened[db_url, course_id, _file(db_url)] = self.engine
        return
    self.engine = known
    self.db = scoped_session(sessionmaker(autoflush=True, bind=known, future=True))
    self.course_id, self.authenticator = course_id, authenticator


def _file(db_url: str) -> object:
    """Tell a gradebook's file from another one that took its place, such as a restored one."""
    try:
        state = os.stat(make_url(db_url).database or "")
    except OSError:  # a gradebook on a server
        return None
    return state.st_dev, state.st_ino


def _close(self: Any) -> None:
    self.db.remove()


class _InMemory(BytecodeCache):
    """Templates as they were compiled before; jinja finds each by its name and its source."""

    def __init__(self) -> None:
        self._compiled: dict[str, bytes] = {}

    def load_bytecode(self, bucket: Any) -> None:
        if bucket.key in self._compiled:
            bucket.bytecode_from_string(self._compiled[bucket.key])

    def dump_bytecode(self, bucket: Any) -> None:
        self._compiled[bucket.key] = bucket.bytecode_to_string()


_templates = _InMemory()

#: colours with enough contrast, links that do not differ by colour alone, and code that wraps (docs/accessibility.md)
_STYLE = """
a, div.nbgrader_cell .panel-footer a { color: #1f5f95; text-decoration: underline; }
div.nbgrader_cell .panel-heading { background: #1f5f95; }
div.nbgrader_cell .panel-heading a { color: #fff; }
.rendered_html .anchor-link { color: #1f5f95; }
li.late-penalty { color: #a63c06; }
div.input_area, .highlight, .highlight pre { background: #fff; }
.rendered_html img, .rendered_html svg { max-width: 100%; height: auto; }
@media print {
  div.prompt { display: none; }
  pre, .highlight pre, div.output_area pre { white-space: pre-wrap; word-break: normal; overflow-wrap: anywhere; }
  div.input_area, div.output_subarea, .highlight { overflow: visible; max-width: none; }
  h1, h2, h3 { break-after: avoid; }
}
"""
#: what the page of a student says instead of nbgrader's own words
_ROUNDED = re.compile(r"\{\{ ([\w.]+) \| float \| round\(2\) \}\}")
_NAME = "{{ cell.metadata.get('autograder', {}).get('title') or %s }}"
_QUESTION = "('Question: ' ~ (cell.metadata.nbgrader.grade_id | replace('_', ' ')))"
_INSTEAD = {
    ">Test cell<": f">{_NAME % 'cell.metadata.nbgrader.grade_id'}<",
    ">Written response<": f">{_NAME % _QUESTION}<",
    "Grade cell: <code>{{ cell.metadata.nbgrader.grade_id }}</code>": _NAME % "cell.metadata.nbgrader.grade_id",
    "<html>": '<html lang="en">',
    '<div class="panel-heading">\n        <h4>': '<header class="panel-heading">\n        <h1 class="h4">',
    "| round(2) }})</h4>": "| round(2) }})</h1>",
    "          </ol>\n        </div>\n      </div>\n": "          </ol>\n        </div>\n      </header>\n",
    "</style>\n\n</head>": f"{_STYLE}</style>\n\n</head>",
}


class _Named(BaseLoader):
    """nbgrader's templates, with the names of tasks and two decimals."""

    def __init__(self, loader: Any) -> None:
        self._loader = loader

    def get_source(self, environment: Any, template: str) -> Any:
        source, *rest = self._loader.get_source(environment, template)
        for words, ours in _INSTEAD.items():
            source = source.replace(words, ours)
        return _ROUNDED.sub(r"{{ '%.2f' | format(\1 | float) }}", source), *rest

    def list_templates(self) -> list[str]:
        return list(self._loader.list_templates())


#: a picture without a description; scripts and comments of a page hold none
_PICTURE = re.compile(r"""<img\b(?![^>]*[\s"']alt\s*=)([^>]*?)(/?)>""", re.IGNORECASE)
_coloured: dict[tuple[str, str | None, str], str] = {}  # (code, language, its magics) -> HTML
_LEXER = "ipython3"  #: Python with the magics of a notebook, here and in the formgrader
_MOST = 2_000  #: cells whose colours are kept: those of a lesson, not those of a class


def with_descriptions(page: str) -> str:
    """Say of each picture of a page that has no description that it has none, as nbconvert does."""
    return _PICTURE.sub(_described, page)


def _described(picture: re.Match[str]) -> str:
    return f'<img{picture[1].rstrip()} alt="No description has been provided for this image"{picture[2]}>'


class _Coloured(Highlight2HTML):  # type: ignore[misc]
    """nbconvert's colours, which are computed once for the same code."""

    def __call__(self, source: str, language: str | None = None, metadata: Any = None) -> str:
        key = source, language or self.pygments_lexer, str((metadata or {}).get("magics_language"))
        if key not in _coloured:
            if len(_coloured) >= _MOST:
                _coloured.clear()
            _coloured[key] = str(super().__call__(source, language, metadata))
        return _folded(_coloured[key], metadata or {})


#: nbgrader's style sheets take the triangle away, which shows that there is something to unfold
_UNFOLD = '<summary style="display: list-item; cursor: pointer; color: #1f5f95">The code of this figure</summary>'


def _folded(code: str, metadata: Any) -> str:
    """The code of a figure can be unfolded; all other code is there."""
    is_figure = metadata.get("jupyter", {}).get("source_hidden")
    return f"<details>{_UNFOLD}{code}</details>" if is_figure else code


def highlight(source: str, metadata: Any = None) -> str:
    """Render a cell's code for the formgrader, which uses nbconvert's own exporter."""
    return _Coloured(pygments_lexer=_LEXER)(source, metadata=metadata)


class FeedbackExporter(HTMLExporter):  # type: ignore[misc]
    """nbconvert's HTMLExporter, which compiles a template once in a process, and takes no steps from a setting."""

    def _init_preprocessors(self) -> None:
        self.preprocessors: list[Any] = []  # the template and nbgrader name the steps that a page needs
        self.default_preprocessors: list[Any] = []
        super()._init_preprocessors()

    def from_notebook_node(self, nb: Any, resources: Any = None, **options: Any) -> tuple[str, Any]:
        """Make a page as HTMLExporter does, but without reading it again as a tree, which takes most of the time."""
        resources = self._init_resources(resources)
        of_widgets = WidgetsDataTypeFilter(notebook_metadata=self._nb_metadata, parent=self, resources=resources)
        self.register_filter("highlight_code", _Coloured(pygments_lexer=_LEXER, parent=self))
        self.register_filter("filter_data_type", of_widgets)
        page, resources = TemplateExporter.from_notebook_node(self, nb, resources, **options)
        return with_descriptions(page), resources

    def _create_environment(self) -> Any:
        environment = super()._create_environment()
        environment.bytecode_cache = _templates
        environment.loader = _Named(environment.loader)
        return environment
