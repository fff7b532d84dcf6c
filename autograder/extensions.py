"""Extensions: who has more time for an assignment, as extensions.csv in the course's folder says it.

nbgrader can give more time only to a student who has handed in. So the file keeps what a teacher gave, and it is
entered into nbgrader's gradebook when a submission is recorded.
"""

from __future__ import annotations

import csv
import datetime
import io
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

from autograder.course import Course
from autograder.errors import CourseError
from autograder.files import TEACHERS, write_atomically
from autograder.report.csv_text import as_csv

FILE = "extensions.csv"


@dataclass(frozen=True, order=True)
class Extension:
    """More time for one student in one assignment."""

    assignment: str
    student: str
    minutes: int  #: after the due date; nbgrader counts in this way too

    @property
    def length(self) -> datetime.timedelta:
        return datetime.timedelta(minutes=self.minutes)

    @property
    def words(self) -> str:
        """How much time it is, such as "2 days 3 hours"."""
        days, rest = divmod(self.minutes, 24 * 60)
        parts = ((days, "day"), (rest // 60, "hour"), (rest % 60, "minute"))
        return " ".join(f"{amount} {unit}{'' if amount == 1 else 's'}" for amount, unit in parts if amount)


def extensions(course: Course, assignment: str = "") -> tuple[Extension, ...]:
    """Return the extensions of an assignment, or all of them.

    Raises:
        CourseError: the file is damaged
    """
    path = course.root / FILE
    try:
        rows = csv.DictReader(io.StringIO(path.read_text(encoding="utf-8-sig")))
        found = [Extension(row["assignment"], row["student"], int(row["minutes"])) for row in rows]
    except FileNotFoundError:
        return ()
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CourseError(f"{path}: cannot be read ({error}); it needs assignment,student,minutes") from error
    return tuple(sorted(entry for entry in found if assignment in ("", entry.assignment)))


def extension(course: Course, assignment: str, student: str) -> Extension | None:
    """Return the extension of one student."""
    return next((entry for entry in extensions(course, assignment) if entry.student == student), None)


def enter_extension(book: Any, course: Course, assignment: str, student: str) -> None:
    """Enter a student's extension into an open gradebook that knows the submission."""
    given = extension(course, assignment, student)
    if given is not None and book.find_assignment(assignment).duedate is not None:
        book.grant_extension(assignment, student, minutes=given.minutes)


def save(course: Course, found: Iterable[Extension]) -> None:
    """Write extensions.csv, for the teacher's group only. Raises: CourseError, if it cannot be written."""
    path = course.root / FILE
    text = as_csv(("assignment", "student", "minutes"), [list(asdict(entry).values()) for entry in sorted(found)])
    try:
        write_atomically(path, text.encode(), mode=TEACHERS)
    except OSError as error:
        raise CourseError(f"{path}: cannot be written ({error.strerror}); make room or get rights there") from error
