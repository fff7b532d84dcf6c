"""Gradebook: let nbgrader record reports, make feedback and export; in this process, student by student."""

from __future__ import annotations

import contextlib
import csv
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from autograder.course import Course
from autograder.errors import CourseError
from autograder.grading.examine import handing
from autograder.platforms.roster import Mark
from autograder.report import Report

#: the modules by which SQLAlchemy speaks to a server
_DRIVERS = ("psycopg2", "psycopg", "asyncpg", "pg8000", "MySQLdb", "pymysql")


def _nothing(student: str) -> None:
    """Tell nobody."""


def record(course: Course, reports: Iterable[Report], on_student: Callable[[str], None] = _nothing) -> None:
    """Record reports as they are: nothing is judged again, and a hand-given score stays.

    Who is recorded already just as a report says is passed over.

    Args:
        course: its gradebook must know the assignments (`autograder release`)
        reports: of parcels that lie in submitted/
        on_student: told each student's name when it is done

    Raises:
        CourseError: the gradebook is locked or knows no such assignment; or some students could not be
            recorded, while all others are
    """
    failed = []
    with _nbgrader(course) as api, api.gradebook as book:
        from autograder.recording.recorded import Recorded

        records: dict[str, Recorded] = {}
        for report in reports:
            if report.assignment not in records:
                _require(api, report.assignment)
                records[report.assignment] = Recorded(course, report.assignment, book)
            known = records[report.assignment]
            if not known.holds(report):
                with handing([report]):
                    result = api.autograde(report.assignment, report.student)
                if result["success"]:
                    known.note(report)
                else:
                    reason = _reason(result)
                    if "locked" in reason:
                        raise CourseError(f"{_name_of(api.coursedir.db_url)}: {reason}")
                    failed.append(reason)
            on_student(report.student)
    if failed:
        raise CourseError("; ".join(failed))


def feedback(course: Course, assignment: str, on_student: Callable[[str], None] = _nothing) -> Path:
    """Make feedback/<student>/<assignment>/ for everyone who was graded; returns the folder feedback/.

    Raises:
        CourseError: a page could not be made; all others are
    """
    failed = []
    with _nbgrader(course) as api:
        _require(api, assignment)
        for student in sorted(api.get_autograded_students(assignment)):
            result = api.generate_feedback(assignment, student)
            if not result["success"]:
                failed.append(f"no feedback for {student}: {_reason(result)}")
            on_student(student)
    if failed:
        raise CourseError("; ".join(failed))
    return course.root / "feedback"


def export(course: Course, path: Path) -> Path:
    """Write all scores of the gradebook as nbgrader's CSV; returns the path."""
    with _nbgrader(course) as api, api.gradebook as gradebook:
        from nbgrader.plugins import CsvExportPlugin

        plugin = CsvExportPlugin(parent=api)
        plugin.to = str(path.resolve())
        plugin.export(gradebook)
    _disarm(path)
    return path


def _disarm(path: Path) -> None:
    """Make a CSV of nbgrader's inert: a student's name such as "=1+1" is a text, not a formula."""
    from autograder.report.tables import cell

    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.reader(file))
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([text if _is_number(text) else cell(text) for text in row] for row in rows)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def marks(course: Course, assignment: str) -> tuple[Mark, ...]:
    """Return everybody's mark as the gradebook has it: by tests and by hand, less a late penalty.

    Empty where no gradebook knows the assignment.
    """
    found = []
    with _nbgrader(course) as api, contextlib.ExitStack() as stack:
        from nbgrader.api import MissingEntry

        if not _is_there(api.coursedir.db_url):
            return ()
        try:
            submissions = stack.enter_context(api.gradebook).find_assignment(assignment).submissions
        except MissingEntry:
            return ()
        for submission in submissions:
            late = float(submission.late_submission_penalty or 0.0)
            grades = [grade for notebook in submission.notebooks for grade in notebook.grades]
            found.append(
                Mark(
                    student=submission.student_id,
                    score=max(float(submission.score) - late, 0.0),
                    max_score=float(submission.max_score),
                    open=tuple(sorted(grade.name for grade in grades if grade.needs_manual_grade)),
                    note=f"{late:g} points less, late" if late else "",
                )
            )
    return tuple(sorted(found, key=lambda mark: mark.student))


@contextlib.contextmanager
def _nbgrader(course: Course) -> Iterator[Any]:
    """Give nbgrader's API for the course, configured as its commands are, and silent."""
    from nbgrader.apps import NbGraderAPI
    from nbgrader.apps.baseapp import NbGrader

    from autograder.recording.warm import warm_gradebook

    path = sys.path.copy()
    with contextlib.chdir(course.root):
        app = NbGrader()
        try:
            app.initialize([], root=str(course.root))
            app.log.handlers.clear()
            app.log.propagate = False
            with warm_gradebook(), _within_reach(app.coursedir.db_url):
                yield NbGraderAPI(app.coursedir, parent=app)
        finally:
            sys.path[:] = path  # nbgrader puts the current folder in front


@contextlib.contextmanager
def _within_reach(url: str) -> Iterator[None]:
    """Say in a sentence what keeps the gradebook from being read or written."""
    from sqlalchemy.exc import ArgumentError, NoSuchModuleError, OperationalError

    kept = "(the reports are kept, nothing is judged twice)"
    try:
        yield
    except OperationalError as error:
        said = " ".join(str(error.orig).split())
        cure = "close the program that holds it" if _file_of(url) else "see that its server answers"
        raise CourseError(f"{_name_of(url)}: {said}; {cure}, and run this again {kept}") from None
    except (ArgumentError, NoSuchModuleError, ModuleNotFoundError) as error:
        if isinstance(error, ModuleNotFoundError) and error.name not in _DRIVERS:
            raise
        cure = "write postgresql+psycopg2://user@host/name, and install the driver: pip install 'autograder[postgres]'"
        raise CourseError(f"nbgrader_config.py: db_url cannot be opened ({error}); {cure}") from None


def _file_of(url: str) -> Path | None:
    """Return the file of SQLite's that holds a gradebook; None for one on a server."""
    from sqlalchemy.engine import make_url

    address = make_url(url)
    return Path(address.database or "") if address.get_backend_name() == "sqlite" else None


def _name_of(url: str) -> str:
    """Name a gradebook: the path of its file, or its address without the password."""
    from sqlalchemy.engine import make_url

    return str(_file_of(url) or make_url(url).render_as_string(hide_password=True))


def _is_there(url: str) -> bool:
    """Whether a gradebook exists: to open a file of SQLite's makes one."""
    file = _file_of(url)
    return file is None or file.is_file()


def _require(api: Any, assignment: str) -> None:
    from nbgrader.api import MissingEntry

    with api.gradebook as gradebook:
        try:
            gradebook.find_assignment(assignment)
        except MissingEntry:
            raise CourseError(
                f"the gradebook knows no assignment {assignment!r}; run `autograder release {assignment}`"
            ) from None


def _reason(result: dict[str, Any]) -> str:
    """What nbgrader's API says of a failure: the last line of a traceback, without the exception's name.

    Raises:
        KeyboardInterrupt: that was the failure; nbgrader takes Ctrl-C for one student's fault, and goes on
    """
    last = str(result["error"]).strip().splitlines()[-1]
    if last.startswith("KeyboardInterrupt"):
        raise KeyboardInterrupt
    return last.partition(": ")[2] or last
