"""Guard: nbgrader runs nothing that a student handed in, whatever its configuration says.

Three methods of nbgrader and nbconvert get a check in front. An assignment is ours if it has a topic.toml in
assignments/, source/ or release/. For any other assignment the three methods work as before.

* `Autograde.start`: our own converter (autograde.py) takes over, so the judge examines and nothing is run.
* `GenerateAssignment.start`: an emptied entry in the gradebook is repaired first; a failure changes no release.
* `ExecutePreprocessor.preprocess`: refuses a notebook from submitted/ or autograded/.

The guard is installed by `configure` (nbgrader_config.py), by recording, and by loaded.py, which nbgrader itself
imports in a course that does neither.
"""

from __future__ import annotations

import fnmatch
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from nbconvert.preprocessors import ExecutePreprocessor
from nbgrader.converters import autograde, base, generate_assignment

from autograder.errors import CourseError

_ROOMS = ("assignments", "source", "release")  #: where a topic.toml makes an assignment ours
_HANDED_IN = ("submitted", "autograded")  #: the files in these folders were written by students

_stock_generate = generate_assignment.GenerateAssignment.start
_stock_execute = ExecutePreprocessor.preprocess


def install() -> None:
    """Install the checks; a second call changes nothing."""
    autograde.Autograde.start = _autograde
    generate_assignment.GenerateAssignment.start = _generate
    ExecutePreprocessor.preprocess = _execute


def ours(root: Path, pattern: str) -> tuple[str, ...]:
    """Return the ids of our assignments that match an id of nbgrader's, which may be a pattern such as `0*`."""
    known = {path.parent.name for room in _ROOMS for path in (root / room).glob("*/topic.toml")}
    return tuple(sorted(name for name in known if name == pattern or fnmatch.fnmatchcase(name, pattern)))


def _autograde(self: Any) -> None:
    """Start nbgrader's converter, or ours instead."""
    coursedir = self.coursedir
    if getattr(self, "is_ours", False) or not ours(Path(coursedir.root), coursedir.assignment_id):
        base.BaseConverter.start(self)
        return
    try:
        from autograder.recording.registrar import bind

        made = bind()(coursedir=coursedir, parent=self.parent, config=self.config)
    except ImportError as error:
        sentence = (
            f"{coursedir.assignment_id}: cannot be examined here ({error}), and nbgrader does not run it; "
            "pip install 'autograder[teacher]'"
        )
        self.log.error(sentence)
        raise base.NbGraderException(sentence) from error
    made.force, made.create_student = self.force, self.create_student
    made.start()


def _generate(self: Any) -> None:
    """Generate a release; if that fails, restore the released files and the gradebook."""
    root, pattern = Path(self.coursedir.root), self.coursedir.assignment_id
    found = () if self.no_database else ours(root, pattern)
    if not found:
        _stock_generate(self)
        return
    from nbgrader.api import Gradebook

    from autograder.recording import entry

    with Gradebook(self.coursedir.db_url, self.coursedir.course_id) as book:
        for assignment in found:
            entry.repair(book, assignment)
    with _keeping(*(Path(self._format_dest(assignment, ".")) for assignment in found)):
        _stock_generate(self)
    with Gradebook(self.coursedir.db_url, self.coursedir.course_id) as book:
        for assignment in found:
            entry.forbid_running(book, assignment)


@contextmanager
def _keeping(*folders: Path) -> Iterator[None]:
    """If an error leaves the block, write the files of these folders back; nbgrader deletes them first."""
    kept = {
        path: path.read_bytes()
        for folder in folders
        for path in folder.rglob("*")
        if path.is_file() and not path.is_symlink()
    }
    try:
        yield
    except BaseException:
        for path, content in kept.items():
            if not path.is_file():
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(content)
        raise


def _execute(self: Any, nb: Any, resources: Any = None, *more: Any, **named: Any) -> Any:
    """Run a notebook unless a student handed it in."""
    found = _handed_in(resources if isinstance(resources, Mapping) else {})
    if found:
        raise CourseError(
            f"{found}: a student's notebook, which nbgrader does not run; "
            "`autograder grade` examines the module behind the wall"
        )
    return _stock_execute(self, nb, resources, *more, **named)


def _handed_in(resources: Mapping[str, Any]) -> str:
    """Name the student's work that a notebook is part of; empty if it is the teacher's or not ours."""
    names = resources.get("nbgrader") or {}
    student, assignment = names.get("student", "."), names.get("assignment", "")
    if student != "." and ours(Path.cwd(), assignment):
        return f"{student}/{assignment}"
    metadata = resources.get("metadata") or {}
    for above in {os.path.abspath(str(metadata.get("path") or ".")), os.getcwd()}:
        for folder in (Path(above), *Path(above).parents):
            if len(folder.parents) > 2 and folder.parents[1].name in _HANDED_IN:
                root = folder.parents[2]
                if ours(root, folder.name):
                    return str(folder.relative_to(root))
    return ""
