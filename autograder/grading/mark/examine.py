"""Examine: get the report on one submission: the kept report, or else a new one from the judge."""

from __future__ import annotations

import atexit
from pathlib import Path

from autograder.course import Course
from autograder.grading.intake.submission import Submission
from autograder.grading.keep import store
from autograder.grading.mark.judge import Judge
from autograder.report import Report
from autograder.topic import Topic

_judges: dict[Path, tuple[tuple[object, ...], Judge]] = {}


def report_on(
    course: Course, submission: Submission, *, seed: int | None = None, allow_unisolated: bool = False
) -> Report:
    """Return the report on a submission, and keep it.

    Args:
        course: it keeps the reports and the class's seed
        submission: what to examine
        seed: judge under this seed instead of the class's
        allow_unisolated: judge without a sandbox if none works
    """
    topic = course.topic(submission.assignment)
    drawn = store.class_seed(course, topic.id) if seed is None else seed
    kept = store.load(course, topic, submission, drawn, allow_unisolated=allow_unisolated)
    if kept:
        return kept
    report = judge_for(topic, seed=drawn, allow_unisolated=allow_unisolated).examine(submission)
    store.save(course, topic, submission, report)
    return report


def judge_for(topic: Topic, *, seed: int, allow_unisolated: bool = False) -> Judge:
    """Return this process's warm judge of a topic; a new judge is made if the topic's files have changed."""
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
