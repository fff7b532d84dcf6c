"""`autograder status`: the progress of every assignment of a student, one line each, and the course's checklist.

The line comes from the last run of all public tests of the assignment. They run again only if something has changed.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable, Iterator
from pathlib import Path

from autograder.dates import left
from autograder.student.card import read_card
from autograder.student.checklist import checklist
from autograder.student.memory import recall
from autograder.student.progress import Progress, progress
from autograder.student.public_tests import PublicRun, find_public_tests, main_module, run_public_tests
from autograder.student.report import Look, StyledLine, bar, command


def assignments(folder: Path) -> list[Path]:
    """Return the folder itself if it is an assignment, else the assignments in it, in the order of their names."""
    if find_public_tests(folder) is not None:
        return [folder]
    inside = (path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))
    return sorted(path for path in inside if find_public_tests(path) is not None)


def status(
    folders: list[Path], *, ascii_only: bool = False, on_run: Callable[[Path], None] = lambda _: None
) -> Iterator[StyledLine]:
    """Yield the line of each assignment as soon as it is known, then the checklist if there are several assignments.

    A line has a bar, the points that the public tests reach, the task to continue with, and when it is due.

    Args:
        folders: the assignments
        ascii_only: for a terminal that cannot write block characters
        on_run: called with an assignment before its tests run
    """
    longest = max(len(folder.name) for folder in folders)
    found = []
    for folder in folders:
        run = _last_run(folder)
        if run is None:
            on_run(folder)
            run = run_public_tests(folder)
        spans: list[tuple[str, Look]] = [(f"  {folder.name:<{longest}}  ", "title")]
        spans += _spans(run, ascii_only=ascii_only)
        card = read_card(folder)
        found.append((card, run.progress))
        due = card.get("due")
        if isinstance(due, datetime.datetime) and due.tzinfo is not None:
            spans.append((f"  due {left(due, datetime.datetime.now(datetime.UTC))}", "quiet"))
        yield StyledLine(tuple(spans))
    if len(folders) > 1:
        yield from checklist(found)


def _last_run(folder: Path) -> PublicRun | None:
    tests, trials = find_public_tests(folder), recall(folder)
    return PublicRun(progress(trials, folder, main_module(tests))) if tests and trials else None


def _spans(run: PublicRun, *, ascii_only: bool) -> list[tuple[str, Look]]:
    if run.progress is None:
        return [(run.sentence, "failed")]
    done, following = _share(run.progress), run.progress.next_task
    look: Look = "passed" if following is None else "quiet" if not done else "text"
    spans: list[tuple[str, Look]] = [(f"{bar(done, ascii_only=ascii_only)} {done:>4.0%}  ", look)]
    if following is None:
        return [*spans, ("all public tests pass", "passed")]
    name = f"{following.number} {following.title}".strip()
    return [*spans, (f"next: {name}", "text"), (f"  ({command(following)})", "command")]


def _share(progress: Progress) -> float:
    """The points that the public tests give, as a share of all that they can give, for tasks that can be tried here."""
    tasks = [task for task in progress.tasks if task.is_here]
    weights = [1.0 if task.points is None else task.points for task in tasks]
    reached = sum(weight * task.share for weight, task in zip(weights, tasks, strict=True))
    return reached / sum(weights) if sum(weights) else 0.0
