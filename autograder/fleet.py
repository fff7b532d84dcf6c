"""Fleet: a class examined by several judges at once, each with an examiner and a zygote of its own.

What is finished is kept at once (see store.py), so a run that is ended in any way goes on where it stood.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass

from autograder import store
from autograder.course import Course
from autograder.judge import Judge
from autograder.report import Report
from autograder.submission import Submission
from autograder.topic import Topic


def examine_all(
    course: Course,
    submissions: Sequence[Submission],
    *,
    jobs: int = 0,
    seed: int | None = None,
    is_kept: bool = True,
    allow_unisolated: bool = False,
    on_report: Callable[[Report], None] = lambda _report: None,
) -> list[Report]:
    """Return the report on every submission, in their order.

    Args:
        course: where reports and the class's seed lie
        submissions: of one assignment or of several
        jobs: how many judges work at once; 0 for one a core
        seed: judge under this seed instead of the class's
        is_kept: use the reports that were kept and still fit, and keep the new ones
        allow_unisolated: judge without a sandbox where none works
        on_report: hears of each report as it comes, in the calling thread

    Raises:
        SandboxError, AuthorError: as Judge; the reports that were finished before are kept
        KeyboardInterrupt: likewise
    """
    topics = {name: course.topic(name) for name in {parcel.assignment for parcel in submissions}}
    seeds = {name: store.class_seed(course, name) if seed is None else seed for name in topics}
    reports: dict[int, Report] = {}
    todo = []
    for number, parcel in enumerate(submissions):
        topic = topics[parcel.assignment]
        kept = None
        if is_kept:
            kept = store.load(course, topic, parcel, seeds[topic.id], allow_unisolated=allow_unisolated)
        if kept:
            reports[number] = kept
            on_report(kept)
        else:
            todo.append(_Work(number, parcel, topic, seeds[topic.id]))
    crew = _Crew(topics, allow_unisolated)
    threads = ThreadPoolExecutor(min(jobs or cores(), max(len(todo), 1)))
    try:
        examined = {threads.submit(crew.examine, work): work for work in _longest_first(course, todo)}
        for future in as_completed(examined):
            work, report = examined[future], future.result()
            if is_kept:
                store.save(course, work.topic, work.submission, report)
            reports[work.number] = report
            on_report(report)
    except BaseException:
        crew.abandon()
        raise
    finally:
        threads.shutdown(cancel_futures=True)
        crew.close()
    return [reports[number] for number in range(len(submissions))]


@dataclass(frozen=True)
class _Work:
    """One submission that waits for a judge."""

    number: int
    submission: Submission
    topic: Topic
    seed: int


def _longest_first(course: Course, todo: list[_Work]) -> list[_Work]:
    """Order the work so that a slow submission does not hold the end: by what it, or one like it, took last time."""
    lasted: dict[str, dict[str, float]] = {}
    for name in {work.topic.id for work in todo}:
        lasted[name] = {report.student: report.seconds for report in store.reports(course, name)}

    def key(work: _Work) -> tuple[float, str, float]:
        budget = sum(task.seconds for task in work.topic.tasks)
        return -budget, work.topic.id, -lasted[work.topic.id].get(work.submission.student, budget)

    return sorted(todo, key=key)


def cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class _Crew:
    """The judges of all threads: one each, of the topic that the thread is at."""

    def __init__(self, topics: Iterable[str], allow_unisolated: bool) -> None:
        self._allow_unisolated = allow_unisolated
        self._of_thread = threading.local()
        self._judges: list[Judge] = []
        self._is_over = False
        self._solving = {topic_id: threading.Lock() for topic_id in topics}

    def examine(self, work: _Work) -> Report:
        """Examine one submission, in the thread that calls."""
        judge: Judge | None = getattr(self._of_thread, "judge", None)
        if judge is None or judge.topic != work.topic:
            if judge is not None:
                judge.close()
            judge = Judge(work.topic, seed=work.seed, allow_unisolated=self._allow_unisolated)
            self._of_thread.judge = judge
            self._judges.append(judge)
        if self._is_over:
            judge.abandon()
        with self._solving[work.topic.id]:  # the first judge examines the solution; the others find that kept
            judge.manifest()
        return judge.examine(work.submission)

    def abandon(self) -> None:
        """End every judge at once."""
        self._is_over = True
        for judge in self._judges:
            judge.abandon()

    def close(self) -> None:
        """Clear away what the judges leave."""
        for judge in self._judges:
            judge.close()
