"""Solution: `autograder solution ID` writes a worked solution with explanations, after the deadline.

It holds the author's module without its markers, and a page with the answer of each task, the mistakes that students
make, and other right answers. Students whose extension still runs must not get it: they are named, and left out.
"""

from __future__ import annotations

import ast
import datetime
import shutil
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from autograder import dates
from autograder.authoring.build import write_folder
from autograder.course import Course
from autograder.errors import CourseError
from autograder.extensions import extensions
from autograder.people import gone
from autograder.sandbox.both.bundle import parted_text
from autograder.stub import BEGIN, END
from autograder.topic import Task, Topic

PAGE = "solution.md"


@dataclass(frozen=True)
class GivenSolution:
    """Where the solution was written, and who has it."""

    folder: Path
    students: tuple[str, ...]  #: have it in their folder of feedback/
    waiting: tuple[tuple[str, datetime.datetime], ...]  #: have more time, and until when

    def sentences(self) -> list[str]:
        """Say it to the teacher."""
        found = [str(self.folder)]
        if self.students:
            found.append(f"{len(self.students)} students have it in feedback/")
        found += [f"not for {student} before {dates.spoken(moment)}" for student, moment in self.waiting]
        return found


def give_solution(
    course: Course, topic_id: str, *, is_early: bool = False, now: datetime.datetime | None = None
) -> GivenSolution:
    """Write solutions/<id>/, and copy it to each student who has feedback and no time left.

    Args:
        is_early: write it although the assignment is not due yet, or has no date
        now: the present moment; another one in a test

    Raises:
        CourseError: the assignment is not due yet
    """
    topic, now = course.topic(topic_id), now or datetime.datetime.now(datetime.UTC)
    moment = dates.due(topic.folder)
    if not is_early and (moment is None or now < moment):
        said = f"due {dates.spoken(moment)}" if moment else "has no due date"
        raise CourseError(f"{topic.id}: {said}; a solution is for afterwards (--early writes it all the same)")
    waiting = {
        entry.student: moment + entry.length
        for entry in extensions(course, topic.id)
        if moment is not None and now < moment + entry.length
    }
    folder = course.root / "solutions" / topic.id
    write_folder(folder, solution_files(topic))
    given, left = [], gone(course)
    for feedback in sorted((course.root / "feedback").glob(f"*/{topic.id}")):
        student = feedback.parent.name
        if feedback.is_symlink() or student in left:
            continue
        if student in waiting or (moment is not None and now < moment):
            shutil.rmtree(feedback / "solution", ignore_errors=True)  # given before there was an extension
        else:
            write_folder(feedback / "solution", solution_files(topic))
            given.append(student)
    return GivenSolution(folder, tuple(given), tuple(sorted(waiting.items())))


def solution_files(topic: Topic) -> dict[str, bytes]:
    """Return the modules without markers, and the page. Pure: reads the assignment, writes nothing."""
    modules = {name: without_markers(text) for name, text in parted_text(topic.solution, topic.modules).items()}
    files = {f"{name}.py": text for name, text in modules.items()}
    return {name: text.encode() for name, text in (*files.items(), (PAGE, _page(topic, modules)))}


def without_markers(text: str) -> str:
    """Return a solution as a student could have written it."""
    return "\n".join(line for line in text.split("\n") if line.strip() not in (BEGIN, END))


def _page(topic: Topic, modules: dict[str, str]) -> str:
    named = " and ".join(f"`{name}.py`" for name in modules)
    parts = [
        f"# {topic.title}: a worked solution\n",
        f"{named} beside this page is a solution with all points. It is one of many right ones. Put it beside your "
        "lesson to see every figure. The written questions are not part of it.\n",
    ]
    for task in topic.tasks:
        parts += _about(topic, task, modules)
    return "\n".join(parts)


def _about(topic: Topic, task: Task, modules: dict[str, str]) -> Iterator[str]:
    yield f"## {task.number} {task.title} ({task.points:g} points)\n"
    for code in dict.fromkeys(_code_of(name, modules) for name in task.names):
        if code:
            yield f"```python\n{code}\n```\n"
    mistakes = [mistake for mistake in topic.mistakes if mistake.task == task.id]
    if mistakes:
        yield "What often goes wrong here:\n"
        hints = {mistake.hint: mistake.name for mistake in reversed(mistakes)}  # one hint serves several mistakes
        yield "".join(f"* {name}: {hint}\n" for hint, name in reversed(hints.items()))
    others = [other for other in topic.alternatives if other.task == task.id]
    for other in others:
        yield f"Also right: {other.name}. Instead of\n\n{_fenced(other.find)}\nit has\n\n{_fenced(other.replace)}"


def _fenced(code: str) -> str:
    lines = [line for line in textwrap.dedent(code).strip("\n").split("\n") if line.strip() not in (BEGIN, END)]
    return "\n".join(["```python", *lines, "```", ""])


def _code_of(name: str, modules: dict[str, str]) -> str:
    """Return the code that defines a name at the top of a module; of "LSTM.step", the class."""
    wanted = name.split(".")[0]
    for text in modules.values():
        lines = text.split("\n")
        for node in ast.parse(text).body:
            if wanted in _defines(node):
                first = min([node.lineno, *(d.lineno for d in getattr(node, "decorator_list", []))])
                return "\n".join(lines[first - 1 : node.end_lineno])
    return ""


def _defines(node: ast.stmt) -> set[str]:
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return {node.name}
    stored = (part for part in ast.walk(node) if isinstance(part, ast.Name) and isinstance(part.ctx, ast.Store))
    return {part.id for part in stored}
