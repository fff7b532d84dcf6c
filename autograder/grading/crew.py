"""Crew: the judges of one process, one for each of its threads, of the topic that the thread is at."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Iterator
from dataclasses import dataclass

from autograder.grading.judge import Judge
from autograder.grading.submission import Submission
from autograder.report import Report
from autograder.topic import Topic


@dataclass(frozen=True)
class Work:
    """One submission that waits for a judge."""

    number: int  #: its place in the class
    submission: Submission
    topic: Topic
    seed: int
    kept: Report | None = None  #: an earlier report, of which all stands but `tasks`
    tasks: frozenset[str] = frozenset()


class _Seat(threading.local):
    """What each thread has of its own: a judge, and a place among the others."""

    judge: Judge | None = None

    def __init__(self, places: Iterator[int | None]) -> None:
        self.place = next(places)


class Crew:
    """Examines one submission after the other in every thread that asks."""

    def __init__(self, *, allow_unisolated: bool, has_places: bool = False) -> None:
        """Gather nobody yet.

        Args:
            has_places: whether several judges work at once on this machine, no more than it has cores
        """
        self._allow_unisolated = allow_unisolated
        self._seat = _Seat(itertools.count() if has_places else itertools.repeat(None))
        self._judges: list[Judge] = []
        self._is_over = False
        self._solving: dict[str, threading.Lock] = {}

    def examine(self, work: Work) -> Report:
        """Examine one submission, in the thread that calls."""
        judge = self._seat.judge
        if judge is None or (judge.topic, judge.seed) != (work.topic, work.seed):
            if judge is not None:
                judge.close()
            judge = self._seat.judge = Judge(
                work.topic, seed=work.seed, allow_unisolated=self._allow_unisolated, place=self._seat.place
            )
            self._judges.append(judge)
        if self._is_over:
            judge.abandon()
        # the first judge examines the solution; the others find that kept
        with self._solving.setdefault(work.topic.id, threading.Lock()):
            judge.manifest()
        if work.kept is None:
            return judge.examine(work.submission)
        return judge.examine(work.submission, work.kept, work.tasks)

    def abandon(self) -> None:
        """End every judge at once."""
        self._is_over = True
        for judge in self._judges:
            judge.abandon()

    def close(self) -> None:
        """Clear away what the judges leave."""
        for judge in self._judges:
            judge.close()
