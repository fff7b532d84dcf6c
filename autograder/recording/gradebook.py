"""Gradebook: let nbgrader record reports, make feedback and export; in this process, student by student."""

from __future__ import annotations

import contextlib
import csv
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from autograder.course import Course
from autograder.errors import CourseError
from autograder.recording.reason import reason
from autograder.report import Report
from autograder.report.mark import Mark
from autograder.report.words import HandedIn

#: the modules by which SQLAlchemy speaks to a server
_DRIVERS = ("psycopg2", "psycopg", "asyncpg", "pg8000", "MySQLdb", "pymysql")


def _nothing(student: str) -> None:
    """Tell nobody."""


def record(course: Course, reports: Iterable[Report], on_student: Callable[[str], None] = _nothing) -> None:
    """Record reports unchanged: nothing is judged again, and a score that a person gave stays.

    A student whose recorded mark equals the report is skipped.

    Args:
        course: its gradebook must know the assignments (`autograder release`)
        reports: the reports of parcels in submitted/
        on_student: told each student's name when it is done

    Raises:
        CourseError: the gradebook is locked or has no such assignment, or the configuration cannot be used; then
            nobody is recorded. Or some students could not be recorded; all others are.
    """
    failed = []
    with opened(course) as api, contextlib.ExitStack() as stack:
        from autograder.recording.autograde import record_one
        from autograder.recording.recorded import Recorded

        records: dict[str, Recorded] = {}
        reports = list(reports)
        only = reports[0].student if len(reports) == 1 else None
        for report in reports:
            if report.assignment not in records:
                require(api, course, report.assignment)  # opening a missing gradebook would create one
                book = stack.enter_context(api.gradebook)
                records[report.assignment] = Recorded(course, report.assignment, book, only)
            known = records[report.assignment]
            if not known.holds(report):
                result = record_one(api, report)
                if result["success"]:
                    wrong = known.note(report)
                    if wrong:
                        failed.append(wrong)
                else:
                    reason = _reason(result)
                    if "locked" in reason:
                        raise CourseError(f"{_name_of(api.coursedir.db_url)}: {reason}")
                    failed.append(reason)
            on_student(report.student)
    if failed:
        raise CourseError("; ".join(failed))


def check(course: Course, assignment: str) -> None:
    """Check that the marks of an assignment can be recorded here; call this before anything is examined.

    Raises:
        CourseError: the configuration cannot be used, or the gradebook has no cells for the marks; with the cure
    """
    with opened(course) as api:
        require(api, course, assignment)


def feedback(
    course: Course,
    assignment: str,
    on_student: Callable[[str], None] = _nothing,
    on_count: Callable[[int], None] = lambda count: None,
    only: str = "",
) -> Path:
    """Make feedback/<student>/<assignment>/ for everyone who was graded; returns the folder feedback/.

    Args:
        course: the course
        assignment: its id
        on_student: told each student's name when the page is made
        on_count: told first how many pages there will be
        only: the one student to make it for

    Raises:
        CourseError: a page could not be made; all others are
    """
    failed = []
    with opened(course) as api:
        require(api, course, assignment)
        students = [only] if only else sorted(api.get_autograded_students(assignment))
        on_count(len(students))
        for student in students:
            result = api.generate_feedback(assignment, student)
            if not result["success"]:
                failed.append(f"no feedback for {student}: {_reason(result)}")
            on_student(student)
    if failed:
        raise CourseError("; ".join(failed))
    return course.root / "feedback"


def release_feedback(course: Course, assignment: str, student: str) -> None:
    """Put a student's feedback into nbgrader's exchange; the student alone knows the secret in its name.

    Raises:
        CourseError: it could not be written there
    """
    with opened(course) as api:
        result = api.release_feedback(assignment, student)
    if not result["success"]:
        raise CourseError(f"the feedback of {student} is not in the exchange: {_reason(result)}")


def enrol(course: Course, names: Mapping[str, tuple[str, str]]) -> None:
    """Write first and last names into the gradebook, so that its pages show them."""
    with opened(course) as api, api.gradebook as book:
        for student, (first, last) in names.items():
            book.update_or_create_student(student, first_name=first, last_name=last)


def to_exchange(course: Course, assignment: str) -> None:
    """Put a released assignment into nbgrader's exchange, from which students fetch it.

    Raises:
        CourseError: nbgrader cannot write there
    """
    with opened(course) as api:
        result = api.release_assignment(assignment)
    if not result["success"]:
        raise CourseError(f"{assignment}: not in the exchange ({_reason(result)})")


def handed_in(course: Course, assignment: str, only: str | None = None) -> dict[str, HandedIn]:
    """Return for each student who handed an assignment in the full name, if the gradebook has one, and the time.

    Args:
        only: this student alone
    """
    found = {}
    with opened(course) as api, api.gradebook as book:
        one = [] if only is None else [book.find_submission(assignment, only)]
        for submission in one or book.assignment_submissions(assignment):
            student = submission.student
            full = " ".join(filter(None, (student.first_name, student.last_name)))
            when = f"{submission.timestamp:%Y-%m-%d %H:%M} UTC" if submission.timestamp else ""
            found[student.id] = HandedIn(f"{full} ({student.id})" if full else student.id, when)
    return found


