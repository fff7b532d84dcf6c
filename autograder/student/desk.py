"""What a student reads of `autograder hint` and `autograder submit`, and the two commands."""

from __future__ import annotations

import shutil
import textwrap
from collections.abc import Iterable
from pathlib import Path

from autograder.student import submit
from autograder.student.check import write
from autograder.student.hint import Given, give
from autograder.student.public_tests import find_public_tests, refusal, run_public_tests
from autograder.student.report import Line, Look, wrapped


def hint_command(task: str | None, folder: Path) -> int:
    """Print the next hint of a task; without one, of the task that comes next.

    Returns:
        0, or 2 where there is no such task
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
        print(f"    Once more, `autograder hint {task}`, goes further.")
    return 0


def submit_command(folder: Path, *, is_dry: bool = False) -> int:
    """Say what the grader will find in `folder`, and hand it in unless it would find nothing.

    Returns:
        0 handed in, 1 not handed in
    """
    findings = submit.examine(folder)
    write(finding_lines(findings))
    if any(finding.level == "stop" for finding in findings):
        print("Not handed in: the grader would find nothing to examine. Mend that first.")
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


def hint_lines(given: Given, *, width: int = 80) -> list[Line]:
    """Lay out the hints that were given of a task, the new one last."""
    if not given.hints:
        return wrapped(f"{given.title}: there is no hint; read the docstring once more.", "text", width)
    found: list[Line] = []
    for number, hint in enumerate(given.hints, 1):
        is_new = number == len(given.hints)
        found.append(
            Line(((f"  {given.title}: hint {number} of {given.of}", "title" if is_new else "quiet"),))
        )
        for text in hint.sentences:
            found += wrapped(text, "text" if is_new else "quiet", width, indent=4)
        if hint.listed and is_new:
            found.append(Line((("    What the public tests of this task say:", "text"),)))
            for text in hint.listed:
                found += wrapped(f"- {text}", "text", width, indent=6)
    if given.is_last:
        found += wrapped("That was the last one. Nobody minds a question to your teacher.", "quiet", width)
    return found


def finding_lines(findings: Iterable[submit.Finding], *, width: int = 80) -> list[Line]:
    """Lay out what was found in a parcel, what matters most last."""
    marks: dict[str, tuple[str, Look]] = {
        "fine": ("ok  ", "passed"),
        "look": ("look", "command"),
        "stop": ("STOP", "failed"),
    }
    found = []
    for finding in sorted(findings, key=lambda finding: list(marks).index(finding.level)):
        mark, look = marks[finding.level]
        first, *rest = textwrap.wrap(finding.sentence, max(width - 8, 30), break_on_hyphens=False)
        found.append(Line(((f"  {mark}  ", look), (first, "text"))))
        found += [Line(((f"        {row}", "text"),)) for row in rest]
    return found
