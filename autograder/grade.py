"""Grade: examine submissions, show and write the reports, and let nbgrader record a class."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import click
from rich.console import Console
from rich.markup import escape

from autograder.course import Course
from autograder.errors import CourseError
from autograder.files import write_atomically
from autograder.grading.intake.attempts import admit
from autograder.grading.intake.collect import collect, submissions
from autograder.grading.intake.submission import Submission
from autograder.grading.keep import regrade, store
from autograder.grading.pool.fleet import examine_all
from autograder.groups import share
from autograder.people import gone
from autograder.plain import one_line
from autograder.report import Report
from autograder.screen import counted, report_tables
from autograder.topic import Topic

INTERRUPTED = 130  #: the exit code after Ctrl-C, as a shell has it


def grade(
    course: Course,
    topic_id: str,
    paths: tuple[Path, ...],
    json_path: Path | None,
    *,
    seed: int | None = None,
    jobs: int = 0,
    is_quiet: bool = False,
    allow_unisolated: bool = False,
    tasks: tuple[str, ...] = (),
    is_agreed: bool = False,
    cluster: str = "",
) -> int:
    """Examine some parcels, or the whole class in submitted/, which nbgrader then records.

    Args:
        paths: folders, module files or archives; none of them is recorded
        json_path: the file for the reports, in the form of `Report.to_json`
        seed: use this seed instead of the class's
        jobs: how many submissions are examined at once; 0 for one for each core
        is_quiet: print one line at the end, for a log
        tasks: examine only these again, and record the result after a person has seen whose marks change
        is_agreed: record it without asking
        cluster: the address of a Dask scheduler whose workers examine

    Returns:
        the exit code: 0; 1 if a report is broken and a person has to look, or if nobody agreed; 130 after Ctrl-C

    Raises:
        CourseError: there is nothing to grade, or the marks cannot be recorded; nothing is examined then
        SubmissionError: there is nothing at a path
        SandboxError: no isolation works here
    """
    topic = course.topic(topic_id)
    if json_path is not None and not json_path.parent.is_dir():
        raise CourseError(f"{json_path.parent}: no such folder for the reports; make it first")
    if tasks and (paths or seed is not None):
        raise CourseError(
            "--regrade: is for the class in submitted/, under its own seed; leave the names and --seed out"
        )
    parcels = [collect(path, topic) for path in paths] if paths else _class(course, topic)
    shelf = regrade.shelf_of(tasks) if tasks else store.REPORTS
    if tasks:
        unfit = regrade.check_tasks(course, topic, tasks, parcels, allow_unisolated=allow_unisolated)
        if unfit and not is_quiet:
            print(f"{unfit} of {len(parcels)} submissions have no current report and will be examined")
    with counted("examine", len(parcels), is_quiet=is_quiet) as count:

        def show(report: Report) -> None:
            count.advance()
            if report.status == "broken":
                count.say(f"{escape(one_line(report.student))}: {_why_broken(report)}")

        try:
            reports = examine_all(
                course,
                parcels,
                jobs=jobs,
                seed=seed,
                is_kept=not paths,
                allow_unisolated=allow_unisolated,
                on_report=show,
                on_begin=count.begin_here,
                again=frozenset(tasks),
                shelf=shelf,
                cluster=cluster,
            )
        except KeyboardInterrupt:
            kept = "" if paths else " and kept; run it again to go on"
            return _stopped(f"{count.done} of {len(parcels)} are examined{kept}")
    if json_path is not None:
        text = json.dumps([report.to_json() for report in reports], indent=2, ensure_ascii=False) + "\n"
        write_atomically(json_path, text.encode("utf-8", "replace"))
    if tasks:
        found = regrade.changes(course, topic, reports)
        Console().print(regrade.change_table(topic, found))
        if not (is_agreed or _agrees()):
            return 1
        regrade.accept(course, topic, parcels, reports, shelf)
    elif not is_quiet:
        Console().print(report_tables(topic, reports))
    if not paths:
        with counted("record with nbgrader", len(reports), is_quiet=is_quiet) as count:
            from autograder.recording import gradebook  # it imports nbgrader, which takes a second

            try:
                gradebook.record(course, reports, lambda _student: count.advance())
            except KeyboardInterrupt:
                recorded = f"{count.done} of {len(reports)} are recorded; run it again to go on"
                return _stopped(f"all are examined and kept; {recorded}")
    broken = sum(report.status == "broken" for report in reports)
    if is_quiet:
        print(f"{topic.id}: {len(reports)} examined, {broken} broken")
    return 1 if broken else 0


def _agrees() -> bool:
    """Ask whether to record the new marks; if nobody can answer, do not record them."""
    if not sys.stdin.isatty():
        print("Nothing is recorded, because nobody can agree here: run it again with --yes.", file=sys.stderr)
        return False
    if click.confirm("Record this?"):
        return True
    print("Nothing is recorded. The new reports are kept aside until you run it again.", file=sys.stderr)
    return False


def _stopped(where: str) -> int:
    """Say where Ctrl-C stopped the run, and return the exit code."""
    print(f"Stopped: {where}.", file=sys.stderr)
    return INTERRUPTED


def _why_broken(report: Report) -> str:
    """Say which task a person must look at, and why."""
    task = next(task for task in report.tasks if task.status == "broken")
    why = next((result.sentence for result in task.results if result.outcome == "broken"), "")
    return f"a person has to look at {task.task} ({escape(one_line(why, 160))})"


def require_released(course: Course, topic: Topic) -> None:
    """Stop if marks of an assignment cannot be recorded: it is not released, or not as it is now.

    Raises:
        CourseError: why, and what to do
    """
    from autograder.authoring import build  # a single submission needs none of it

    stale = build.stale(course, (topic.id,))
    if stale:
        raise CourseError(
            f"{stale[0]}: not what assignments/{topic.id} builds; run `autograder release {topic.id}` and grade again"
        )
    from autograder.recording import gradebook  # it imports nbgrader, which takes a second

    gradebook.check(course, topic.id)


def _class(course: Course, topic: Topic) -> list[Submission]:
    """Return what the class has handed in."""
    require_released(course, topic)
    for sentence in share(course, topic.id):
        print(sentence)
    left = gone(course)
    parcels = [admit(course, topic, parcel) for parcel in submissions(course, topic) if parcel.student not in left]
    if not parcels:
        raise CourseError(
            f"{course.submitted}: nobody has handed in {topic.id}; collect first, or name the submissions"
        )
    return parcels
