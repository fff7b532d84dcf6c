"""Feedback: what a grade cell says to the student, and how a page shows what a student wrote.

nbgrader reads a cell's score from the text of its `execute_result`: a plain float, to the last digit. `None`,
a NumPy scalar or no result would give full marks, and anything on stderr none: neither is ever written.
"""

from __future__ import annotations

import math
import re
import textwrap
from html import escape
from typing import Any
from urllib.parse import unquote

from jinja2 import pass_context
from nbconvert.filters.markdown_mistune import IPythonRenderer, MarkdownWithMath
from nbformat.v4 import new_markdown_cell, new_output

from autograder.recording.answers import is_answer
from autograder.report import TaskReport
from autograder.report.words import BROKEN, one_line, said
from autograder.topic import Topic

WIDTH = 100  #: columns of what a grade cell says
#: commands of MathJax that make links, load extensions, or change the page around the formula
_ACTIVE_MATHS = re.compile(r"\\(?:href|url|class|cssId|style|require|html\w*|data)(?![A-Za-z])")
_PERSON = "A person will look at it. (Teacher: run `autograder release` again.)"


def write_outputs(cell: Any, topic: Topic, task: TaskReport | None) -> None:
    """Write sentences (a stream), then the score (nbgrader reads a plain float's text, to the last digit)."""
    points = float(cell.metadata.nbgrader.points)
    doubt = _doubt(task, points)
    if task is None or doubt:
        cell.metadata["autograder"] = {"is_open": True}
        cell.outputs = [new_output("stream", name="stdout", text=f"{doubt}\n")]
        return
    score = {
        "text/plain": repr(float(task.score)),
        "text/html": f"<strong>{task.score:.4g}</strong> of {task.points:g} points",
    }
    cell.outputs = [
        new_output("stream", name="stdout", text=f"{_wrapped(said(task, topic))}\n"),
        new_output("execute_result", score),
    ]


def _wrapped(text: str) -> str:
    """Break long lines, as nbgrader's page shows them in a box that cuts them off."""
    lines = (
        textwrap.wrap(line, WIDTH, subsequent_indent="  ", break_long_words=False)
        for line in text.splitlines()
    )
    return "\n".join(part for parts in lines for part in parts or [""])


def _doubt(task: TaskReport | None, points: float) -> str:
    """Say why a grade cell gets no score by itself; empty where it gets one."""
    if task is None:
        return f"No test belongs to this cell. {_PERSON}"
    if task.missing:
        return f"This task is {task.hint}. It costs you nothing: it is open until it is graded where that is installed."
    if task.status == "broken":
        return BROKEN
    if task.points != points or not (math.isfinite(task.score) and 0 <= task.score <= points):
        return f"This task has {task.points:g} points here and {points:g} in the gradebook. {_PERSON}"
    return ""


def notice(complaints: tuple[str, ...]) -> Any:
    """Make the cell that tells what was wrong with a parcel."""
    cell = new_markdown_cell(
        "**About this submission**\n\n" + "\n".join(f"* {one_line(text)}" for text in complaints)
    )
    cell.metadata["autograder"] = {"is_notice": True}
    cell["id"] = "about-this-submission"
    return cell


class _Renderer(IPythonRenderer):  # type: ignore[misc]
    """Shows a picture that is not attached by its text: nbconvert's own would make no page at all."""

    def image(self, text: str, url: str, title: str | None = None) -> str:
        if not url.startswith("attachment:"):
            return str(super().image(text, url, title))
        name = unquote(url.removeprefix("attachment:"))  # mistune writes a space as %20
        if name in self.attachments:
            return str(super().image(text, f"attachment:{name}", title))
        return escape(f"[picture {name} is missing: {text}]")


@pass_context
def markdown_to_html(context: Any, source: str) -> str:
    """Render a cell's text; one that a student wrote or is quoted in, without raw HTML or scripts."""
    cell = context.get("cell", {})
    is_theirs = is_answer(cell) or bool(cell.get("metadata", {}).get("autograder"))
    if is_theirs:
        source = _ACTIVE_MATHS.sub(r"\\text", source)
    renderer = _Renderer(
        escape=is_theirs, allow_harmful_protocols=not is_theirs, attachments=cell.get("attachments", {})
    )
    return str(MarkdownWithMath(renderer=renderer).render(source))
