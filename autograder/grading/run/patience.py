"""Patience: if a function of the student has ended two tests, its other tests are not run.

A function ends a test if it goes over a budget or its process dies. The tests of all other functions are run as usual.
"""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from autograder.grading.run.used import names_used
from autograder.limits import RUN_OVER
from autograder.plugin import task_of
from autograder.topic import Topic

#: kinds of failures that end a worker: to run such a test again shows nothing new, and takes as long
ENDS = ("limit", "died")


class GivenUp(BaseException):
    """A test is not run, because a function that it uses has ended two tests; str() says so."""

    fault_kind = "limit"


class Patience:
    """The tests of one submission that were ended, by the names in the student's module that they use."""

    def __init__(self, topic: Topic) -> None:
        self._topic = topic
        self._uses: dict[pytest.Item, frozenset[str]] = {}
        self._ended: dict[str, list[str]] = {}  #: name -> the sentence of each of its tests that was ended

    def learn(self, items: Iterable[pytest.Item]) -> None:
        """Find out which names each test uses; a test that uses none counts for its whole task."""
        for item in items:
            self._uses[item] = names_used(item, self._topic) or frozenset({f"the task {task_of(item)}"})

    def start(self) -> None:
        """Begin a submission, which has ended no test yet."""
        self._ended = {}

    def check(self, item: pytest.Item) -> None:
        """Raise GivenUp if a test must not be run."""
        for name in sorted(self._uses[item]):
            ends = self._ended.get(name, [])
            if len(ends) >= RUN_OVER:
                said = f"{task_of(item)}: this test was not run: {len(ends)} tests of {name} were ended before it"
                raise GivenUp(f"{said}. The last one: {ends[-1]}")

    def note(self, item: pytest.Item, called_last: frozenset[str], sentence: str) -> None:
        """Note that a test was ended by the function that was called last, or else by all names that the test uses."""
        uses = self._uses[item]
        for name in uses & called_last or uses:
            self._ended.setdefault(name, []).append(sentence.removeprefix(f"{task_of(item)}: "))
