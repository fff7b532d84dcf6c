"""Syllabus: write docs/course.md and docs/checklist.md from the assignments and the plan of the course.

docs/course.md says what the course asks for, task by task. docs/checklist.md is the list that a student ticks off.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from autograder.authoring.notebook import FULL_POINTS
from autograder.course import Course
from autograder.files import write_atomically
from autograder.plan import Chapter, Plan, Timetable, read_plan, refuse_what_is_not_there
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


_CHECKLIST = """\
# Checklist

`autograder build` writes this page from `assignments/plan.toml`. Go through it at the end of the course. In the folder
that holds your assignments, `autograder status` ticks what your public tests show. Only you and your teacher can say
what you can explain.
"""


def write(course: Course) -> list[Path]:
    """Write the pages; return those that changed. A course without a folder docs/ gets none."""
    changed = _changed(course)
    for path, content in changed.items():
        write_atomically(path, content)
    return list(changed)


def stale(course: Course) -> list[Path]:
    """Return the pages that differ from what the assignments and the plan give."""
    return list(_changed(course))


def _changed(course: Course) -> dict[Path, bytes]:
    """Return the pages that are not as they should be, with what they should hold."""
    if not (course.root / "docs").is_dir():
        return {}
    fresh = {path: text.encode() for path, text in _pages(course).items()}
    return {path: text for path, text in fresh.items() if not path.is_file() or path.read_bytes() != text}


def _pages(course: Course) -> dict[Path, str]:
    topics, plan = course.topics(), read_plan(course.assignments)
    pages = {course.root / "docs" / "course.md": render(topics, plan)}
    if plan.checklist:
        pages[course.root / "docs" / "checklist.md"] = checklist(topics, plan)
    return pages


def render(topics: tuple[Topic, ...], plan: Plan | None = None) -> str:
    """Return docs/course.md: the assignments, the plan, then each assignment with its tasks.

    It says nothing about hidden tests.

    Raises:
        AuthorError: the tests of an assignment break a rule, or the plan names what is not there
    """
    plan = plan or Plan()
    refuse_what_is_not_there(plan, topics)
    lines = [_HEAD.format(full=FULL_POINTS), *overview(topics, plan), *_plan(plan, _links(topics))]
    for topic in topics:
        lines += _chapter(topic, plan)
    return "\n".join(lines) + "\n"


def checklist(topics: tuple[Topic, ...], plan: Plan) -> str:
    """Return docs/checklist.md: each item with the tasks that show it."""
    links = _links(topics, page="course.md")
    titles = {task.number: task.title for topic in topics for task in topic.tasks}
    lines = [_CHECKLIST]
    for item in plan.checklist:
        few = f", {item.enough} of these" if item.enough < len(item.tasks) else ""
        lines += [f"- \N{BALLOT BOX} {item.words}{few}:"]
        lines += [f"  - {links[number]} {titles[number]}" for number in item.tasks]
    return "\n".join(lines) + "\n"


def overview(topics: tuple[Topic, ...], plan: Plan, *, page: str = "") -> Iterator[str]:
    """Give the lines of a table of the assignments, with their hours if the plan has them.

    Args:
        page: the link to docs/course.md from another page
    """
    titles = ("assignment", "what it is about", "tasks", "points by tests", "hours", "computes with")
    shown = [title for title in titles if title != "hours" or plan.hours]
    yield f"| {' | '.join(shown)} |"
    yield f"|{'---|' * len(shown)}"
    for topic in topics:
        packages = ", ".join(f"`{name}`" for name in (*topic.imports, *topic.extras))
        cells = (
            f"[{topic.id}]({page}#{topic.id})",
            topic.title,
            len(topic.tasks),
            f"{topic.points:g}",
            *((f"{plan.hours[topic.id]:g}",) if plan.hours else ()),
            packages,
        )
        yield f"| {' | '.join(map(str, cells))} |"


def _plan(plan: Plan, links: dict[str, str]) -> Iterator[str]:
    if plan.prerequisites:
        yield from ("", "## What you should know before", "")
        yield from (f"* {words}" for words in plan.prerequisites)
    if plan.timetables:
        yield from ("", "## Timetables")
        if plan.hours:
            yield from ("", "Hours are for the lesson and the tasks. They are planned, not measured.")
    for table in plan.timetables:
        yield from _timetable(table, plan)
    if plan.syllabus:
        yield from ("", "## The syllabus, and where each part is graded")
    for chapter in plan.syllabus:
        yield from _concepts(chapter, links)


def _timetable(table: Timetable, plan: Plan) -> Iterator[str]:
    yield from ("", f"### {table.title}", "")
    yield f"| when | assignments |{' hours |' if plan.hours else ''}"
    yield f"|---|---|{'---|' if plan.hours else ''}"
    for when, names in table.slots:
        hours = f" {sum(plan.hours[name] for name in names):g} |" if plan.hours else ""
        yield f"| {when} | {', '.join(f'[{name}](#{name})' for name in names)} |{hours}"


def _concepts(chapter: Chapter, links: dict[str, str]) -> Iterator[str]:
    yield from ("", f"### {chapter.title}", "", "| concept | graded in |", "|---|---|")
    for concept in chapter.concepts:
        graded = ", ".join(links[number] for number in concept.tasks)
        yield f"| {concept.name} | {graded or f'not graded: {concept.why_not}'} |"


def _links(topics: tuple[Topic, ...], *, page: str = "") -> dict[str, str]:
    """Return a link from the number of each task to its assignment."""
    return {task.number: f"[{task.number}]({page}#{topic.id})" for topic in topics for task in topic.tasks}


def _chapter(topic: Topic, plan: Plan) -> Iterator[str]:
    tests = read_suite(topic)
    yield from ("", f"## {topic.id}", "", topic.summary, "")
    yield from (f"* {objective}" for objective in topic.objectives)
    for task in topic.tasks:
        yield from ("", f"### {task.number} {task.title}: {task.points:g} points", "")
        yield from _task(task, tests, plan)


def _task(task: Task, tests: tuple[SuiteTest, ...], plan: Plan) -> Iterator[str]:
    yield f"Write {', '.join(f'`{name}`' for name in task.names)}."
    parts = (concept for chapter in plan.syllabus for concept in chapter.concepts)
    concepts = [concept.name for concept in parts if task.number in concept.tasks]
    if concepts:
        yield f"In the syllabus: {'; '.join(concepts)}."
    if task.extra:
        yield f"Graded where `{task.extra}` is installed."
    share = f"{100 * public_share(tests, task.id):.0f} %"
    yield f"Public tests give {share} of the points:"
    yield ""
    lessons = [test.lesson for test in tests if test.task == task.id and not test.is_hidden]
    yield from (f"* {' '.join(lesson.split())}" for lesson in lessons)
