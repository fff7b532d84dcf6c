"""Outcome: the result of one test, as the examiner sends it: passed, failed or broken, and a sentence."""

from __future__ import annotations

from dataclasses import astuple, dataclass, field
from typing import Any

import pytest

from autograder.errors import AutograderError
from autograder.explain import Budgets, explain
from autograder.faults import StudentError
from autograder.plugin import task_of
from autograder.topic import Topic

PHASES = {"setup", "call", "teardown"}
_OURS = (AutograderError, MemoryError)


@dataclass
class TestProgress:
    """One running test: the phases that passed, and the first error."""

    passed: set[str] = field(default_factory=set)
    error: BaseException | None = None
    skipped: str = ""
    changes: set[str] = field(default_factory=set)
    are_held_back: set[str] = field(default_factory=set)  #: phases in which changes were held back


def result_of(item: pytest.Item, progress: TestProgress, topic: Topic, *, was_answered: bool) -> dict[str, Any]:
    """Return the result of a test.

    Args:
        item: the test
        progress: its phases and its first error
        topic: the assignment that it belongs to
        was_answered: whether the student's code has sent anything in it, which may have caused the error
    """
    outcome, kind, sentence = "failed", "", ""
    facts: dict[str, Any] = {}
    error = progress.error
    if error is not None:
        fault = explain(error, module=topic.module, also=topic.also, budgets=_budgets(item, topic))
        kind, sentence = fault.kind, fault.sentence
        facts = {"cause": fault.cause, "error": fault.error, "function": fault.function}
        facts["quality"] = astuple(fault.quality) if fault.quality else None
        if isinstance(error, _OURS) and not isinstance(error, StudentError):
            if isinstance(error, MemoryError) and was_answered:
                kind, facts["cause"] = "limit", "large"
                sentence = f"{task_of(item)}: what your code returned is too large for the test; return less"
            else:
                outcome, kind, sentence = "broken", "ours", f"{type(error).__name__}: {error}"
    elif progress.skipped:
        kind, sentence = "skipped", progress.skipped
    elif progress.passed == PHASES:
        outcome = "passed"
    else:
        sentence = "the test did not run to its end"
    return {
        "test": item.name,
        "outcome": outcome,
        "kind": kind,
        "sentence": sentence,
        **facts,
        "changes": sorted(progress.changes),
        "held_back": sorted(progress.are_held_back),
    }


def worse(protected: dict[str, Any], free: dict[str, Any]) -> dict[str, Any]:
    """Return the result of a test that ran with protected arguments, and then without: it must pass both times.

    If it fails both times, the second result is the one that the student sees at home.
    """
    return protected if protected["outcome"] != "passed" and free["outcome"] == "passed" else free


def _budgets(item: pytest.Item, topic: Topic) -> Budgets:
    return Budgets(f"{task_of(item)}: ", f"{topic.memory} MB", f"{topic.disk} MB", f"{topic.processes} at once")
