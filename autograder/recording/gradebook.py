"""Gradebook: let nbgrader record reports, make feedback and export; in this process, student by student."""

from __future__ import annotations

import contextlib
import csv
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from autograder.course import Course
from autograder.errors import CourseError
from autograder.recording.connection import is_there, name_of, opened
from autograder.recording.reason import why_failed
from autograder.report import Report
from autograder.report.mark import Mark
from autograder.report.words import HandedIn


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
                    reason = why_failed(result)
                    if "locked" in reason:
                        raise CourseError(f"{name_of(api.coursedir.db_url)}: {reason}")
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
                failed.append(f"no feedback for {student}: {why_failed(result)}")
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
        raise CourseError(f"the feedback of {student} is not in the exchange: {why_failed(result)}")


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
        raise CourseError(f"{assignment}: not in the exchange ({why_failed(result)})")


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

        if not is_there(api):
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


def require(api: Any, course: Course, assignment: str) -> None:
    """Stop if the gradebook cannot take the marks of an assignment."""
    from autograder.recording import entry
    from autograder.recording.laid import released

    notebook = released(course, assignment)
    if not is_there(api):
        raise CourseError(f"the gradebook knows no assignment {assignment!r}; run `autograder release {assignment}`")
    with api.gradebook as book:
        missing = entry.lacking(book, assignment, notebook)
    if missing:
        raise CourseError(missing)


def knows(api: Any, assignment: str) -> bool:
    """Whether the gradebook has an entry of that name."""
    if not is_there(api):
        return False
    with api.gradebook as book:
        return any(known.name == assignment for known in book.assignments)
