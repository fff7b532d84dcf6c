"""Term report: `autograder report` makes a page, JSON and CSV of all assignments, from gradebook and reports."""

from __future__ import annotations

import os
from pathlib import Path
from urllib.parse import quote

from autograder.classroom import term
from autograder.classroom.class_report import away_from, marks_of, write_pages
from autograder.classroom.term import Term
from autograder.course import Course
from autograder.errors import CourseError
from autograder.grading.keep import store
from autograder.people import people


def write_term_report(course: Course, folder: Path | None = None, *, section: str = "") -> list[Path]:
    """Write index.html, term.json and term.csv; returns their paths, the page first.

    Args:
        course: whose gradebook and kept reports are read; nothing is examined
        folder: where to write; without it class_report/ in the course, or the section's folder in it
        section: only the students of this section

    Raises:
        CourseError: nothing is graded yet, or the page cannot be made or written
    """
    found = term_report(course, section=section)
    pages = course.root / "class_report"
    folder = folder or pages / section.replace("/", "-")
    links = {
        name: quote(Path(os.path.relpath(page, folder)).as_posix())
        for name in (column.assignment for column in found.columns)
        if (page := pages / name / "index.html").is_file()
    }

    def texts() -> dict[str, str]:
        from autograder.classroom.page import term_page

        return {"index.html": term_page(found, links), "term.json": term.to_json(found), "term.csv": term.to_csv(found)}

    return write_pages(folder, texts)


def term_report(course: Course, *, section: str = "") -> Term:
    """Put the marks of all assignments side by side, without those of students who have left.

    Raises:
        CourseError: nothing is graded yet, or there is no such section
    """
    topics = course.topics()
    found = term.summarise(
        {topic.id: topic.title for topic in topics},
        {topic.id: marks_of(course, topic.id) for topic in topics},
        {topic.id: store.reports(course, topic.id) for topic in topics},
        people(course),
        frozenset(away_from(course, section)),
    )
    if not found.columns:
        raise CourseError(f"{course.root}: nothing is graded yet; run `autograder grade ID` first")
    return found
