"""Former: what nbgrader had of a student's work before it is graded again.

It answers two questions. Is the work that a person graded still the work that the student handed in? And what must be
restored if grading fails halfway?
"""

from __future__ import annotations

import contextlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nbgrader.api import Gradebook, MissingEntry
from sqlalchemy.exc import OperationalError

_FIELDS = ("auto_score", "manual_score", "needs_manual_grade")


@dataclass(frozen=True)
class Former:
    """A student's folder in autograded/ and the grades in the gradebook, as they were."""

    assignment: str
    student: str
    folder: Path
    files: dict[str, bytes]
    grades: dict[str, tuple[Any, ...]] | None  #: by cell, the fields above; None for a student not graded before

    def is_given(self, name: str) -> bool:
        """Whether a person has graded this cell and nothing has asked for another look since."""
        _, by_hand, is_open = (self.grades or {}).get(name, (None, None, True))
        return by_hand is not None and not is_open

    def has_answer(self, cell: Any) -> bool:
        """Whether a written answer is the same as before, letter for letter."""
        try:
            cells = json.loads(self.files[f"{self.assignment}.ipynb"])["cells"]
        except (LookupError, ValueError, TypeError):
            return False
        name = cell.metadata.nbgrader.grade_id
        same = (other for other in cells if other["metadata"].get("nbgrader", {}).get("grade_id") == name)
        return any(_answer(other) == _answer(cell) for other in same)

    def has_file(self, name: str) -> bool:
        """Whether a file, such as the module, is the same as before, byte for byte."""
        path = self.folder / name
        return path.is_file() and self.files.get(name) == path.read_bytes()

    def restore(self, book: Any) -> None:
        """Put the files and the grades back; a student not graded before has no submission again."""
        if self.files and not self.folder.exists():
            self.folder.mkdir(parents=True)
            for name, content in self.files.items():
                (self.folder / name).write_bytes(content)
                (self.folder / name).chmod(0o444)
        with contextlib.suppress(MissingEntry, OperationalError):
            if self.grades is None:
                book.remove_submission(self.assignment, self.student)
                return
            for grade in _grades(book, self.assignment, self.student):
                for field, value in zip(_FIELDS, self.grades.get(grade.name, ()), strict=False):
                    setattr(grade, field, value)
            book.db.commit()


def look_at(book: Gradebook, assignment: str, student: str, folder: Path) -> Former:
    """Read the present files and grades of a student.

    Args:
        book: nbgrader's gradebook, open
        assignment: its id
        student: the student's name
        folder: autograded/<student>/<assignment>
    """
    files = {}
    if folder.is_dir() and not folder.is_symlink():
        files = {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file() and not path.is_symlink()}
    grades: dict[str, tuple[Any, ...]] | None
    try:
        found = _grades(book, assignment, student)
        grades = {grade.name: tuple(getattr(grade, field) for field in _FIELDS) for grade in found}
    except MissingEntry:
        grades = None
    book.db.rollback()  # nothing was changed, and no lock is kept
    return Former(assignment, student, folder, files, grades)


def _grades(book: Any, assignment: str, student: str) -> list[Any]:
    submission = book.find_submission(assignment, student)
    return [grade for notebook in submission.notebooks for grade in notebook.grades]


def _answer(cell: Any) -> tuple[str, Any]:
    source = cell["source"]
    return source if isinstance(source, str) else "".join(source), cell.get("attachments") or {}
