"""Students: read the class out of the CSV that Canvas, Moodle, Sakai or Gradescope exports, and enter it.

Nothing is guessed. If no column holds logins, the teacher names the column. A line that cannot be a student is said.
"""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from autograder import people
from autograder.course import Course
from autograder.errors import CourseError
from autograder.people import LEFT, Person, composed
from autograder.plain import lines_of
from autograder.platforms.headers import as_spoken, folded, in_english
from autograder.platforms.roster import CANVAS, is_above

#: what a student is called in submitted/: the login, by the names of the platforms
_LOGIN = ("SIS Login ID", "Username", "User name", "Login ID", "User ID", "Student ID")
_EMAIL = ("Email address", "Email", "E-mail")
_FULL = ("Student", "Full name", "Student name", "Name")
_SECTION = ("Section", "Sections", "Group", "Groups")
_STATE = ("Enrollment State", "Status")
_STAFF = {"instructor", "teacher", "ta", "teaching assistant", "maintain", "observer", "designer", "reader",
          "non-editing teacher", "manager", "trainer/in", "dozent", "dozentin", "enseignant", "profesor"}  # fmt: skip
_AWAY = {"dropped", "withdrawn", "inactive", "suspended", "deleted", "inaktiv", "inactif", "inactivo"}
_MANY = 5  #: names in a sentence


@dataclass(frozen=True)
class Import:
    """What an import changed."""

    added: tuple[str, ...]
    left: tuple[str, ...]  #: in the list before, and not in the CSV, or no longer active
    back: tuple[str, ...]  #: had left before
    number: int  #: students in the class now
    column: str  #: the column that gave the student ids

    def sentences(self) -> list[str]:
        """Say it to the teacher."""
        found = [f"{self.number} students in the class, named as in the column {self.column!r}"]
        if self.added:
            found.append(f"new: {_listed(self.added)}")
        if self.back:
            found.append(f"back: {_listed(self.back)}")
        if self.left:
            found.append(f"left, with all marks kept: {_listed(self.left)}")
        return found


def read_class(text: str, column: str = "", *, is_whole: bool = False) -> tuple[list[Person], str]:
    """Read the students of a CSV; returns them and the column that names them.

    Args:
        text: what the platform exported
        column: the column that holds the name of a student's folder in submitted/, if it is not a known one
        is_whole: keep a whole e-mail address as the id; otherwise the part before the @ is the id

    Raises:
        CourseError: no column names the students, an id cannot be a folder's name, or two students have the same id
    """
    text = text.removeprefix("\N{ZERO WIDTH NO-BREAK SPACE}")
    first = text.splitlines()[0] if text.strip() else ""
    lines = [line for line in csv.reader(io.StringIO(text), delimiter=max(",;\t", key=first.count)) if any(line)]
    if not lines:
        raise CourseError("the roster is empty; export it again as CSV")
    header = [name.strip() for name in lines[0]]
    table = _Table(header, in_english(header))
    at = table.named(column) if column else table.at(*_LOGIN)
    if at is None:
        lacking = f"column {column!r}" if column else "known column of logins"
        raise CourseError(
            f"the roster has no {lacking}; say with --column which column holds the name of a student's folder in "
            f"submitted/: {', '.join(header)}"
        )
    found = []
    for number, line in enumerate(lines[1:], 2):
        row = (line + [""] * len(header))[: len(header)]
        is_note = table.at("Student") == 0 and is_above(row, CANVAS)
        if not is_note and folded(table.of(row, "Role", "Roles")) not in _STAFF:
            found.append(_person(table, row, _id(row[at], number, header[at], is_whole=is_whole)))
    twice = [student for student, count in Counter(person.student for person in found).items() if count > 1]
    if twice:
        raise CourseError(f"several students are {_listed(sorted(twice))} in the column {header[at]!r}; "
                          "name another one with --column, or keep whole addresses with --whole-email")  # fmt: skip
    if not found:
        raise CourseError("the roster holds no student; export it again as CSV")
    return found, header[at]


