"""Report: the result of an examination. It is pure data, and every mark in it depends on the outcomes alone."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal, NewType, get_args

Outcome = Literal["passed", "failed", "broken"]
Status = Literal["graded", "broken", "not gradable here"]
Isolation = Literal["A", "B", "C", "D"]
#: what a student may read about hidden tests, without a word of a worker; only grading/mark/told.py makes one
Told = NewType("Told", str)


@dataclass(frozen=True)
class TestResult:
    """The outcome of one test for one submission."""

    __test__ = False  # not a test class, although pytest would take the name for one

    test: str  #: the test function's name, with its parameters
    task: str
    weight: float
    is_hidden: bool
    outcome: Outcome
    sentence: str  #: what went wrong, for the log; no student reads it for a hidden test; empty if it passed
    lesson: str  #: the test's docstring: what to think about
    seconds: float
    kind: str = ""  #: how it failed, such as "mismatch", "limit", "died" (see faults.py)
    told: Told = Told("")  #: what a student may read about it


@dataclass(frozen=True)
class TaskReport:
    """One task's score, and what is said to the student about it."""

    task: str
    score: float
    points: float
    results: tuple[TestResult, ...]
    hint: Told
    diagnosis: str = ""  #: the known mistakes that explain it, for the teacher; "" if none is proven
    missing: str = (
        ""  #: the extra that is not installed here; then nothing was examined, and the task has 0 of 0 points
    )

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
        """Return the task as documented JSON, without the name, source or values of any hidden test.

        A task that could not be graded here has a "status" that says so, 0 of 0 points, and the reason as its hint.
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
    python: str = ""  #: the Python that examined it, such as "3.11"

    @property
    def status(self) -> Status:
        """Broken if a fault of ours left a task without a verdict; then a person must look at it."""
        return "broken" if any(task.status == "broken" for task in self.tasks) else "graded"

    @property
    def score(self) -> float:
        return sum(task.score for task in self.tasks)

    @property
    def max_score(self) -> float:
        return sum(task.points for task in self.tasks)

    def to_json(self) -> dict[str, Any]:
        """Return the report as `autograder grade --json` writes it. The format is a contract, and a test checks it."""
        return {
            "student": self.student,
            "assignment": self.assignment,
            "status": self.status,
            "score": self.score,
            "max_score": self.max_score,
            "seed": self.seed,
            "isolation": self.isolation,
            "python": self.python,
            "seconds": self.seconds,
            "complaints": list(self.complaints),
            "tasks": [task.to_json() for task in self.tasks],
        }

    def to_record(self) -> dict[str, Any]:
        """Return everything, for the teacher's own files; `from_record` reads it again."""
        tasks = [vars(task) | {"results": [vars(result) for result in task.results]} for task in self.tasks]
        return vars(self) | {"tasks": tasks}  # the same as dataclasses.asdict, which needs 6 ms to copy 200 tests

    @classmethod
    def from_record(cls, record: dict[str, Any]) -> Report:
        """Read what `to_record` wrote.

        Raises:
            TypeError: a field is missing, unknown, or not of its type
            LookupError: the record has no tasks, results or complaints
            ValueError: a number is not finite, or an outcome or a rung is unknown
        """
        tasks = tuple(
            _made(
                TaskReport,
                {**task, "results": tuple(_made(TestResult, result) for result in task["results"])},
            )
            for task in record["tasks"]
        )
        complaints = tuple(record["complaints"])
        if not all(isinstance(sentence, str) for sentence in complaints):
            raise TypeError("a complaint that is no text")
        report: Report = _made(cls, {**record, "complaints": complaints, "tasks": tasks})
        return report


def _made(cls: Any, values: dict[str, Any]) -> Any:
    """Make one of a report's parts from a file that may be damaged."""
    made = cls(**values)
    for name, kind in cls.__annotations__.items():
        value = getattr(made, name)
        if not isinstance(value, _KINDS.get(kind, object)):
            raise TypeError(f"{name}: {type(value).__name__} in the place of {kind}")
        if kind == "float" and not math.isfinite(value):
            raise ValueError(f"{name}: {value}")
        if kind in _WORDS and value not in _WORDS[kind]:
            raise ValueError(f"{name}: an unknown word")
    return made


_KINDS: dict[str, Any] = {
    "str": str,
    "Told": str,
    "float": (int, float),
    "int": int,
    "bool": bool,
    "Outcome": str,
    "Isolation": str,
}
_WORDS = {"Outcome": get_args(Outcome), "Isolation": get_args(Isolation)}
