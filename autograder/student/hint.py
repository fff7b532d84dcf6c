"""`autograder hint TASK`: each call gives one more hint, and no hint gives the answer.

Hints are made from files in the student's folder: the hints of topic.toml, the docstrings of the module, the sentences
of the public tests, the lesson. Hints of known mistakes stay with the teacher.
"""

from __future__ import annotations

import ast
import contextlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from autograder.plain import plain
from autograder.student.card import modules_of, read_card, text_of
from autograder.student.public_tests import main_module
from autograder.syntax import task_of_mark

_MEMORY = Path(".autograder") / "hints.json"  #: in the assignment's folder: task -> how many were given
_MOST_SENTENCES = 5
_DEFINITION = (ast.FunctionDef, ast.ClassDef)


@dataclass(frozen=True)
class Hint:
    """One step: where to look, or what to think about."""

    sentences: tuple[str, ...]
    listed: tuple[str, ...] = ()  #: the docstrings of the task's tests, one line each


@dataclass(frozen=True)
class Given:
    """The hints of a task that a student has got so far; the last one is new."""

    title: str
    hints: tuple[Hint, ...]
    of: int

    @property
    def is_last(self) -> bool:
        return len(self.hints) == self.of


def ladder(task: str, card: dict[str, Any], modules: Mapping[str, str], tests: str, lesson: str) -> tuple[Hint, ...]:
    """Make the hints of a task: first where to read, last what to check. Pure.

    Args:
        task: the task
        card: its table in topic.toml
        modules: the student's modules: file name -> text
        tests: the text of the public tests
        lesson: the text of the notebook, JSON
    """
    authored = [hint for hint in card.get("hints", []) if isinstance(hint, str)]
    names = [str(name) for name in card.get("names", [])]
    begin = [_reading(lesson, task), _docstring(modules, names)]
    said = _sentences(tests, task)
    first = Hint(tuple(text for text in (*authored[:1], *begin) if text))
    second = Hint(tuple(authored[1:2]), said)
    rest = [Hint((hint,)) for hint in authored[2:]]
    return tuple(hint for hint in (first, second, *rest) if hint.sentences or hint.listed)


def give(folder: Path, tests: Path, task: str) -> Given:
    """Give the next hint of a task, and remember that it was given."""
    whole = read_card(folder)
    card = whole.get("tasks", {}).get(task, {})
    modules = modules_of(whole, main_module(tests))
    hints = ladder(
        task,
        card,
        {f"{name}.py": text_of(folder / f"{name}.py") for name in modules},
        text_of(tests),
        text_of(folder / f"{folder.resolve().name}.ipynb"),
    )
    memory = _remembered(folder)
    count = min(memory.get(task, 0) + 1, len(hints))
    with contextlib.suppress(OSError):  # if the folder cannot be written to, the first hint is given again
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


def _docstring(modules: Mapping[str, str], names: list[str]) -> str:
    """Name the docstring of the task's first function that is not written yet, else the docstrings of all functions."""
    nodes: dict[str, tuple[ast.FunctionDef | ast.ClassDef, str]] = {}
    for file, text in modules.items():
        try:
            tree = ast.parse(text)
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            continue
        nodes |= {node.name: (node, file) for node in tree.body if isinstance(node, _DEFINITION)}
    known = [nodes[name] for name in names if name in nodes]
    begun = next(([found] for found in known if "not started" in ast.unparse(found[0])), known)
    if not begun:
        return ""
    places = [f"{node.name} (line {node.lineno} of {file})" for node, file in begun]
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
        if isinstance(node, ast.FunctionDef) and any(task_of_mark(mark) == task for mark in node.decorator_list):
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
