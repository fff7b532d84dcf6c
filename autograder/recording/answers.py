"""Answers: take the pristine notebook, and copy the student's written answers into it. Pure data, no nbgrader.

A student's notebook is read for its written answers only. Nothing else of it (points, grade ids, cell types,
a kernelspec, duplicated or deleted cells) can matter: the notebook that is graded is the released one.
"""

from __future__ import annotations

import copy
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from autograder.grading.intake.written import read_cells, text_of_cell
from autograder.limits import ANSWER_LETTERS, ATTACHMENT_BYTES
from autograder.recording.maths import COMMANDS
from autograder.recording.pictures import picture

_JOINER = "\N{WORD JOINER}"  #: invisible
_PLAIN_PICTURE = r"!\[[\w .,-]*\]\(<?attachment:[\w .%-]+>?\)"
#: the beginnings of a picture, of raw HTML, of a command (of maths.py or not), of a diagram that may hold pictures
_ACTIVE = re.compile(
    rf"(?P<plain>{_PLAIN_PICTURE})|(?P<first><(?=[A-Za-z/!?])|!(?=\[)|\\(?=(?P<command>[A-Za-z]+))|(?i:mer)(?=(?i:maid)))"
)


def lay(pristine: dict[str, Any], submitted: Path) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Return the pristine notebook with the student's written answers, and sentences about what was wrong.

    Args:
        pristine: the released notebook, as JSON; left as it is
        submitted: the student's notebook, which may be missing or anything at all
    """
    laid = copy.deepcopy(pristine)
    cells, complaint = read_cells(submitted)
    complaints = [complaint] if complaint else []
    for cell in filter(is_answer, laid["cells"]):
        if complaint and os.path.lexists(submitted):  # a person may be able to read answers in it
            cell["metadata"]["autograder"] = {"is_open": True}
        else:
            complaints += _answer(cell, cells)
    return laid, tuple(complaints)


def is_answer(cell: dict[str, Any]) -> bool:
    """Whether a student writes into this cell and a person grades it."""
    marks = cell.get("metadata", {}).get("nbgrader", {})
    return bool(marks.get("solution")) and cell.get("cell_type") == "markdown"


def _answer(cell: dict[str, Any], cells: list[dict[str, Any]]) -> list[str]:
    """Copy a student's text into its cell, by the grade id, else by the cell's own id; lose no duplicate.

    Returns:
        sentences about what was left out
    """
    name = cell["metadata"]["nbgrader"]["grade_id"]
    found = [other for other in cells if _grade_id(other) == name]
    found = found or [other for other in cells if "id" in cell and other.get("id") == cell["id"]]
    empty = text_of_cell(cell)
    written = list(
        dict.fromkeys(text_of_cell(other) for other in found if text_of_cell(other).strip() != empty.strip())
    )
    if not written:
        return []
    text = "\n\n---\n\n".join(written)
    cell["source"] = quiet(text[:ANSWER_LETTERS])
    left_out = []
    if len(text) > ANSWER_LETTERS:
        left_out.append(
            f"The answer to {name} has more than {ANSWER_LETTERS} letters: the rest is only in the notebook that was "
            "handed in. Write less, and keep code and data out of it."
        )
    pictures, refused = _pictures(found)
    if pictures:
        cell["attachments"] = pictures
    if refused:
        left_out.append(
            f"{refused} pictures in the answer to {name} are not shown: hand in PNG, JPEG or GIF of usual sizes, "
            f"{ATTACHMENT_BYTES // 1_000_000} MB in all."
        )
    return left_out


def quiet(text: str) -> str:
    """Return an answer that no Markdown program renders as an active page.

    The feedback and the formgrader have inert.py. But the notebook may also be opened in JupyterLab, whose Markdown
    loads pictures from anywhere. So an invisible character parts what would begin a picture, HTML, or a command of
    MathJax that maths.py does not list. Pictures that were pasted into the answer stay.
    """

    def parted(found: re.Match[str]) -> str:
        if found["plain"] or found["command"] in COMMANDS:
            return found[0]
        return found[0] + _JOINER

    return _ACTIVE.sub(parted, text)


def _grade_id(cell: dict[str, Any]) -> object:
    metadata = cell.get("metadata")
    marks = metadata.get("nbgrader") if isinstance(metadata, dict) else None
    return marks.get("grade_id") if isinstance(marks, dict) else None


def _pictures(cells: list[dict[str, Any]]) -> tuple[dict[str, dict[str, str]], int]:
    """Return an answer's pictures with plain names, known kinds and a bounded size, and the number of all others."""
    kept: dict[str, dict[str, str]] = {}
    room, refused = ATTACHMENT_BYTES, 0
    for name, kind, data in _attachments(cells):
        is_new = kind not in kept.get(name, {})
        honest = picture(kind, data) if is_new and len(data) <= room and re.fullmatch(r"[\w .()-]{1,200}", name) else ""
        if honest:
            room -= len(honest)
            kept.setdefault(name, {})[kind] = honest
        refused += is_new and not honest
    return kept, refused


def _attachments(cells: list[dict[str, Any]]) -> Iterator[tuple[str, str, str]]:
    """Every attachment of some cells: its name, its MIME type, its base64."""
    for cell in cells:
        attachments = cell.get("attachments")
        for name, kinds in attachments.items() if isinstance(attachments, dict) else ():
            for kind, data in kinds.items() if isinstance(kinds, dict) else ():
                if isinstance(data, str):
                    yield name, kind, data
