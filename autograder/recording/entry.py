"""Entry: what nbgrader's gradebook has of an assignment, and whether marks can be recorded there."""

from __future__ import annotations

import json
from typing import Any

from nbgrader.api import MissingEntry

#: nbgrader starts the kernel that the gradebook names. No kernel has this name, so stock nbgrader runs nothing.
NO_KERNEL = {
    "name": "none-because-autograder-grade-examines-this",
    "display_name": "none: `autograder grade` examines this, and no notebook is run",
    "language": "python",
}


def lacking(book: Any, assignment: str, released: dict[str, Any]) -> str:
    """Say what the gradebook lacks for recording, and the command that helps; empty if it lacks nothing.

    Args:
        book: nbgrader's gradebook, open
        assignment: its id
        released: the released notebook, as JSON
    """
    cure = f"run `autograder release {assignment}`"
    try:
        entry = book.find_assignment(assignment)
    except MissingEntry:
        return f"the gradebook knows no assignment {assignment!r}; {cure}"
    notebook = next((notebook for notebook in entry.notebooks if notebook.name == assignment), None)
    if notebook is None:
        date = f" and the due date {entry.duedate:%Y-%m-%d %H:%M} UTC" if entry.duedate else ""
        kept = ", which keeps the date" if entry.duedate else ""
        return f"the gradebook has the name {assignment!r}{date}, but no cells to grade; {cure}{kept}"
    known = {cell.name: float(cell.max_score) for cell in notebook.grade_cells}
    for name, points in _points(released).items():
        if known.get(name) != points:
            has = f"has {known[name]:g} points" if name in known else "is missing"
            return f"release/{assignment}: {name} has {points:g} points, and in the gradebook it {has}; {cure}"
    return ""


def repair(book: Any, assignment: str) -> None:
    """Remove the remains of a failed grading of an assignment without notebooks; its due date stays.

    Such a submission has no cells, so it has no marks. nbgrader refuses to generate as long as it is there.
    """
    try:
        entry = book.find_assignment(assignment)
    except MissingEntry:
        return
    if not entry.notebooks:
        for submission in list(entry.submissions):
            book.remove_submission(assignment, submission.student_id)


def forbid_running(book: Any, assignment: str) -> None:
    """Name a kernel that does not exist, so that an nbgrader without this package runs no student's notebook."""
    wanted = json.dumps(NO_KERNEL)
    for notebook in book.find_assignment(assignment).notebooks:
        if notebook.kernelspec != wanted:
            notebook.kernelspec = wanted
    book.db.commit()


def _points(notebook: dict[str, Any]) -> dict[str, float]:
    """Return the points of each graded cell of a released notebook."""
    marks = (cell.get("metadata", {}).get("nbgrader", {}) for cell in notebook["cells"])
    return {mark["grade_id"]: float(mark["points"]) for mark in marks if mark.get("grade")}
