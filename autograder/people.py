"""People: the class of a course, as students.csv in the course's folder says it.

`autograder students import` writes the file, and a person may edit it. A student who has left keeps every mark and
every file, and is in no list. A course without the file has no list: then everybody who hands in belongs to it.
"""

from __future__ import annotations

import csv
import io
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields

from autograder.course import Course
from autograder.errors import CourseError
from autograder.files import TEACHERS, write_atomically
from autograder.report.csv_text import as_csv

FILE = "students.csv"
LEFT = "left"  #: the state of a student who is no longer in the class


@dataclass(frozen=True)
class Person:
    """One student of the class."""

    student: str  #: the name of the folder in submitted/, which is nbgrader's student id
    first_name: str = ""
    last_name: str = ""
    email: str = ""
    lms_user_id: str = ""  #: the number by which the platform names files of a download
    section: str = ""
    state: str = ""  #: empty, or "left"

    @property
    def has_left(self) -> bool:
        return self.state == LEFT

    @property
    def name(self) -> str:
        """The full name; without one the student id."""
        return f"{self.first_name} {self.last_name}".strip() or self.student


_COLUMNS = tuple(field.name for field in fields(Person))


def people(course: Course) -> tuple[Person, ...]:
    """Return the class in the order of the student ids, also those who have left; empty if there is no list.

    Raises:
        CourseError: students.csv is damaged
    """
    path = course.root / FILE
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        return ()
    except (OSError, UnicodeDecodeError) as error:
        raise CourseError(f"{path}: cannot be read ({error}); save it as UTF-8") from error
    rows = csv.DictReader(io.StringIO(text))
    if "student" not in (rows.fieldnames or ()):
        raise CourseError(f"{path}: has no column 'student'; import the class again, or add the column")
    found: dict[str, Person] = {}
    for row in rows:
        person = Person(**{name: composed(row.get(name) or "") for name in _COLUMNS})
        if person.state not in ("", LEFT):
            raise CourseError(f"{path}:{rows.line_num}: state is {person.state!r}; leave it empty, or write {LEFT}")
        if person.student in found:
            raise CourseError(f"{path}:{rows.line_num}: {person.student!r} is there twice; keep one line")
        if person.student:
            found[person.student] = person
    return tuple(sorted(found.values(), key=lambda person: person.student))


def save(course: Course, class_list: Iterable[Person]) -> None:
    """Write students.csv, for the teacher's group only. Raises: CourseError, if it cannot be written."""
    path = course.root / FILE
    rows = [list(asdict(person).values()) for person in sorted(class_list, key=lambda person: person.student)]
    try:
        write_atomically(path, as_csv(_COLUMNS, rows).encode(), mode=TEACHERS)
    except OSError as error:
        raise CourseError(f"{path}: cannot be written ({error.strerror}); make room or get rights there") from error


def gone(course: Course) -> frozenset[str]:
    """Return the ids of all students who have left."""
    return frozenset(person.student for person in people(course) if person.has_left)


def sections(course: Course) -> Mapping[str, str]:
    """Return the section of each student who has one."""
    return {person.student: person.section for person in people(course) if person.section}


def composed(text: str) -> str:
    """Return a text in the one Unicode form that this package compares, without spaces at its ends.

    A macOS file name holds an accent as a letter of its own; a platform's CSV usually does not.
    """
    return unicodedata.normalize("NFC", " ".join(text.split()))
