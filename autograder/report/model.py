"""Report: the one value that leaves an examination. Pure data; every mark in it follows from the outcomes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

Outcome = Literal["passed", "failed", "broken"]
Status = Literal["graded", "broken", "not gradable here"]
Isolation = Literal["A", "B", "C", "D"]


@dataclass(frozen=True)
class TestResult:
    """The outcome of one test for one submission."""

    __test__ = False  # not a test class, whatever pytest thinks of the name

    test: str  #: the test function's name, with its parameters
    task: str
    weight: float
    is_hidden: bool
    outcome: Outcome
    sentence: str  #: what went wrong, in words; empty where it passed
    lesson: str  #: the test's docstring: what to think about
    seconds: float
    kind: str = ""  #: how it failed, such as "mismatch", "limit", "died" (see faults.py)


@dataclass(frozen=True)
class TaskReport:
    """One task's score, and what is said to the student about it."""

    task: str
    score: float
    points: float
    results: tuple[TestResult, ...]
    hint: str
    missing: str = ""  #: the extra that is not installed here: nothing was examined, and 0 of 0 points say so

    @property
    def tests_passed(self) -> int:
        return sum(result.outcome == "passed" for result in self.results)

    @property
    def tests_total(self) -> int:
        return len(self.results)

    @property
    def status(self) -> Status:
        if self.missing:
            return "not gradable here"
        return "broken" if any(result.outcome == "broken" for result in self.results) else "graded"

    def to_json(self) -> dict[str, Any]:
        """The task as the JSON contract has it: no hidden test's name, source or values.

        One that could not be graded here says so in a "status", has 0 of 0 points, and why as its hint.
        """
        status = {"status": self.status} if self.missing else {}
        return {
            "task": self.task,
            "score": self.score,
            "points": self.points,
            "tests_passed": self.tests_passed,
            "tests_total": self.tests_total,
            "hint": self.hint,
            **status,
        }


@dataclass(frozen=True)
class Report:
    """One submission, examined."""

    student: str
    assignment: str
    seed: int
    isolation: Isolation
    seconds: float
    complaints: tuple[str, ...]
    tasks: tuple[TaskReport, ...]

    @property
    def status(self) -> Status:
        """Broken where a fault of ours left a task without a verdict: for a person to look at."""
        return "broken" if any(task.status == "broken" for task in self.tasks) else "graded"

    @property
    def score(self) -> float:
        return sum(task.score for task in self.tasks)

    @property
    def max_score(self) -> float:
        return sum(task.points for task in self.tasks)

    def to_json(self) -> dict[str, Any]:
        """The report as `autograder grade --json` writes it (a contract, held by a test)."""
        return {
            "student": self.student,
            "assignment": self.assignment,
            "status": self.status,
            "score": self.score,
            "max_score": self.max_score,
            "seed": self.seed,
            "isolation": self.isolation,
            "seconds": self.seconds,
            "complaints": list(self.complaints),
            "tasks": [task.to_json() for task in self.tasks],
        }

    def to_record(self) -> dict[str, Any]:
        """Everything, for the teacher's own files; `from_record` reads it back."""
        tasks = [vars(task) | {"results": [vars(result) for result in task.results]} for task in self.tasks]
        return vars(self) | {"tasks": tasks}  # as dataclasses.asdict, which takes 6 ms to copy 200 tests

    @classmethod
    def from_record(cls, record: dict[str, Any]) -> Report:
        """Read what `to_record` wrote."""
        tasks = tuple(
            TaskReport(**{**task, "results": tuple(TestResult(**result) for result in task["results"])})
            for task in record["tasks"]
        )
        return cls(**{**record, "complaints": tuple(record["complaints"]), "tasks": tasks})