def enter(course: Course, file: Path, column: str = "", *, is_whole: bool = False, is_more: bool = False) -> Import:
    """Enter the students of a CSV into students.csv and into nbgrader's gradebook.

    Args:
        is_more: the CSV holds only some of the class, such as one section: nobody leaves

    Raises:
        CourseError: the CSV cannot be read, or names no students; then nothing is changed
    """
    try:
        read, named_by = read_class(text_of(file.read_bytes()), column, is_whole=is_whole)
    except OSError as error:
        raise CourseError(
            f"{file}: cannot be read ({error.strerror}); give the CSV that the platform exports"
        ) from None
    except CourseError as error:
        raise CourseError(f"{file}: {error}") from None
    before = {person.student: person for person in people.people(course)}
    now = {person.student: person for person in read}
    for student, person in before.items():
        if student not in now:
            now[student] = person if is_more else replace(person, state=LEFT)
    away = {student for student, person in before.items() if person.has_left}
    from autograder.recording import registered  # it imports nbgrader, which takes a second

    registered.register(course, now.values())
    people.save(course, now.values())
    return Import(
        added=tuple(sorted(now.keys() - before.keys())),
        left=tuple(sorted(s for s, person in now.items() if person.has_left and s not in away)),
        back=tuple(sorted(s for s in away if not now[s].has_left)),
        number=sum(not person.has_left for person in now.values()),
        column=named_by,
    )


def text_of(data: bytes) -> str:
    """Return the text of a CSV, as spreadsheets save it: UTF-8, UTF-16 with a mark, or else Western European."""
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        return data.decode("utf-16", "replace")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return data.decode("cp1252", "replace")


def class_lines(course: Course, section: str = "", *, is_gone: bool = False) -> list[str]:
    """Return a line for each student of the class, or of one section, or for those who have left.

    Raises:
        CourseError: there is no list, or no such section
    """
    everybody = people.people(course)
    if not everybody:
        raise CourseError(f"{course.root / people.FILE}: no class yet; run `autograder students import CSV`")
    known = sorted({person.section for person in everybody if person.section})
    if section and section not in known:
        raise CourseError(f"no section {section!r}; the sections are {', '.join(known) or 'none'}")
    shown = [person for person in everybody if person.has_left == is_gone and section in ("", person.section)]
    widest = max((len(person.student) for person in shown), default=0)
    return [f"{person.student:<{widest}}  {person.name}  {person.section}".rstrip() for person in shown]


@dataclass(frozen=True)
class _Table:
    """The header of a CSV, as it is and in English."""

    header: Sequence[str]
    english: Sequence[str]

    def at(self, *names: str) -> int | None:
        """Return the first of these columns."""
        known = [folded(name) for name in self.english]
        return next((known.index(folded(name)) for name in names if folded(name) in known), None)

    def named(self, name: str) -> int | None:
        """Return the column that a teacher names, as it is written or in English."""
        known = [folded(written) for written in self.header]
        return known.index(folded(name)) if folded(name) in known else self.at(name)

    def of(self, row: Sequence[str], *names: str) -> str:
        at = self.at(*names)
        return "" if at is None else composed(row[at])


def _person(table: _Table, row: Sequence[str], student: str) -> Person:
    first, last = table.of(row, "First name"), table.of(row, "Last name")
    if table.at("First name") is None or table.at("Last name") is None:  # "Nombre" and "Nom" may be the whole name
        spoken = as_spoken(first or last or table.of(row, *_FULL))
        first, _, last = spoken.rpartition(" ")
    if table.at("First name") is None and "," in (whole := table.of(row, *_FULL)):
        last, first = (part.strip() for part in whole.split(",", 1))
    return Person(
        student=student,
        first_name=first,
        last_name=last,
        email=table.of(row, *_EMAIL) or (table.of(row, *_LOGIN) if "@" in table.of(row, *_LOGIN) else ""),
        lms_user_id=table.of(row, "ID") if table.at("Student") is not None else "",
        section=table.of(row, *_SECTION),
        state=LEFT if folded(table.of(row, *_STATE)) in _AWAY else "",
    )


def _id(cell: str, number: int, column: str, *, is_whole: bool) -> str:
    student = composed(cell)
    if "@" in student and not is_whole:
        student = student.partition("@")[0]
    if not student:
        raise CourseError(f"line {number} has nothing in the column {column!r}; complete it, or name another column")
    if student.startswith(".") or set('/\\:*?"<>|\n\t').intersection(student) or lines_of(student) != student:
        raise CourseError(f"line {number}: {student!r} cannot be a folder's name; name another column with --column")
    return student


def _listed(names: Iterable[str]) -> str:
    shown = list(names)
    return ", ".join(shown[:_MANY]) + (f" and {len(shown) - _MANY} more" if len(shown) > _MANY else "")
