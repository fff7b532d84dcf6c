"""Summary: beside nbgrader's page of a student's notebook, the same words as a short page and as Markdown."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path

from autograder.course import Course
from autograder.files import write_atomically
from autograder.grading.intake.attempts import made
from autograder.grading.keep import store
from autograder.report import Report
from autograder.report.words import HandedIn, to_html, to_markdown, words


def write_summaries(
    course: Course,
    assignment: str,
    who: Mapping[str, HandedIn] | None = None,
    reports: Iterable[Report] | None = None,
) -> list[Path]:
    """Write summary.html and summary.md into feedback/<student>/<assignment>/ for all students with feedback.

    Args:
        course: the course
        assignment: its id
        who: student -> the full name, and when the work was handed in
        reports: those of some students; the kept reports of all students if None
    """
    topic = course.topic(assignment)
    written = []
    for report in store.reports(course, assignment) if reports is None else reports:
        folder = course.root / "feedback" / report.student / assignment
        if not folder.is_dir() or folder.is_symlink():
            continue
        handed_in = (who or {}).get(report.student, HandedIn())
        if topic.attempts:
            counted = f"{made(course, topic, report.student)} of {topic.attempts}"
            handed_in = replace(handed_in, attempt=counted)
        found = words(report, topic, handed_in)
        for name, text in (("summary.html", to_html(found)), ("summary.md", to_markdown(found))):
            write_atomically(folder / name, text.encode("utf-8", "replace"))
            written.append(folder / name)
    return written


def give_feedback(
    course: Course,
    assignment: str,
    on_student: Callable[[str], None],
    on_count: Callable[[int], None] = lambda count: None,
) -> list[Path]:
    """Let nbgrader make its pages, and write the summaries beside them; returns the summaries.

    Args:
        course: the course
        assignment: its id
        on_student: told each student's name when the page is made
        on_count: told first how many pages there will be

    Raises:
        CourseError: a page of nbgrader's could not be made; all others are
    """
    from autograder.recording import gradebook  # it imports nbgrader, which takes a second

    gradebook.feedback(course, assignment, on_student, on_count)
    return write_summaries(course, assignment, gradebook.handed_in(course, assignment))
