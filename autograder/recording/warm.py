"""Warm: what nbgrader makes again for each student, kept for a whole class.

nbgrader opens its gradebook ten times for a student. Each time SQLAlchemy starts again, compiles every query again and
looks for every table. nbgrader also compiles the templates of a feedback page for each page. This module keeps the
connections and the compiled templates, but nothing that is read or written with them.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from jinja2 import BytecodeCache
from nbconvert.exporters import HTMLExporter
from nbgrader.api import Gradebook
from sqlalchemy.orm import scoped_session, sessionmaker

_really_open, _really_close = Gradebook.__init__, Gradebook.close
_opened: dict[tuple[str, str], Any] = {}


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
    known = _opened.get((db_url, course_id))
    if known is None:
        _really_open(self, db_url, course_id, authenticator)
        _opened[db_url, course_id] = self.engine
        return
    self.engine = known
    self.db = scoped_session(sessionmaker(autoflush=True, bind=known, future=True))
    self.course_id, self.authenticator = course_id, authenticator


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


class FeedbackExporter(HTMLExporter):  # type: ignore[misc]
    """nbconvert's HTMLExporter, which compiles a template once in a process, and takes no steps from a setting."""

    def _init_preprocessors(self) -> None:
        self.preprocessors: list[Any] = []  # the template and nbgrader name the steps that a page needs
        self.default_preprocessors: list[Any] = []
        super()._init_preprocessors()

    def _create_environment(self) -> Any:
        environment = super()._create_environment()
        environment.bytecode_cache = _templates
        return environment
