"""Answers: lay the pristine notebook, and carry into it what the student wrote. Pure data, no nbgrader.

A student's notebook is read for its written answers only. Nothing else of it (points, grade ids, cell types,
a kernelspec, duplicated or deleted cells) can matter: the notebook that is graded is the released one.
"""

from __future__ import annotations

import copy
import json
import os
import re
from pathlib import Path
from typing import Any

NOTEBOOK_BYTES = 50_000_000  #: the most that is read of a student's notebook
ANSWER_LETTERS = 100_000  #: the most that is kept of one answer
ATTACHMENT_BYTES = 2_000_000  #: the most that the pictures of one answer may hold

_PICTURES = ("image/png", "image/jpeg", "image/gif")
_BASE64 = re.compile(r"[A-Za-z0-9+/=\s]+")


def lay(pristine: dict[str, Any], submitted: Path) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Return the pristine notebook with the student's written answers, and sentences about what was wrong.

    Args:
        pristine: the released notebook, as JSON; left as it is
        submitted: the student's notebook, which may be missing or anything at all
    """
    laid = copy.deepcopy(pristine)
    cells, complaint = _cells(submitted)
    answers = [cell for cell in laid["cells"] if is_answer(cell)]
    for cell in answers:
        if complaint and os.path.lexists(submitted):  # it may hold answers that a person can read
            cell["metadata"]["autograder"] = {"is_open": True}
        else:
            _answer(cell, cells)
    return laid, (complaint,) if complaint else ()


def is_answer(cell: dict[str, Any]) -> bool:
    """Whether a student writes into this cell and a person grades it."""
    marks = cell.get("metadata", {}).get("nbgrader", {})
    return bool(marks.get("solution")) and cell.get("cell_type") == "markdown"


def _answer(cell: dict[str, Any], cells: list[dict[str, Any]]) -> None:
    """Copy a student's text into its cell, by the grade id, else by the cell's own id; lose no duplicate."""
    name = cell["metadata"]["nbgrader"]["grade_id"]
    found = [other for other in cells if _grade_id(other) == name]
    found = found or [other for other in cells if "id" in cell and other.get("id") == cell["id"]]
    empty = _text(cell)
    written = list(dict.fromkeys(_text(other) for other in found if _text(other).strip() != empty.strip()))
    if written:
        cell["source"] = "\n\n---\n\n".join(written)[:ANSWER_LETTERS]
        pictures = {name: data for other in found for name, data in _pictures(other).items()}
        if pictures:
            cell["attachments"] = pictures


def _cells(path: Path) -> tuple[list[dict[str, Any]], str]:
    """Read the cells of a student's notebook, whatever it is; or say why there are none."""
    if not os.path.lexists(path):
        return [], f"{path.name} is missing: the written questions count as not answered"
    fault = f"{path.name} cannot be read as a notebook: a person will look for the written answers"
    try:
        if path.is_symlink() or not path.is_file() or path.stat().st_size > NOTEBOOK_BYTES:
            return [], fault
        cells = json.loads(path.read_bytes())["cells"]
    except (OSError, ValueError, LookupError, TypeError, RecursionError):
        return [], fault
    if not isinstance(cells, list):
        return [], fault
    return [cell for cell in cells if isinstance(cell, dict)], ""


def _grade_id(cell: dict[str, Any]) -> object:
    metadata = cell.get("metadata")
    marks = metadata.get("nbgrader") if isinstance(metadata, dict) else None
    return marks.get("grade_id") if isinstance(marks, dict) else None


def _text(cell: dict[str, Any]) -> str:
    source = cell.get("source")
    lines = [source] if isinstance(source, str) else source if isinstance(source, list) else []
    text = "".join(line for line in lines if isinstance(line, str))
    return "".join(letter for letter in text if letter.isprintable() or letter in "\n\t")


def _pictures(cell: dict[str, Any]) -> dict[str, dict[str, str]]:
    """The pictures pasted into an answer: plain names, known kinds, honest base64, a bounded size."""
    kept: dict[str, dict[str, str]] = {}
    room = ATTACHMENT_BYTES
    attachments = cell.get("attachments")
    for name, kinds in attachments.items() if isinstance(attachments, dict) else ():
        for kind, data in kinds.items() if isinstance(kinds, dict) else ():
            is_picture = kind in _PICTURES and isinstance(data, str) and bool(_BASE64.fullmatch(data))
            if is_picture and re.fullmatch(r"[\w .()-]+", name) and len(data) <= room:
                room -= len(data)
                kept.setdefault(name, {})[kind] = data
    return kept
