"""Compile a lesson (text in jupytext percent format) into the notebook that students get. Pure, byte-stable.

Three kinds of cells are nbgrader's: a grade cell (`# %% task="softmax"`), the question of a written answer
(`# %% [markdown] question="why_nonlinear" points=5`) and the empty answer cell that follows it.
"""

from __future__ import annotations

import hashlib
import io
import math
import re
import tokenize
from collections import Counter
from dataclasses import dataclass
from typing import Any, Literal

from autograder.errors import AuthorError
from autograder.stub import refuse_markers
from autograder.syntax import parse
from autograder.topic import Topic

FULL_POINTS = 100  #: the sum of the points of all tasks and written questions of one assignment

DRAWING_LINES = 10  #: a cell with fewer lines is read, even if it only draws

_FIGURE = re.compile(r"\bplt\.(subplots|figure|show)\(|^explore\(", re.MULTILINE)
_DRAWS = re.compile(r"\b(plt|ax|axes|axis|figure)\b|\.(set\w*|plot|imshow|bar|scatter|text|legend|annotate|show)\(")
_WORD = re.compile(r"[a-z0-9]+(_[a-z0-9]+)*")
_ANSWER = "YOUR ANSWER HERE"  # what nbgrader itself writes into an empty answer
_METADATA = {
    "kernelspec": {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}


@dataclass(frozen=True)
class LessonCell:
    """One cell of a lesson, and the line of lesson.py where it begins."""

    line: int
    kind: Literal["code", "markdown"]
    text: str
    task: str = ""  #: the task that a grade cell checks
    question: str = ""  #: the name of a written question
    points: float = 0.0  #: of a written question
    is_drawing: bool = False  #: whether its code, which only draws a figure, is collapsed


def to_notebook(topic: Topic, lesson_text: str) -> str:
    """Return the notebook of a topic as ipynb JSON.

    Raises:
        AuthorError: the lesson breaks a rule; says file:line and what to do
    """
    import nbformat

    cells: list[dict[str, Any]] = []
    for cell in read_lesson(topic, lesson_text):
        cells.extend(_compile(topic, cell))
    texts: Counter[str] = Counter()
    for compiled in cells:
        # The same text has the same id in every place, so that a new cell changes no other cell's id.
        identity = f"{compiled['cell_type']}:{compiled['source']}"
        texts[identity] += 1
        compiled["id"] = hashlib.sha256(f"{texts[identity]}:{identity}".encode()).hexdigest()[:12]
    notebook = nbformat.from_dict({"cells": cells, "metadata": _METADATA, "nbformat": 4, "nbformat_minor": 5})
    nbformat.validate(notebook)
    return str(nbformat.writes(notebook)).rstrip("\n") + "\n"


def read_lesson(topic: Topic, lesson_text: str) -> tuple[LessonCell, ...]:
    """Read the cells of a lesson, and check them against the topic's tasks and points.

    Raises:
        AuthorError: the lesson breaks a rule; says file:line and what to do
    """
    import jupytext

    path = str(topic.lesson_path)
    text = lesson_text.replace("\r\n", "\n")
    parse(text, path)
    refuse_markers(text, path)
    lines = _cell_lines(text)
    raw = jupytext.reads(text, fmt="py:percent").cells
    if not lines or len(raw) != len(lines):
        raise AuthorError(f"{path}:1: there is text before the first cell; begin the lesson with '# %% [markdown]'")
    cells = tuple(_read_cell(topic, cell, line) for cell, line in zip(raw, lines, strict=True))
    _check_title(cells[0], path)
    _check_grade_cells(topic, cells, path)
    _check_questions(topic, cells, path)
    return cells


def _cell_lines(text: str) -> list[int]:
    tokens = tokenize.generate_tokens(io.StringIO(text).readline)
    comments = (token for token in tokens if token.type == tokenize.COMMENT and token.start[1] == 0)
    return [token.start[0] for token in comments if re.match(r"# ?%%(?!%)", token.string)]


def _read_cell(topic: Topic, raw: Any, line: int) -> LessonCell:
    where = f"{topic.lesson_path}:{line}"
    options = dict(raw.metadata)
    # a note of the author after `# %%`, and what jupytext notes about blank lines
    for ignored in ("title", "lines_to_next_cell", "lines_to_end_of_cell_marker"):
        options.pop(ignored, None)
    known = {"task", "drawing"} if raw.cell_type == "code" else {"question", "points"}
    if raw.cell_type not in ("code", "markdown"):
        raise AuthorError(f"{where}: a {raw.cell_type} cell; use '# %%' or '# %% [markdown]'")
    for key in sorted(set(options) - known):
        shown = options[key] if key == "incorrectly_encoded_metadata" else key
        raise AuthorError(
            f'{where}: cannot use {shown!r} here; a cell takes task="..." or drawing=false, '
            'a markdown cell question="..." points=5'
        )
    task, question, points = options.get("task", ""), options.get("question", ""), options.get("points", 0)
    for key in set(options) & {"task", "question"}:
        if not isinstance(options[key], str) or not _WORD.fullmatch(options[key]):
            raise AuthorError(f"{where}: {key} is {options[key]!r}; use small letters, digits and _, in quotes")
    if ("question" in options) != ("points" in options):
        raise AuthorError(f'{where}: a written question needs both, question="..." and points=5')
    if isinstance(points, bool) or not isinstance(points, int | float) or not 0 <= points <= FULL_POINTS:
        raise AuthorError(f"{where}: points is {points!r}; give a number such as 5")
    if "points" in options and points == 0:
        raise AuthorError(f"{where}: a written question for 0 points; give it points")
    drawing = options.get("drawing", raw.cell_type == "code" and _draws(raw.source))
    if not isinstance(drawing, bool):
        raise AuthorError(f"{where}: drawing is {drawing!r}; write drawing=true or drawing=false")
    return LessonCell(line, raw.cell_type, raw.source, task, question, float(points), drawing)


def _draws(text: str) -> bool:
    """True for a long cell that makes a figure, if much of it only draws."""
    lines = [line for line in text.splitlines() if line.strip()]
    drawing = sum(1 for line in lines if _DRAWS.search(line))
    return len(lines) >= DRAWING_LINES and bool(_FIGURE.search(text)) and 3 * drawing >= len(lines)


def _check_title(first: LessonCell, path: str) -> None:
    if first.kind != "markdown" or not first.text.startswith("# "):
        raise AuthorError(f"{path}:{first.line}: the first cell is no title; begin with a markdown cell '# # Title'")


def _check_grade_cells(topic: Topic, cells: tuple[LessonCell, ...], path: str) -> None:
    seen: dict[str, int] = {}
    known = [task.id for task in topic.tasks]
    for cell in cells:
        if not cell.task:
            continue
        where = f"{path}:{cell.line}"
        if cell.task not in known:
            raise AuthorError(f"{where}: no task {cell.task!r} in topic.toml; use one of {', '.join(known)}")
        if cell.task in seen:
            raise AuthorError(f"{where}: a second grade cell for {cell.task!r}, after line {seen[cell.task]}; keep one")
        if cell.text != f'check("{cell.task}")':
            raise AuthorError(
                f'{where}: a grade cell holds exactly check("{cell.task}"); move all else to another cell'
            )
        seen[cell.task] = cell.line
    for task_id in known:
        if task_id not in seen:
            raise AuthorError(f"{path}:1: task {task_id!r} has no grade cell; add a cell '# %% task=\"{task_id}\"'")


def _check_questions(topic: Topic, cells: tuple[LessonCell, ...], path: str) -> None:
    taken = {task.id for task in topic.tasks}
    questions = [cell for cell in cells if cell.question]
    for cell in questions:
        if {cell.question, f"{cell.question}_question"} & taken:
            raise AuthorError(f"{path}:{cell.line}: the name {cell.question!r} is taken; name the question otherwise")
        taken |= {cell.question, f"{cell.question}_question"}
    written = sum(cell.points for cell in questions)
    if not math.isclose(topic.points + written, FULL_POINTS, abs_tol=1e-9):
        line = questions[-1].line if questions else 1
        raise AuthorError(
            f"{path}:{line}: the written questions give {written:g} points and the tasks of topic.toml "
            f"{topic.points:g}; together they must give {FULL_POINTS}"
        )


def _compile(topic: Topic, cell: LessonCell) -> list[dict[str, Any]]:
    if cell.task:
        return [_cell("code", cell.text, _graded(cell.task, topic.task(cell.task).points, by_hand=False))]
    if cell.question:
        question = {**_graded(f"{cell.question}_question", 0, by_hand=False), "grade": False}
        del question["points"]
        return [
            _cell("markdown", cell.text, {**question, "cell_type": "markdown"}),
            _cell("markdown", _ANSWER, _graded(cell.question, cell.points, by_hand=True)),
        ]
    return [_cell(cell.kind, cell.text, None, is_drawing=cell.is_drawing)]


def _cell(kind: str, text: str, nbgrader: dict[str, Any] | None, *, is_drawing: bool = False) -> dict[str, Any]:
    hidden = {"jupyter": {"source_hidden": True}} if is_drawing else {}
    cell: dict[str, Any] = {
        "cell_type": kind,
        "metadata": {"nbgrader": nbgrader} if nbgrader else hidden,
        "source": text,
    }
    if kind == "code":
        cell |= {"execution_count": None, "outputs": []}
    return cell


def _graded(grade_id: str, points: float, *, by_hand: bool) -> dict[str, Any]:
    return {
        "schema_version": 3,
        "grade": True,
        "grade_id": grade_id,
        "solution": by_hand,
        "locked": not by_hand,
        "task": False,
        "points": int(points) if points == int(points) else points,
        "cell_type": "markdown" if by_hand else "code",
    }
