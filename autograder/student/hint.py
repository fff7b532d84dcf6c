"""`autograder hint TASK`: each call goes a step further, and none gives the answer.

What a hint is made of lies in the student's folder: the hints of topic.toml, the docstrings of the module, the
sentences of the public tests, the lesson. Hints of known mistakes stay with the teacher.
"""

from __future__ import annotations

import ast
import contextlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from autograder.faults import plain
from autograder.student.progress import read_card
from autograder.student.touched import task_of_mark

_MEMORY = Path(".autograder") / "hints.json"  #: in the assignment's folder: task -> how many were given
_MOST_SENTENCES = 5
_DEFINITION = (ast.FunctionDef, ast.ClassDef)


@dataclass(frozen=True)
class Hint:
    """One step: where to look, or what to think about."""

    sentences: tuple[str, ...]
    listed: tuple[str, ...] = ()  #: what the tests of the task say, one line each


@dataclass(frozen=True)
class Given:
    """The hints of a task that a student has asked for so far; the last one is new."""

    title: str
    hints: tuple[Hint, ...]
    of: int

    @property
    def is_last(self) -> bool:
        return len(self.hints) == self.of


def ladder(
    task: str, card: dict[str, Any], module: str, tests: str, lesson: str, name: str
) -> tuple[Hint, ...]:
    """Make the hints of a task, from where to read to what to check. Pure.

    Args:
        task: the task
        card: its table in topic.toml
        module: the text of the student's module
        tests: the text of the public tests
        lesson: the text of the notebook, JSON
        name: the file name of the module, without .py
    """
    authored = [hint for hint in card.get("hints", []) if isinstance(hint, str)]
    names = [str(name) for name in card.get("names", [])]
    begin = [_reading(lesson, task), _docstring(module, names, name)]
    said = _sentences(tests, task)
    first = Hint(tuple(text for text in (*authored[:1], *begin) if text))
    second = Hint(tuple(authored[1:2]), said)
    rest = [Hint((hint,)) for hint in authored[2:]]
    return tuple(hint for hint in (first, second, *rest) if hint.sentences or hint.listed)


def give(folder: Path, tests: Path, task: str) -> Given:
    """Give the next hint of a task, and remember that it was given."""
    card = read_card(folder).get("tasks", {}).get(task, {})
    module = tests.stem.removeprefix("test_")
    hints = ladder(
        task,
        card,
        _text(folder / f"{module}.py"),
        _text(tests),
        _text(folder / f"{folder.resolve().name}.ipynb"),
        module,
    )
    memory = _remembered(folder)
    count = min(memory.get(task, 0) + 1, len(hints))
    with contextlib.suppress(OSError):  # a folder that cannot be written to gives the first hint again
        (folder / _MEMORY).parent.mkdir(exist_ok=True)
        (folder / _MEMORY).write_text(json.dumps(memory | {task: count}), encoding="utf-8")
    title = f"{card.get('number', '')} {card.get('title', task)}".strip()
    return Given(title, hints[:count], len(hints))


def _reading(lesson: str, task: str) -> str:
    """Name the section of the lesson that holds the task's grade cell."""
    try:
        cells = json.loads(lesson)["cells"]
        heading = ""
        for cell in cells:
            if cell["cell_type"] == "markdown":
                rows = [row for row in "".join(cell["source"]).split("\n") if row.startswith("#")]
                heading = rows[-1].lstrip("# ").strip() if rows else heading
            elif cell["metadata"].get("nbgrader", {}).get("grade_id") == task:
                return f"In the lesson, read '{plain(heading, 100)}'." if heading else ""
    except (ValueError, KeyError, TypeError, AttributeError):
        return ""
    return ""


def _docstring(module: str, names: list[str], name: str) -> str:
    """Point to the docstring of the first function of the task that is not written yet, else to those of all."""
    try:
        nodes = {node.name: node for node in ast.parse(module).body if isinstance(node, _DEFINITION)}
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return ""
    known = [nodes[name] for name in names if name in nodes]
    begun = next(([node] for node in known if "not started" in ast.unparse(node)), known)
    if not begun:
        return ""
    places = [f"{node.name} (line {node.lineno} of {name}.py)" for node in begun]
    if len(places) == 1:
        return f"Read the docstring of {places[0]} again, word by word: it says all that any test asks."
    listed = f"{', '.join(places[:-1])} and {places[-1]}"
    return f"Read the docstrings of {listed} again, word by word: they say all that any test asks."


def _sentences(tests: str, task: str) -> tuple[str, ...]:
    """The docstrings of the task's public tests, each on one line."""
    try:
        nodes = ast.parse(tests).body
    except (SyntaxError, ValueError):
        return ()
    found = []
    for node in nodes:
        if isinstance(node, ast.FunctionDef) and any(
            task_of_mark(mark) == task for mark in node.decorator_list
        ):
            found.append(" ".join((ast.get_docstring(node) or "").split()))
    return tuple(dict.fromkeys(text for text in found if text))[:_MOST_SENTENCES]


def _remembered(folder: Path) -> dict[str, int]:
    try:
        found = json.loads((folder / _MEMORY).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    if type(found) is not dict:
        return {}
    return {str(key): count for key, count in found.items() if type(count) is int and count >= 0}


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
