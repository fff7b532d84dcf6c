"""The commands `autograder hint` and `autograder submit`, and what a student reads from them."""

from __future__ import annotations

import shutil
import textwrap
from collections.abc import Iterable
from pathlib import Path

from autograder.student import look, submit
from autograder.student.check import write
from autograder.student.hint import Given, give
from autograder.student.public_tests import find_public_tests, refusal, run_public_tests
from autograder.student.remark import Remark
from autograder.student.report import Look, StyledLine, wrapped


def hint_command(task: str | None, folder: Path) -> int:
    """Print the next hint of a task; if no task is given, of the next task.

    Returns:
        0, or 2 if there is no such task
    """
    tests = find_public_tests(folder)
    if tests is None or (said := refusal(tests, task)):
        print(said if tests else f"No assignment in {folder}: go into the folder of one.")
        return 2
    if task is None:
        run = run_public_tests(folder)
        if run.progress is None or run.progress.next_task is None:
            print(run.sentence or "All public tests pass: there is nothing to give a hint on.")
            return 0
        task = run.progress.next_task.task
    given = give(folder, tests, task)
    write(hint_lines(given, width=shutil.get_terminal_size().columns))
    if not given.is_last:
        print(f"    For the next hint: `autograder hint {task}`.")
    return 0


def submit_command(folder: Path, *, is_dry: bool = False) -> int:
    """Say what the grader will find in `folder`, and hand it in unless the grader would find nothing.

    Returns:
        0 handed in, 1 not handed in
    """
    remarks = look.examine(folder)
    write(remark_lines(remarks))
    if any(remark.level == "stop" for remark in remarks):
        print("Not handed in: the grader would find nothing to examine. Correct that first.")
        return 1
    if is_dry:
        return 0
    if submit.has_exchange(folder):
        fault = submit.to_exchange(folder)
        if not fault:
            print("Handed in through nbgrader's exchange. You may hand in again; the last one counts.")
            return 0
        print(f"nbgrader's exchange did not take it: {fault}")
    print(f"Packed: {submit.pack(folder)}\nHand this file in where your teacher asked for it.")
    return 0


def hint_lines(given: Given, *, width: int = 80) -> list[StyledLine]:
    """Lay out the hints that were given for a task, the new one last."""
    if not given.hints:
        return wrapped(f"{given.title}: there is no hint; read the docstring again.", "text", width)
    found: list[StyledLine] = []
    for number, hint in enumerate(given.hints, 1):
        is_new = number == len(given.hints)
        found.append(StyledLine(((f"  {given.title}: hint {number} of {given.of}", "title" if is_new else "quiet"),)))
        for text in hint.sentences:
            found += wrapped(text, "text" if is_new else "quiet", width, indent=4)
        if hint.listed and is_new:
            found.append(StyledLine((("    What the public tests of this task say:", "text"),)))
            for text in hint.listed:
                found += wrapped(f"- {text}", "text", width, indent=6)
    if given.is_last:
        found += wrapped("That was the last one. Nobody minds a question to your teacher.", "quiet", width)
    return found


def remark_lines(remarks: Iterable[Remark], *, width: int = 80) -> list[StyledLine]:
    """Lay out what was found in a parcel, the most important last."""
    marks: dict[str, tuple[str, Look]] = {
        "fine": ("ok  ", "passed"),
        "look": ("look", "command"),
        "stop": ("STOP", "failed"),
    }
    found = []
    for remark in sorted(remarks, key=lambda remark: list(marks).index(remark.level)):
        mark, look = marks[remark.level]
        first, *rest = textwrap.wrap(remark.sentence, max(width - 8, 30), break_on_hyphens=False)
        found.append(StyledLine(((f"  {mark}  ", look), (first, "text"))))
        found += [StyledLine(((f"        {row}", "text"),)) for row in rest]
    return found
