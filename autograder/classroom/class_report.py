"""Class report: `autograder report ID` makes a page, JSON and CSV from the kept reports."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from autograder.classroom import tables
from autograder.classroom.similarity import compare
from autograder.classroom.summary import ClassReport, summarise
from autograder.course import Course
from autograder.errors import CourseError
from autograder.files import TEACHERS, write_atomically
from autograder.grading.intake.collect import submissions
from autograder.grading.keep import store
from autograder.limits import COMPARED_LETTERS
from autograder.stub import stub_of


def write_class_report(course: Course, topic_id: str, folder: Path | None = None) -> list[Path]:
    """Write index.html, report.json, scores.csv and tests.csv; returns their paths, the page first.

    Args:
        course: whose kept reports are read; nothing is examined
        topic_id: the assignment
        folder: where to write; without it class_report/<id>/ in the course

    Raises:
        CourseError: there is no report, or the page cannot be made or written
    """
    report = class_report(course, topic_id)
    try:
        from autograder.classroom.page import page

        written: dict[str, Callable[[ClassReport], str]] = {
            "index.html": page,
            "report.json": tables.to_json,
            "scores.csv": tables.scores_csv,
            "tests.csv": tables.tests_csv,
        }
        folder = folder or course.root / "class_report" / report.assignment
        texts = {folder / name: write(report) for name, write in written.items()}
    except ImportError as error:
        raise CourseError(f"{error.name}: not installed; pip install 'autograder[teacher]'") from error
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for path, text in texts.items():
            write_atomically(path, text.encode("utf-8", "replace"), mode=TEACHERS)
    except OSError as error:
        raise CourseError(f"{folder}: cannot be written ({error.strerror}); give another --out") from error
    return list(texts)


def class_report(course: Course, topic_id: str) -> ClassReport:
    """Sum up the kept reports of an assignment.

    Raises:
        CourseError: there is no report
    """
    topic = course.topic(topic_id)
    reports = store.reports(course, topic.id)
    if not reports:
        raise CourseError(f"{course.cache / 'reports' / topic.id}: no report; run `autograder grade {topic.id}` first")
    handed_in = submissions(course, topic)
    of = {report.student: report for report in reports}
    outdated = [
        parcel.student
        for parcel in handed_in
        if parcel.student in of
        and of[parcel.student].status == "graded"
        and store.load(course, topic, parcel, of[parcel.student].seed) is None
    ]
    modules = {
        parcel.student: parcel.source[: 4 * COMPARED_LETTERS].decode("utf-8", "replace")[:COMPARED_LETTERS]
        for parcel in handed_in
        if parcel.source
    }
    stub = stub_of(topic)
    return summarise(
        topic,
        reports,
        compare(modules, stub),
        outdated=outdated,
        unexamined=[parcel.student for parcel in handed_in if parcel.student not in of],
    )
