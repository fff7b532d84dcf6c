"""Examine: get the report on one submission: the one handed over, else one kept, else the judge's."""

from __future__ import annotations

import atexit
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from autograder.course import Course
from autograder.grading import store
from autograder.grading.judge import Judge
from autograder.grading.submission import Submission
from autograder.report import Report
from autograder.topic import Topic

_judges: dict[Path, tuple[tuple[object, ...], Judge]] = {}
_handed: dict[tuple[str, str], Report] = {}


def report_on(
    course: Course, submission: Submission, *, seed: int | None = None, allow_unisolated: bool = False
) -> Report:
    """Return the report on a submission, and keep it.

    Args:
        course: where reports and the class's seed lie
        submission: what to examine
        seed: judge under this seed instead of the class's
        allow_unisolated: judge without a sandbox where none works
    """
    handed = _handed.get((submission.assignment, submission.student))
    if handed:
        return handed
    topic = course.topic(submission.assignment)
    drawn = store.class_seed(course, topic.id) if seed is None else seed
    kept = store.load(course, topic, submission, drawn, allow_unisolated=allow_unisolated)
    if kept:
        return kept
    report = judge_for(topic, seed=drawn, allow_unisolated=allow_unisolated).examine(submission)
    store.save(course, topic, submission, report)
    return report


@contextmanager
def handing(reports: Iterable[Report]) -> Iterator[None]:
    """Within this block these reports stand as they are; their submissions are not judged again."""
    handed = {(report.assignment, report.student): report for report in reports}
    _handed.update(handed)
    try:
        yield
    finally:
        for key in handed:
            _handed.pop(key, None)


def judge_for(topic: Topic, *, seed: int, allow_unisolated: bool = False) -> Judge:
    """Return this process's warm judge of a topic: made once, and again when its files have changed."""
    key = (store.suite(topic), seed, allow_unisolated)
    if topic.folder in _judges:
        known, judge = _judges[topic.folder]
        if known == key:
            return judge
        judge.close()
    judge = Judge(topic, seed=seed, allow_unisolated=allow_unisolated)
    _judges[topic.folder] = key, judge
    return judge


@atexit.register
def close_judges() -> None:
    """End every warm judge of this process."""
    while _judges:
        _, (_, judge) = _judges.popitem()
        judge.close()
