"""Fleet: several judges examine a class at once, each with its own examiner and zygote.

Each finished report is kept at once (see store.py), so a run that was ended in any way can continue.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from dataclasses import replace

from autograder.course import Course
from autograder.grading.intake.submission import Submission
from autograder.grading.keep import store
from autograder.grading.pool.crew import Crew, Work
from autograder.report import Report
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
    on_begin: Callable[[], None] = lambda: None,
    again: frozenset[str] = frozenset(),
    shelf: str = store.REPORTS,
    cluster: str = "",
) -> list[Report]:
    """Return the report on every submission, in their order.

    Args:
        course: it keeps the reports and the class's seed
        submissions: of one assignment or of several
        jobs: how many judges work at once; 0 for one for each core
        seed: judge under this seed instead of the class's
        is_kept: use kept reports that are current, and keep the new ones
        allow_unisolated: judge without a sandbox if none works
        on_report: called with each report as it comes, in the calling thread
        on_begin: called after all kept reports, before the first examination begins
        again: examine these tasks again, and only these if the kept results of the others are current
        shelf: where reports are kept; with `again` a shelf other than the class's
        cluster: the address of a Dask scheduler whose workers examine instead of judges here

    Raises:
        SandboxError, AuthorError: as Judge; the reports that were finished before are kept
        KeyboardInterrupt: likewise
    """
    topics = {name: course.topic(name) for name in {parcel.assignment for parcel in submissions}}
    seeds = {name: store.class_seed(course, name) if seed is None else seed for name in topics}
    reports: dict[int, Report] = {}
    todo = []
    for number, parcel in enumerate(submissions):
        work = Work(number, parcel, topics[parcel.assignment], seeds[parcel.assignment])
        kept = None
        if is_kept:
            kept = store.load(course, work.topic, parcel, work.seed, allow_unisolated=allow_unisolated, shelf=shelf)
        if kept:
            reports[number] = kept
            on_report(kept)
            continue
        if again:
            found = store.load_apart(course, work.topic, parcel, work.seed, allow_unisolated=allow_unisolated)
            if found and found[1] <= again:
                work = replace(work, kept=found[0], tasks=again)
        todo.append(work)
    on_begin()
    todo = _longest_first(course, todo)
    if cluster:
        from autograder.grading.pool.cluster import examine_on  # Dask may not be installed

        finished = examine_on(cluster, todo, allow_unisolated=allow_unisolated)
    else:
        finished = _here(todo, jobs, allow_unisolated)
    with contextlib.closing(finished):
        for work, report in finished:
            if is_kept:
                store.save(course, work.topic, work.submission, report, shelf=shelf)
            reports[work.number] = report
            on_report(report)
    return [reports[number] for number in range(len(submissions))]


def _here(todo: Sequence[Work], jobs: int, allow_unisolated: bool) -> Generator[tuple[Work, Report], None, None]:
    """Examine on this machine; give each report as it comes."""
    at_once = min(jobs or cores(), max(len(todo), 1))
    crew = Crew(allow_unisolated=allow_unisolated, has_seats=1 < at_once <= cores())
    threads = ThreadPoolExecutor(at_once)
    try:
        examined = {threads.submit(crew.examine, work): work for work in todo}
        for future in as_completed(examined):
            yield examined[future], future.result()
    except BaseException:
        crew.abandon()
        raise
    finally:
        threads.shutdown(cancel_futures=True)
        crew.close()


class Fleet:
    """Judges of one assignment that stay warm between submissions, one for each core. A context manager.

    A report is the same as that of `examine_all`, is kept in the same place, and a kept report is used again.
    """

    def __init__(self, course: Course, topic: Topic, *, jobs: int = 0, allow_unisolated: bool = False) -> None:
        """Start all judges, and wait until they are ready.

        Raises:
            SandboxError, AuthorError: as Judge
        """
        self.jobs = jobs or cores()
        self.topic = topic
        self.suite = store.suite(topic)
        self._course = course
        self._allow_unisolated = allow_unisolated
        self._is_over = False
        self._crew = Crew(allow_unisolated=allow_unisolated, has_seats=1 < self.jobs <= cores())
        self._threads = ThreadPoolExecutor(self.jobs)
        together = threading.Barrier(self.jobs)  # so that each thread starts one judge

        def start() -> None:
            together.wait()
            nobody = Submission("", topic.id, topic.folder, None)
            self._crew.examine(Work(0, nobody, topic, store.class_seed(course, topic.id)))

        try:
            for started in [self._threads.submit(start) for _ in range(self.jobs)]:
                started.result()
        except BaseException:
            self.abandon()
            raise

    def begin(self, submission: Submission) -> Future[Report]:
        """Begin with a submission as soon as a judge is free; the first that is begun is the first examined."""
        return self._threads.submit(self._report_on, submission)

    def _report_on(self, submission: Submission) -> Report:
        seed = store.class_seed(self._course, self.topic.id)
        kept = store.load(self._course, self.topic, submission, seed, allow_unisolated=self._allow_unisolated)
        if kept:
            return kept
        report = self._crew.examine(Work(0, submission, self.topic, seed))
        if not self._is_over:  # the report of a judge that was ended is worth nothing
            store.save(self._course, self.topic, submission, report)
        return report

    def abandon(self) -> None:
        """End every judge at once; what is being examined gets no report that is kept."""
        self._is_over = True
        self._threads.shutdown(wait=False, cancel_futures=True)
        self._crew.abandon()
        self.close()

    def close(self) -> None:
        """Wait for what was begun, and end all judges."""
        self._threads.shutdown(cancel_futures=True)
        self._crew.close()

    def __enter__(self) -> Fleet:
        return self

    def __exit__(self, *_error: object) -> None:
        self.abandon()


def _longest_first(course: Course, todo: list[Work]) -> list[Work]:
    """Put slow submissions first, so that none delays the end: by the time that each, or one like it, took last.

    One submission of each assignment goes first, the costliest assignment before all others. Its judge examines the
    solution first, and the other submissions of the assignment wait for that. Meanwhile the other judges take the cheap
    assignments.
    """
    lasted: dict[str, dict[str, float]] = {}
    for name in {work.topic.id for work in todo}:
        lasted[name] = {report.student: report.seconds for report in store.reports(course, name)}

    def budget(work: Work) -> float:
        return sum(task.seconds for task in work.topic.tasks)

    def key(work: Work) -> tuple[float, str, float]:
        return -budget(work), work.topic.id, -lasted[work.topic.id].get(work.submission.student, budget(work))

    ordered = sorted(todo, key=key)
    first = {work.topic.id: work.number for work in reversed(ordered)}
    heads = [work for work in ordered if work.number == first[work.topic.id]]
    others = [work for work in ordered if work.number != first[work.topic.id]]
    return [*heads, *sorted(others, key=budget)]


def cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
