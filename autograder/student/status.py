"""`autograder status`: the progress of every assignment of a student, one line each, and the next task."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from autograder.student.progress import Progress
from autograder.student.public_tests import PublicRun, find_public_tests, run_public_tests
from autograder.student.report import Look, StyledLine, bar, command


def assignments(folder: Path) -> list[Path]:
    """Return the folder itself if it is an assignment, else the assignments in it, in the order of their names."""
    if find_public_tests(folder) is not None:
        return [folder]
    inside = (path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))
    return sorted(path for path in inside if find_public_tests(path) is not None)


def status(folders: list[Path], *, ascii_only: bool = False) -> Iterator[StyledLine]:
    """Run the public tests of each assignment, and yield its line as soon as it is known.

    A line has a bar, the points that the public tests reach, and the task to continue with.
    """
    longest = max(len(folder.name) for folder in folders)
    for folder in folders:
        run = run_public_tests(folder)
        spans: list[tuple[str, Look]] = [(f"  {folder.name:<{longest}}  ", "title")]
        spans += _spans(run, ascii_only=ascii_only)
        yield StyledLine(tuple(spans))


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
