"""Grade: examine submissions, show and write the reports, and let nbgrader record a class."""

from __future__ import annotations

import json
from pathlib import Path

from rich.console import Console
from rich.markup import escape

from autograder import build
from autograder.attempts import admit
from autograder.collect import collect, submissions
from autograder.course import Course
from autograder.errors import CourseError
from autograder.files import write_atomically
from autograder.fleet import examine_all
from autograder.report import Report
from autograder.screen import printable, progress_bar, report_tables
from autograder.submission import Submission
from autograder.topic import Topic


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
) -> int:
    """Examine some parcels, or the whole class of submitted/, which nbgrader then records.

    Args:
        paths: folders, module files or archives; none of them is recorded
        json_path: where the reports go, as the contract of `Report.to_json` has it
        seed: in the place of the class's own
        jobs: how many submissions are examined at once; 0 for one a core
        is_quiet: print one line at the end, for a log

    Returns:
        the exit code: 0, or 1 where a report is broken and a person has to look

    Raises:
        CourseError: there is nothing to grade, or the result has nowhere to go
        SubmissionError: a path leads nowhere
        SandboxError: no isolation can be had here
    """
    topic = course.topic(topic_id)
    if json_path is not None and not json_path.parent.is_dir():
        raise CourseError(f"{json_path.parent}: no such folder for the reports; make it first")
    parcels = [collect(path, topic) for path in paths] if paths else _class(course, topic)
    with progress_bar(is_quiet=is_quiet) as progress:
        step = progress.add_task("examine", total=len(parcels))

        def show(report: Report) -> None:
            progress.advance(step)
            if report.status == "broken":
                progress.console.print(f"{escape(printable(report.student))}: a person has to look at it")

        reports = examine_all(
            course,
            parcels,
            jobs=jobs,
            seed=seed,
            is_kept=not paths,
            allow_unisolated=allow_unisolated,
            on_report=show,
        )
    if json_path is not None:
        text = json.dumps([report.to_json() for report in reports], indent=2, ensure_ascii=False) + "\n"
        write_atomically(json_path, text.encode("utf-8", "replace"))
    if not is_quiet:
        Console().print(report_tables(topic, reports))
    if not paths:
        from autograder import gradebook  # it imports nbgrader, which takes a second

        with progress_bar(is_quiet=is_quiet) as progress:
            step = progress.add_task("record with nbgrader", total=len(reports))
            gradebook.record(course, reports, lambda _student: progress.advance(step))
    broken = sum(report.status == "broken" for report in reports)
    if is_quiet:
        print(f"{topic.id}: {len(reports)} examined, {broken} broken")
    return 1 if broken else 0


def _class(course: Course, topic: Topic) -> list[Submission]:
    """Return what the class has handed in."""
    stale = build.stale(course, (topic.id,))
    if stale:
        raise CourseError(
            f"{stale[0]}: not what assignments/{topic.id} builds; run 'make release' and grade again"
        )
    parcels = [admit(course, topic, parcel) for parcel in submissions(course, topic)]
    if not parcels:
        raise CourseError(
            f"{course.submitted}: nobody has handed in {topic.id}; collect first, or name the submissions"
        )
    return parcels
