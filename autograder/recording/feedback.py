"""Feedback: what a grade cell says to the student, and how a page shows a student's answer.

nbgrader reads a cell's score from the text of its `execute_result`: a plain float, to the last digit. `None`,
a NumPy scalar or no result would give full marks, and anything on stderr none: neither is ever written.
"""

from __future__ import annotations

import math
import textwrap
from typing import Any

from jinja2 import pass_context
from nbconvert.filters.markdown_mistune import InvalidNotebook, IPythonRenderer, MarkdownWithMath
from nbformat.v4 import new_markdown_cell, new_output

from autograder.plain import one_line
from autograder.recording.answers import is_answer
from autograder.recording.inert import inert
from autograder.report import TaskReport
from autograder.report.words import BROKEN, Words, said
from autograder.topic import Topic

WIDTH = 100  #: columns of what a grade cell says
_PERSON = "A person will look at it. (Teacher: run `autograder release` again.)"


def write_outputs(cell: Any, topic: Topic, task: TaskReport | None, found: tuple[Words, ...] | None = None) -> None:
    """Write sentences (a stream), then the score (nbgrader reads a plain float's text, to the last digit).

    Args:
        cell: the grade cell of a task
        topic: the assignment
        task: what was found about it
        found: what is told about it; None if nothing was told before
    """
    points = float(cell.metadata.nbgrader.points)
    doubt = _doubt(task, points)
    cell.metadata["autograder"] = {"title": topic.task(task.task).name} if task else {}
    if task is None or doubt:
        cell.metadata["autograder"]["is_open"] = True
        cell.outputs = [new_output("stream", name="stdout", text=f"{doubt}\n")]
        return
    score = {
        "text/plain": repr(float(task.score)),
        "text/html": f"<strong>{task.score:.2f}</strong> of {task.points:g} points",
    }
    cell.outputs = [
        new_output("stream", name="stdout", text=f"{_wrapped(said(task, topic, found))}\n"),
        new_output("execute_result", score),
    ]


def _wrapped(text: str) -> str:
    """Break long lines, because nbgrader's page shows them in a box that cuts them off."""
    lines = (textwrap.wrap(line, WIDTH, subsequent_indent="  ", break_long_words=False) for line in text.splitlines())
    return "\n".join(part for parts in lines for part in parts or [""])


def _doubt(task: TaskReport | None, points: float) -> str:
    """Say why a grade cell gets no automatic score; empty if it gets one."""
    if task is None:
        return f"No test belongs to this cell. {_PERSON}"
    if task.missing:
        return (
            f"This task is {task.hint}. It costs you nothing: it stays open until it is graded on a machine that "
            "has it."
        )
    if task.status == "broken":
        return BROKEN
    if task.points != points or not (math.isfinite(task.score) and 0 <= task.score <= points):
        return f"This task has {task.points:g} points here and {points:g} in the gradebook. {_PERSON}"
    return ""


def notice(complaints: tuple[str, ...]) -> Any:
    """Make the cell that says what was wrong with a parcel."""
    cell = new_markdown_cell("**About this submission**\n\n" + "\n".join(f"* {one_line(text)}" for text in complaints))
    cell.metadata["autograder"] = {"is_notice": True}
    cell["id"] = "about-this-submission"
    return cell


@pass_context
def markdown_to_html(context: Any, source: str) -> str:
    """Render a cell's text. A student's own text, and text that quotes it, is made inert (inert.py)."""
    cell = context.get("cell", {})
    attachments = cell.get("attachments", {})
    metadata = cell.get("metadata", {})
    is_theirs = is_answer(cell) or bool(metadata.get("autograder"))
    is_comment = source == metadata.get("nbgrader", {}).get("comment")
    if is_theirs and not is_comment:
        return inert(source, attachments)
    renderer = IPythonRenderer(  # for the assignment's own text, and for a grader's comment on an answer
        escape=is_theirs, allow_harmful_protocols=not is_theirs, attachments=attachments
    )
    try:
        return str(MarkdownWithMath(renderer=renderer).render(source))
    except InvalidNotebook:  # a picture that is not attached must not prevent the page
        return inert(source, attachments)
