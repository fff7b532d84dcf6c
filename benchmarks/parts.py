"""Parts of an assignment to measure: the tests that only call functions, and those that train; and a class for them."""

from __future__ import annotations

import ast
import random
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from autograder.course import Course
from autograder.grading.intake.submission import Submission
from autograder.replacements import Alternative
from autograder.suite import task_of
from autograder.table import as_toml
from autograder.topic import Topic, read_topic

#: a task whose tests may take this many CPU seconds trains something
_TRAINS = 60.0


def class_of(topic: Topic, size: int) -> list[Submission]:
    """Return a class of right answers, each with a different text. Wrong answers may loop, and would change the result.

    For every task, each student has the solution or one of its known alternatives.
    """
    ways: dict[str, list[Alternative | None]] = {task.id: [None] for task in topic.tasks}
    for alternative in topic.alternatives:
        ways[alternative.task].append(alternative)

    def text_of(number: int) -> bytes:
        draw = random.Random(number)
        text = topic.solution_path.read_text(encoding="utf-8")
        for of_task in ways.values():
            if chosen := draw.choice(of_task):
                text = text.replace(chosen.find, chosen.replace)
        return f"{text}\n# student {number}\n".encode()

    return [Submission(f"s{number:04}", topic.id, topic.folder, text_of(number)) for number in range(size)]


def parts_of(topic: Topic) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the tasks of a topic that only call functions, and those that train."""
    quick = tuple(task.id for task in topic.tasks if task.seconds < _TRAINS and task.is_gradable)
    trained = tuple(task.id for task in topic.tasks if task.seconds >= _TRAINS and task.is_gradable)
    return quick, trained


@contextmanager
def scratch_course(topic: Topic, tasks: tuple[str, ...] = ()) -> Iterator[Course]:
    """Make a course with this topic alone, and only these tasks of it (none for all)."""
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder, "assignments", topic.id)
        shutil.copytree(topic.folder, copy, ignore=shutil.ignore_patterns("__pycache__"))
        if tasks:
            _keep_only(read_topic(copy), tasks)
        yield Course(Path(folder))


def _keep_only(topic: Topic, tasks: tuple[str, ...]) -> None:
    manifest = topic.folder / "topic.toml"
    head, *tables = re.split(r"(?m)^(?=\[tasks\.)", manifest.read_text(encoding="utf-8"))
    kept = [table for table in tables if table.partition("]")[0].removeprefix("[tasks.") in tasks]
    manifest.write_text(head + "".join(kept), encoding="utf-8")
    right = [as_change(entry) for entry in topic.alternatives if entry.task in tasks]
    topic.mistakes_path.write_text("\n".join(right), encoding="utf-8")  # hints cost nothing
    for path in (topic.public_tests_path, topic.hidden_tests_path):
        path.write_text(_with_tests_of(path.read_text(encoding="utf-8"), tasks), encoding="utf-8")


def _with_tests_of(source: str, tasks: tuple[str, ...]) -> str:
    """Return a test file without the tests of other tasks."""
    lines = source.splitlines(keepends=True)
    for node in ast.parse(source).body:
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_") and task_of(node) not in tasks:
            first = min(decorator.lineno for decorator in node.decorator_list)
            lines[first - 1 : node.end_lineno] = [""] * ((node.end_lineno or 0) - first + 1)
    return "".join(lines)


def as_change(entry: Alternative) -> str:
    """Return the table of mistakes.toml that holds one alternative."""
    head = f"[[change]]\ntask = {as_toml(entry.task)}\nfind = {as_toml(entry.find)}\n"
    return f"{head}\n[[change.alternative]]\nname = {as_toml(entry.name)}\nreplace = {as_toml(entry.replace)}\n"
