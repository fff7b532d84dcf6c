"""Class report: `autograder report ID` makes a page, JSON and CSV from the kept reports."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

from autograder import dates
from autograder.classroom import tables
from autograder.classroom.similarity import compare
from autograder.classroom.summary import ClassReport, summarise
from autograder.course import Course
from autograder.errors import CourseError
from autograder.extensions import extensions
from autograder.files import TEACHERS, write_atomically
from autograder.grading.intake.collect import submissions
from autograder.grading.keep import store
from autograder.groups import groups
from autograder.limits import COMPARED_LETTERS
from autograder.people import people
from autograder.report.mark import Mark
from autograder.stub import stub_of
from autograder.topic import Topic


def write_class_report(course: Course, topic_id: str, folder: Path | None = None, *, section: str = "") -> list[Path]:
    """Write index.html, report.json, scores.csv and tests.csv; returns their paths, the page first.

    Args:
        course: whose kept reports are read; nothing is examined
        topic_id: the assignment
        folder: where to write; without it class_report/<id>/ in the course, or the section's folder in it
        section: only the students of this section

    Raises:
        CourseError: there is no report, or the page cannot be made or written
    """
    report = class_report(course, topic_id, section=section)
    folder = folder or course.root / "class_report" / report.assignment / section.replace("/", "-")
    links = {row.student: _links(course, course.topic(topic_id), row.student, folder) for row in report.rows}

    def texts() -> dict[str, str]:
        from autograder.classroom.page import page

        return {
            "index.html": page(report, links),
            "report.json": tables.to_json(report),
            "scores.csv": tables.scores_csv(report),
            "tests.csv": tables.tests_csv(report),
        }

    return write_pages(folder, texts)


def write_pages(folder: Path, texts: Callable[[], dict[str, str]]) -> list[Path]:
    """Write files that only teachers may read; returns their paths.

    Args:
        folder: where to write; it is made
        texts: gives the text of each file by its name

    Raises:
        CourseError: a package is missing that makes a page, or a file cannot be written
    """
    try:
        found = {folder / name: text for name, text in texts().items()}
    except ImportError as error:
        raise CourseError(f"{error.name}: not installed; pip install 'autograder[teacher]'") from error
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for path, text in found.items():
            write_atomically(path, text.encode("utf-8", "replace"), mode=TEACHERS)
    except OSError as error:
        raise CourseError(f"{folder}: cannot be written ({error.strerror}); give another --out") from error
    return list(found)


def class_report(course: Course, topic_id: str, *, section: str = "") -> ClassReport:
    """Sum up the kept reports of an assignment, without those of students who have left.

    Raises:
        CourseError: there is no report, or no such section
    """
    topic = course.topic(topic_id)
    away = away_from(course, section)
    reports = [report for report in store.reports(course, topic.id) if report.student not in away]
    if not reports:
        raise CourseError(f"{course.cache / 'reports' / topic.id}: no report; run `autograder grade {topic.id}` first")
    handed_in = [parcel for parcel in submissions(course, topic) if parcel.student not in away]
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
    together = [group for group in groups(course, topic.id) if not away.issuperset(group)]
    for group in together:  # one module of a group is compared with those of others
        modules = {name: text for name, text in modules.items() if name not in _same(group, modules)}
    stub, moment = stub_of(topic), dates.due(topic.folder)
    return summarise(
        topic,
        reports,
        compare(modules, stub),
        outdated=outdated,
        groups=together,
        due=dates.spoken(moment) if moment else "",
        extended={
            entry.student: dates.spoken(moment + entry.length) if moment else f"{entry.words} more"
            for entry in extensions(course, topic.id)
            if entry.student not in away
        },
        unexamined=[parcel.student for parcel in handed_in if parcel.student not in of],
        ungraded=[mark.student for mark in marks_of(course, topic.id) if mark.student in of and mark.open],
    )


def _same(group: tuple[str, ...], modules: dict[str, str]) -> set[str]:
    """Return the members of a group whose module an earlier member has too."""
    texts = [modules.get(member) for member in group]
    return {member for place, member in enumerate(group) if texts[place] in texts[:place]}


def away_from(course: Course, section: str) -> set[str]:
    """Return the students who have left, and those of other sections."""
    everybody = people(course)
    if section and section not in {person.section for person in everybody}:
        raise CourseError(f"{course.root / 'students.csv'}: no student in a section {section!r}; correct the name")
    return {person.student for person in everybody if person.has_left or section not in ("", person.section)}


def marks_of(course: Course, topic_id: str) -> tuple[Mark, ...]:
    """The marks in the gradebook; none where nbgrader is not installed or not set up."""
    try:
        from autograder.recording import gradebook

        return gradebook.marks(course, topic_id)
    except (ImportError, CourseError):
        return ()


def _links(course: Course, topic: Topic, student: str, page: Path) -> list[tuple[str, str]]:
    """The student's files that are there: a word and an address, as seen from the folder of the page."""
    feedback = course.root / "feedback" / student / topic.id
    modules = [course.root / "autograded" / student / topic.id / path.name for path in topic.module_paths]
    files = [
        *((path.name, path) for path in modules),
        ("feedback", feedback / "summary.html"),
        ("notebook", feedback / f"{topic.id}.html"),
        ("report", store.path_of(course, topic.id, student)),
    ]
    there = [(word, path) for word, path in files if path.is_file() and not path.is_symlink()]
    return [
        (word, quote(Path(os.path.relpath(path, page)).as_posix(), errors="surrogateescape")) for word, path in there
    ]
