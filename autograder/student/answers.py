"""Look at a parcel's notebook: are the written answers there?"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from autograder.grading.intake.written import read_cells, text_of_cell
from autograder.limits import ANSWER_LETTERS
from autograder.plain import plain
from autograder.student.remark import Remark

_NO_ANSWER = ("", "YOUR ANSWER HERE")


def look_at_notebook(path: Path) -> Iterator[Remark]:
    """Find out whether the written answers are there. A person reads them, in this notebook only."""
    if not path.is_file():
        yield Remark("look", f"{path.name} is missing: your written answers are in it.")
        return
    cells, fault = read_cells(path)
    if fault:
        yield Remark("look", f"{plain(fault, 200)}. Your written answers are in it.")
        return
    answers = [cell for cell in cells if _is_answer(cell)]
    empty = [
        str(cell["metadata"]["nbgrader"].get("grade_id"))
        for cell in answers
        if text_of_cell(cell).strip() in _NO_ANSWER
    ]
    if not answers:
        yield Remark("look", f"{path.name} holds none of the cells for written answers: were they deleted?")
    for answer in empty:
        yield Remark("look", f"{path.name}: the written question '{plain(answer, 60)}' has no answer yet.")
    if answers and not empty:
        yield Remark("fine", f"{path.name}: {len(answers)} written answers.")
    for cell in answers:
        if len(text_of_cell(cell)) > ANSWER_LETTERS:
            name = plain(str(cell["metadata"]["nbgrader"].get("grade_id")), 60)
            yield Remark("look", f"{path.name}: the answer to '{name}' is cut after {ANSWER_LETTERS} letters.")


def _is_answer(cell: dict[str, Any]) -> bool:
    metadata = cell.get("metadata")
    marks = metadata.get("nbgrader") if isinstance(metadata, dict) else None
    return isinstance(marks, dict) and bool(marks.get("grade") and marks.get("solution"))
