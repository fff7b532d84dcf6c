"""What the teacher's commands show: their progress, and tables of the results."""

from __future__ import annotations

import contextlib
import sys
import textwrap
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING

from rich.box import SIMPLE_HEAD
from rich.console import Console, Group
from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    SpinnerColumn,
    Task,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table
from rich.text import Text

from autograder import extras
from autograder.course import Course
from autograder.plain import one_line
from autograder.report import Report, TaskReport
from autograder.topic import Topic

if TYPE_CHECKING:
    from autograder.authoring.survivors import Hunt


def progress_bar(*, is_quiet: bool = False) -> Progress:
    """Return a progress bar on standard error, so that what is printed can be piped; none at all if quiet."""
    return Progress(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        _Rate(),
        TimeElapsedColumn(),
        TextColumn("left:"),
        TimeRemainingColumn(),
        console=Console(file=sys.stderr),
        disable=is_quiet,
    )


class Count:
    """How many submissions are done: `done` for code that stops the run, a progress bar for the person who waits."""

    def __init__(self, progress: Progress, what: str, total: int) -> None:
        self.done = 0
        self._progress = progress
        self._step = progress.add_task(what, total=total)

    def advance(self) -> None:
        """Count one more."""
        self.done += 1
        self._progress.advance(self._step)

    def begin_here(self) -> None:
        """Count the submissions so far as done before: they do not show how long the others take."""
        self._progress.reset(self._step, completed=self.done)

    def say(self, text: str) -> None:
        """Print a line above the bar; markup counts."""
        self._progress.console.print(text)


@contextlib.contextmanager
def counted(what: str, total: int, *, is_quiet: bool) -> Iterator[Count]:
    """Show a progress bar for a class while the context lasts."""
    with progress_bar(is_quiet=is_quiet) as progress:
        yield Count(progress, what, total)


class _Rate(ProgressColumn):
    """How many are done in a minute, or in a second if there are many."""

    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        if not speed:
            return Text("")
        return Text(f"{speed:.1f}/s" if speed >= 1 else f"{60 * speed:.1f}/min")


def report_tables(topic: Topic, reports: Iterable[Report], stories: Mapping[str, str] | None = None) -> Group:
    """Show one assignment in two tables that fit 80 columns: marks, and what each student reads first.

    Args:
        stories: student -> a remark before the hint (the demo says what each student did)
    """
    scores = Table(title=f"{topic.title}: {topic.points:g} points by tests", box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    scores.add_column("student", no_wrap=True)
    for task in topic.tasks:
        scores.add_column(task.number or task.id, justify="right", no_wrap=True)
    scores.add_column("total", justify="right", style="bold", no_wrap=True)
    words = Table(box=None, padding=(0, 2, 0, 0), show_header=False)
    words.add_column(no_wrap=True)
    words.add_column()
    left_out: dict[str, str] = {}
    for report in reports:
        left_out |= {task.task: task.hint for task in report.tasks if task.missing}
        name = escape(one_line(report.student))
        scores.add_row(name, *(score_cell(task) for task in report.tasks), f"{report.score:.2f}")
        story = (stories or {}).get(report.student, "")
        words.add_row(name, (f"[dim]{escape(story)}[/]\n" if story else "") + escape(said(report)))
    notes = [
        f"{topic.task(task).number or task}: {hint}; it is left out of every total\n" for task, hint in left_out.items()
    ]
    return Group(scores, *notes, "What each student reads first:\n", words)


def score_cell(task: TaskReport) -> str:
    """Show a task's score; '?' if a person must look, '-' if it could not be graded here."""
    if task.missing:
        return "[dim]-[/]"
    if task.status == "broken":
        return "[magenta]?[/]"
    colour = "green" if task.score == task.points else "red" if task.score == 0 else "yellow"
    return f"[{colour}]{task.score:.2f}[/]"


def said(report: Report) -> str:
    """Return the first thing that a student reads: a complaint about the parcel, else the first hint."""
    words = [*report.complaints, *(task.hint for task in report.tasks if task.hint and not task.missing)]
    wall = "" if report.isolation != "D" else "[not isolated] "
    return wall + (textwrap.shorten(one_line(words[0]), 160, placeholder=" ...") if words else "All tests passed.")


def verify_all(course: Course, ids: tuple[str, ...], *, is_full: bool, allow_unisolated: bool) -> int:
    """Verify assignments, show which gates did not hold, and return the exit code."""
    from autograder.authoring.verification import record
    from autograder.authoring.verify import verify

    count = 0
    for topic in course.topics(ids):
        with Console(file=sys.stderr).status(topic.id) as status:
            verdict = verify(
                topic,
                is_full=is_full,
                allow_unisolated=allow_unisolated,
                on_step=lambda step, topic=topic, status=status: status.update(f"{topic.id}: {escape(step)}"),  # type: ignore[misc]
            )
        for task in topic.tasks:
            if not task.is_gradable:
                print(f"{topic.id}: {task.id} is {extras.sentence(task.extra)}")
        for finding in verdict.findings:
            print(f"{topic.id}: {finding}")
        if not verdict.findings:
            print(f"{topic.id}: every gate holds ({_tried(topic, verdict.hunt)})")
        for remark in verdict.remarks:
            print(f"{topic.id}: note: {remark}")
        record(course, topic, verdict)
        count += len(verdict.findings)
    return 1 if count else 0


def _tried(topic: Topic, hunt: Hunt | None) -> str:
    """Say how much a verification tried."""
    words = f"{len(topic.mistakes)} mistakes caught"
    words += f", {len(topic.alternatives)} alternatives accepted"
    return words + (f", {hunt.killed} mutants killed, {hunt.equivalent} equivalent" if hunt else "")


def run_demo(course: Course, ids: tuple[str, ...]) -> None:
    """Run the demo in the course's folder demo/."""
    from autograder.demo import demo

    demo(course, course.root / "demo", ids, Console())
