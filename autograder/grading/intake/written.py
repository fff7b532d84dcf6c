"""Written: the cells of a student's notebook, which hold the written answers. The file may hold anything at all."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from autograder.grading.intake.parcel import UNREADABLE, Complaint, open_file
from autograder.limits import ANSWER_LETTERS, NOTEBOOK_BYTES, NOTEBOOK_PARTS
from autograder.plain import lines_of


def read_cells(path: Path) -> tuple[list[dict[str, Any]], str]:
    """Read the cells of a student's notebook, which may be any file; or say why there are none."""
    if not os.path.lexists(path):
        return [], f"{path.name} is missing: the written questions count as not answered"
    try:
        with open_file(path) as stream:
            data = stream.read(NOTEBOOK_BYTES + 1)
        if len(data) > NOTEBOOK_BYTES or sum(map(data.count, (b",", b"[", b"{"))) > NOTEBOOK_PARTS:
            raise Complaint("too large; clear the outputs of its cells")
        cells = json.loads(data)["cells"]
        if not isinstance(cells, list):
            raise TypeError
    except (*UNREADABLE, Complaint, TypeError, MemoryError) as error:
        why = f" ({error})" if isinstance(error, Complaint) else ""
        fault = f"{path.name} cannot be read as a notebook{why}"
        return [], f"{fault}: a person will look for the written answers"
    return [cell for cell in cells if isinstance(cell, dict)], ""


def text_of_cell(cell: dict[str, Any]) -> str:
    """The printable text of a cell, which may be anything; only the beginning of a long text."""
    source = cell.get("source")
    lines = [source] if isinstance(source, str) else source if isinstance(source, list) else []
    return lines_of("".join(line for line in lines if isinstance(line, str))[: 2 * ANSWER_LETTERS])