def export(course: Course, path: Path) -> Path:
    """Write all scores of the gradebook as nbgrader's CSV; returns the path."""
    with opened(course) as api, api.gradebook as gradebook:
        from nbgrader.plugins import CsvExportPlugin

        plugin = CsvExportPlugin(parent=api)
        plugin.to = str(path.resolve())
        plugin.export(gradebook)
    _disarm(path)
    return path


def _disarm(path: Path) -> None:
    """Make nbgrader's CSV inert: a student's name such as "=1+1" is a text, not a formula."""
    from autograder.report.csv_text import cell

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
    """Return everybody's mark in the gradebook: by tests and by hand, minus a late penalty.

    Empty if no gradebook knows the assignment.
    """
    found = []
    with opened(course) as api, contextlib.ExitStack() as stack:
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
                    open=tuple(sorted(grade.name for grade in grades if _is_open(grade))),
                    note=f"{late:g} points less, late" if late else "",
                )
            )
    return tuple(sorted(found, key=lambda mark: mark.student))


def _is_open(grade: Any) -> bool:
    """Whether a person has to look at a grade, or nobody has given one yet."""
    return bool(grade.needs_manual_grade) or (grade.auto_score is None and grade.manual_score is None)


_open_now: list[tuple[Path, Any]] = []  #: the courses whose API is open, and the API, from the outer to the inner block


@contextlib.contextmanager
def opened(course: Course) -> Iterator[Any]:
    """Give nbgrader's API for the course, silent: with the course's settings, and with what recording must have.

    Within a block, another block for the same course gets the same API, and reads no setting again.

    Raises:
        CourseError: a configuration file cannot be used, or means another course
    """
    from nbgrader.apps import NbGraderAPI
    from nbgrader.apps.baseapp import NbGrader

    from autograder.recording.warm import warm_gradebook

    if _open_now and _open_now[-1][0] == course.root:
        api = _open_now[-1][1]
        with _within_reach(api.coursedir.db_url):
            yield api
        return
    path = sys.path.copy()
    with contextlib.chdir(course.root):
        app = NbGrader()
        try:
            _initialize(app, course)
            with warm_gradebook(), _within_reach(app.coursedir.db_url):
                api = NbGraderAPI(app.coursedir, parent=app)
                _open_now.append((course.root, api))
                try:
                    yield api
                finally:
                    _open_now.pop()
        finally:
            sys.path[:] = path  # nbgrader puts the current folder in front


def _initialize(app: Any, course: Course) -> None:
    """Read every configuration file that nbgrader reads, and then set what no file may change."""
    from autograder.recording import registrar

    file = course.root / "nbgrader_config.py"
    app.raise_config_file_errors = True  # otherwise nbgrader goes on without the settings of a file that fails
    try:
        app.initialize([], root=str(course.root))
    except (Exception, SystemExit) as error:
        why = str(error) if str(error) not in ("", "1") else "nbgrader refuses a setting, see above"
        raise CourseError(f"{file}: cannot be used ({why}); correct it, or the configuration in ~/.jupyter") from error
    finally:
        app.log.handlers.clear()
        app.log.propagate = False
    if Path(app.coursedir.root).resolve() != course.root.resolve():
        raise CourseError(
            f"{file}: nbgrader would record in {app.coursedir.root}, since a configuration file sets "
            f'CourseDirectory.root; add the line c.CourseDirectory.root = "{course.root}"'
        )
    registrar.bind()
    registrar.insist(app.config)


@contextlib.contextmanager
def _within_reach(url: str) -> Iterator[None]:
    """Say in a sentence why the gradebook cannot be read or written."""
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
    """Return the SQLite file of a gradebook; None for one on a server."""
    from sqlalchemy.engine import make_url

    address = make_url(url)
    return Path(address.database or "") if address.get_backend_name() == "sqlite" else None


def _name_of(url: str) -> str:
    """Name a gradebook: the path of its file, or its address without the password."""
    from sqlalchemy.engine import make_url

    return str(_file_of(url) or make_url(url).render_as_string(hide_password=True))


def _is_there(url: str) -> bool:
    """Whether a gradebook exists; opening a missing SQLite file would create one."""
    file = _file_of(url)
    return file is None or file.is_file()


def require(api: Any, course: Course, assignment: str) -> None:
    """Stop if the gradebook cannot take the marks of an assignment."""
    from autograder.recording import entry
    from autograder.recording.autograde import released

    notebook = released(course, assignment)
    if not _is_there(api.coursedir.db_url):
        raise CourseError(f"the gradebook knows no assignment {assignment!r}; run `autograder release {assignment}`")
    with api.gradebook as book:
        missing = entry.lacking(book, assignment, notebook)
    if missing:
        raise CourseError(missing)


def is_there(api: Any) -> bool:
    """Whether there is a gradebook; opening a missing one would create it."""
    return _is_there(api.coursedir.db_url)


def knows(api: Any, assignment: str) -> bool:
    """Whether the gradebook has an entry of that name."""
    if not is_there(api):
        return False
    with api.gradebook as book:
        return any(known.name == assignment for known in book.assignments)


def _reason(result: dict[str, Any]) -> str:
    """Say why nbgrader's API failed, without the exception's name.

    Raises:
        KeyboardInterrupt: that was the failure; nbgrader takes Ctrl-C for one student's fault, and goes on
    """
    last = reason(result)
    if last.startswith("KeyboardInterrupt"):
        raise KeyboardInterrupt
    return last.partition(": ")[2] or last
