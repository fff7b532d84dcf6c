"""Crew: the judges of one process. Each thread has one judge, for the topic of its present submission."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Iterator
from dataclasses import dataclass

from autograder.grading.intake.submission import Submission
from autograder.grading.mark.judge import Judge
from autograder.report import Report
from autograder.topic import Topic


@dataclass(frozen=True)
class Work:
    """One submission that waits for a judge."""

    number: int  #: its place in the list of submissions
    submission: Submission
    topic: Topic
    seed: int
    kept: Report | None = None  #: an earlier report, whose results stay except those of `tasks`
    tasks: frozenset[str] = frozenset()


class _Seat(threading.local):
    """What belongs to each thread: a judge, and the number of its seat."""

    judge: Judge | None = None

    def __init__(self, numbers: Iterator[int | None]) -> None:
        self.number = next(numbers)


class Crew:
    """Examines one submission after the other in every thread that asks."""

    def __init__(self, *, allow_unisolated: bool, has_seats: bool = False) -> None:
        """Start without a judge.

        Args:
            has_seats: whether several judges work at once on this machine, at most one for each core
        """
        self._allow_unisolated = allow_unisolated
        self._seat = _Seat(itertools.count() if has_seats else itertools.repeat(None))
        self._judges: list[Judge] = []
        self._is_over = False

    def examine(self, work: Work) -> Report:
        """Examine one submission in the calling thread."""
        judge = self._seat.judge
        if judge is None or (judge.topic, judge.seed) != (work.topic, work.seed):
            if judge is not None:
                judge.close()
            judge = self._seat.judge = Judge(
                work.topic, seed=work.seed, allow_unisolated=self._allow_unisolated, seat=self._seat.number
            )
            self._judges.append(judge)
        if self._is_over:
            judge.abandon()
        if work.kept is None:
            return judge.examine(work.submission)
        return judge.examine(work.submission, work.kept, work.tasks)

    def abandon(self) -> None:
        """End every judge at once."""
        self._is_over = True
        for judge in self._judges:
            judge.abandon()

    def close(self) -> None:
        """Close all judges."""
        for judge in self._judges:
            judge.close()
