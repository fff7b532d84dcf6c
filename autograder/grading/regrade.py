"""Regrade: examine some tasks of a class anew, show whose marks change, and keep that only once somebody agrees.

The results of all other tasks stand, and it is checked that they may: each report names the state of each task's tests
(states.py). Until somebody agrees, the new reports lie on a shelf of their own, where an interrupted run goes on.
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
from autograder.grading import store
from autograder.grading.submission import Submission
from autograder.report import Report, TaskReport
from autograder.screen import printable
from autograder.topic import Topic


@dataclass(frozen=True)
class Change:
    """What a regrade makes of one student's report."""

    old: Report | None  #: None where nothing was examined before
    new: Report

    @property
    def tasks(self) -> tuple[tuple[TaskReport | None, TaskReport], ...]:
        """The tasks whose marks differ, as they were and as they are."""
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
    """Make sure that the results of all other tasks may stand; returns for how many submissions nothing stands.

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
    found = [
        store.load_apart(course, topic, parcel, seed, allow_unisolated=allow_unisolated) for parcel in parcels
    ]
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
    """Name the shelf where a regrade of these tasks keeps its reports until somebody agrees."""
    return f"regrade/{'+'.join(sorted(set(tasks)))}"


def changes(course: Course, topic: Topic, reports: Sequence[Report]) -> list[Change]:
    """Set each new report beside what was known of that student."""
    before = {report.student: report for report in store.reports(course, topic.id)}
    return [Change(before.get(report.student), report) for report in reports]


def accept(
    course: Course, topic: Topic, parcels: Sequence[Submission], reports: Sequence[Report], shelf: str
) -> None:
    """Let new reports take the place of the old ones."""
    for parcel, report in zip(parcels, reports, strict=True):
        store.save(course, topic, parcel, report)
    store.clear(course, topic.id, shelf)


def change_table(topic: Topic, found: Sequence[Change]) -> Group | str:
    """Show whose marks change: each task's, and the sum of all."""
    moved = [change for change in found if change.tasks]
    if not moved:
        return f"Nobody's mark changes ({len(found)} submissions)."
    table = Table(title=f"{topic.title}: whose mark changes", box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for heading in ("student", "task"):
        table.add_column(heading, no_wrap=heading == "student")
    for heading in ("old", "new", "old total", "new total"):
        table.add_column(heading, justify="right", no_wrap=True)
    for change in moved:
        totals = (f"{change.old.score:.4g}" if change.old else "-", f"{change.new.score:.4g}")
        names = [escape(printable(change.new.student))] + [""] * len(change.tasks)
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
    """Write one task's mark; '?' where a person has to look, '-' where there is none."""
    if task is None or task.missing:
        return "-"
    return "?" if task.status == "broken" else f"{task.score:.4g}"
