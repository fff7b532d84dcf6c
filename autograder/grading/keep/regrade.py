"""Regrade: examine some tasks of a class again, show whose marks change, and keep that only after a person has agreed.

The results of all other tasks stay, if their tests have not changed: each report names the state of each task's tests
(states.py). Until a person has agreed, the new reports are on a shelf of their own. An interrupted run continues from
there.
"""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass

from rich.box import SIMPLE_HEAD
from rich.console import Group
from rich.markup import escape
from rich.table import Table

from autograder.course import Course
from autograder.errors import CourseError
from autograder.grading.intake.submission import Submission
from autograder.grading.keep import store
from autograder.plain import one_line
from autograder.report import Report, TaskReport
from autograder.topic import Topic


@dataclass(frozen=True)
class Regraded:
    """The old and the new report of one student."""

    old: Report | None  #: None if nothing was examined before
    new: Report

    @property
    def tasks(self) -> tuple[tuple[TaskReport | None, TaskReport], ...]:
        """The tasks whose marks differ, each with its old and its new report."""
        before = {task.task: task for task in self.old.tasks} if self.old else {}
        pairs = ((before.get(task.task), task) for task in self.new.tasks)
        return tuple((old, new) for old, new in pairs if old is None or _differ(old, new))


def check_tasks(
    course: Course,
    topic: Topic,
    tasks: Sequence[str],
    parcels: Sequence[Submission],
    *,
    allow_unisolated: bool = False,
) -> int:
    """Check that the results of all other tasks can stay; returns the number of submissions without a current report.

    Raises:
        CourseError: there is no such task, or another task's tests have changed as well
    """
    known = [task.id for task in topic.tasks]
    for task in tasks:
        if task not in known:
            close = difflib.get_close_matches(task, known, n=1, cutoff=0.3)
            meant = f"did you mean {close[0]}?" if close else f"its tasks are {', '.join(known)}"
            raise CourseError(f"{topic.id}: no task {task!r}; {meant}")
    seed = store.class_seed(course, topic.id)
    found = [store.load_apart(course, topic, parcel, seed, allow_unisolated=allow_unisolated) for parcel in parcels]
    changed = {task for entry in found if entry for task in entry[1]}
    others = [task for task in known if task in changed and task not in tasks]
    if others:
        more = " ".join(f"--regrade {task}" for task in others)
        raise CourseError(
            f"{topic.id}: the tests of {', '.join(others)} have changed too since the class was examined; "
            f"add {more}, or grade everything without --regrade"
        )
    return sum(entry is None for entry in found)


def shelf_of(tasks: Sequence[str]) -> str:
    """Name the shelf where a regrade of these tasks keeps its reports until a person has agreed."""
    return f"regrade/{'+'.join(sorted(set(tasks)))}"


def changes(course: Course, topic: Topic, reports: Sequence[Report]) -> list[Regraded]:
    """Return each new report with the old report of the same student."""
    before = {report.student: report for report in store.reports(course, topic.id)}
    return [Regraded(before.get(report.student), report) for report in reports]


def accept(course: Course, topic: Topic, parcels: Sequence[Submission], reports: Sequence[Report], shelf: str) -> None:
    """Replace the old reports by the new ones."""
    for parcel, report in zip(parcels, reports, strict=True):
        store.save(course, topic, parcel, report)
    store.clear(course, topic.id, shelf)


def change_table(topic: Topic, found: Sequence[Regraded]) -> Group | str:
    """Show whose marks change, by task and in total."""
    moved = [change for change in found if change.tasks]
    if not moved:
        return f"Nobody's mark changes ({len(found)} submissions)."
    table = Table(title=f"{topic.title}: whose mark changes", box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for heading in ("student", "task"):
        table.add_column(heading, no_wrap=heading == "student")
    for heading in ("old", "new", "old total", "new total"):
        table.add_column(heading, justify="right", no_wrap=True)
    for change in moved:
        totals = (f"{change.old.score:.2f}" if change.old else "-", f"{change.new.score:.2f}")
        names = [escape(one_line(change.new.student))] + [""] * len(change.tasks)
        for name, (old, new) in zip(names, change.tasks, strict=False):
            table.add_row(name, new.task, _mark(old), _mark(new), *(totals if name else ("", "")))
    up = sum(change.old is not None and change.new.score > change.old.score for change in moved)
    down = sum(change.old is not None and change.new.score < change.old.score for change in moved)
    words = f"{len(moved)} of {len(found)} marks change: {up} up, {down} down"
    fresh = sum(change.old is None for change in moved)
    return Group(table, words + (f", {fresh} new" if fresh else "") + ".")


def _differ(old: TaskReport, new: TaskReport) -> bool:
    return (old.status, old.score, old.points) != (new.status, new.score, new.points)


def _mark(task: TaskReport | None) -> str:
    """Write one task's mark; '?' if a person has to look, '-' if there is none."""
    if task is None or task.missing:
        return "-"
    return "?" if task.status == "broken" else f"{task.score:.2f}"
