"""Syllabus: write docs/course.md from the assignments: what the course asks for, task by task."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from autograder.authoring.notebook import FULL_POINTS
from autograder.course import Course
from autograder.files import write_atomically
from autograder.suite import SuiteTest, public_share, read_suite
from autograder.topic import Task, Topic

_HEAD = """\
# The course

`autograder build` writes this page from `assignments/`; make changes there. Each assignment gives {full:g} points:
public and hidden tests give those of the tasks, and two written questions give the rest. This page says what the
public tests ask for, in the words that students read. Hidden tests ask for nothing that the docstrings do not say.
The numbers of tests, known mistakes and mutants, and what was tried on them, are in
[verification.md](verification.md).
"""


def write(course: Course) -> list[Path]:
    """Write docs/course.md; return its path if it changed. A course without a folder docs/ gets no page."""
    changed = stale(course)
    for path in changed:
        write_atomically(path, render(course.topics()).encode())
    return changed


def stale(course: Course) -> list[Path]:
    """Return docs/course.md if it differs from what the assignments give."""
    path = course.root / "docs" / "course.md"
    if not path.parent.is_dir():
        return []
    is_fresh = path.is_file() and path.read_bytes() == render(course.topics()).encode()
    return [] if is_fresh else [path]


def render(topics: tuple[Topic, ...]) -> str:
    """Return the page: a table of the assignments, then each one with its tasks. It says nothing about hidden tests.

    Raises:
        AuthorError: the tests of an assignment break a rule
    """
    lines = [_HEAD.format(full=FULL_POINTS), *overview(topics)]
    for topic in topics:
        lines += _chapter(topic)
    return "\n".join(lines) + "\n"


def overview(topics: tuple[Topic, ...], *, page: str = "") -> Iterator[str]:
    """Give the lines of a table of the assignments.

    Args:
        page: the link to docs/course.md from another page
    """
    yield "| assignment | what it is about | tasks | points by tests | computes with |"
    yield "|---|---|---|---|---|"
    for topic in topics:
        packages = ", ".join(f"`{name}`" for name in (*topic.imports, *topic.extras))
        cells = (
            f"[{topic.id}]({page}#{topic.id})",
            topic.title,
            len(topic.tasks),
            f"{topic.points:g}",
            packages,
        )
        yield f"| {' | '.join(map(str, cells))} |"


def _chapter(topic: Topic) -> Iterator[str]:
    tests = read_suite(topic)
    yield from ("", f"## {topic.id}", "", topic.summary, "")
    yield from (f"* {objective}" for objective in topic.objectives)
    for task in topic.tasks:
        yield from ("", f"### {task.number} {task.title}: {task.points:g} points", "")
        yield from _task(task, tests)


def _task(task: Task, tests: tuple[SuiteTest, ...]) -> Iterator[str]:
    yield f"Write {', '.join(f'`{name}`' for name in task.names)}."
    if task.syllabus:
        yield f"In the syllabus: {'; '.join(task.syllabus)}."
    if task.extra:
        yield f"Graded where `{task.extra}` is installed."
    share = f"{100 * public_share(tests, task.id):.0f} %"
    yield f"Public tests give {share} of the points:"
    yield ""
    lessons = [test.lesson for test in tests if test.task == task.id and not test.is_hidden]
    yield from (f"* {' '.join(lesson.split())}" for lesson in lessons)
