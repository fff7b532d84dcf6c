"""Grade: examine submissions, show and write the reports, and let nbgrader record a class."""

from __future__ import annotations

import json
from pathlib import Path

from rich.console import Console

from autograder import build, store
from autograder.collect import collect, submissions
from autograder.course import Course
from autograder.errors import CourseError
from autograder.examine import close_judges, report_on
from autograder.files import write_atomically
from autograder.judge import Judge
from autograder.report import Report
from autograder.screen import progress_bar, report_tables
from autograder.submission import Submission
from autograder.topic import Topic


def grade(
    course: Course,
    topic_id: str,
    paths: tuple[Path, ...],
    json_path: Path | None,
    *,
    seed: int | None = None,
    allow_unisolated: bool = False,
) -> int:
    """Examine some parcels, or the whole class of submitted/, which nbgrader then records.

    Args:
        paths: folders, module files or archives; none of them is recorded
        json_path: where the reports go, as the contract of `Report.to_json` has it
        seed: in the place of the class's own

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
    if paths:
        parcels = [collect(path, topic) for path in paths]
        reports = _examine(
            topic, parcels, store.class_seed(course, topic.id) if seed is None else seed, allow_unisolated
        )
    else:
        reports = _examine_class(course, topic, seed, allow_unisolated)
    if json_path is not None:
        text = json.dumps([report.to_json() for report in reports], indent=2, ensure_ascii=False) + "\n"
        write_atomically(json_path, text.encode("utf-8", "replace"))
    Console().print(report_tables(topic, reports))
    if not paths:
        _record(course, reports)
    return 1 if any(report.status == "broken" for report in reports) else 0


def _examine(topic: Topic, parcels: list[Submission], seed: int, allow_unisolated: bool) -> list[Report]:
    with Judge(topic, seed=seed, allow_unisolated=allow_unisolated) as judge, progress_bar() as progress:
        return [judge.examine(parcel) for parcel in progress.track(parcels, description="examine")]


def _examine_class(course: Course, topic: Topic, seed: int | None, allow_unisolated: bool) -> list[Report]:
    stale = build.stale(course, (topic.id,))
    if stale:
        raise CourseError(
            f"{stale[0]}: not what assignments/{topic.id} builds; run 'make release' and grade again"
        )
    parcels = submissions(course, topic)
    if not parcels:
        raise CourseError(
            f"{course.submitted}: nobody has handed in {topic.id}; collect first, or name the submissions"
        )
    try:
        with progress_bar() as progress:
            return [
                report_on(course, parcel, seed=seed, allow_unisolated=allow_unisolated)
                for parcel in progress.track(parcels, description="examine")
            ]
    finally:
        close_judges()


def _record(course: Course, reports: list[Report]) -> None:
    from autograder import gradebook

    with progress_bar() as progress:
        step = progress.add_task("record with nbgrader", total=len(reports))
        gradebook.record(course, reports, lambda _student: progress.advance(step))
