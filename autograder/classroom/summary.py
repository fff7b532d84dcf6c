"""Classroom: what the reports of a class say together. Pure: reports in, frozen data out.

Broken tasks and reports count nowhere. They are for a person, and come first. The discrimination of a test is its
corrected point-biserial correlation, r = cov(x, y) / (s_x s_y). Here x is 1 or 0 for passed or failed, and y is the
student's total without the share of this test. For a task it is the same, with the score as x.
This file is long because most of it is the frozen data, whose every field says what it means.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import correlation, fmean

from autograder.classroom.similarity import Comparison
from autograder.faults import names_an_end
from autograder.report.model import Report, TaskReport, TestResult
from autograder.topic import Topic

FEWEST = 10  #: with fewer students, discrimination is not worth reading
_LIMITS = ("limit", "died")
TIE = "one of: "  #: how a diagnosis of a tie begins (see grading/mark/diagnose.py)


@dataclass(frozen=True)
class Cell:
    """One student's result in one task."""

    task: str
    score: float
    points: float
    status: str  #: "graded", "broken" or "not gradable here"
    limits: int  #: tests that reached a limit or died
    diagnosis: str  #: the known mistake that fits, or "one of: ..."; empty if none fits


@dataclass(frozen=True)
class Row:
    """One student's line."""

    student: str
    status: str
    score: float
    max_score: float
    seconds: float
    isolation: str
    seed: int
    complaints: tuple[str, ...]
    cells: tuple[Cell, ...]


@dataclass(frozen=True)
class TaskSummary:
    """How a class did in one task."""

    task: str
    number: str
    title: str
    points: float
    decided: int  #: students with a verdict
    mean: float | None  #: the mean share of the points, from 0 to 1
    full: int  #: students with all points
    none: int  #: students with no point
    broken: int
    discrimination: float | None


@dataclass(frozen=True)
class Item:
    """How a class did in one test."""

    test: str
    task: str
    is_hidden: bool
    lesson: str
    decided: int
    passed: int
    broken: int
    limits: int
    unusable: int  #: how often it ended with an error of its own line: a wrong answer, or a test that asks for too much
    difficulty: float | None  #: the share that passes: 1 is easy, 0 is hard
    discrimination: float | None


@dataclass(frozen=True)
class Misconception:
    """One known mistake, or several that cannot be told apart, and the students who make it."""

    task: str
    name: str
    hint: str
    is_tie: bool
    students: tuple[str, ...]


@dataclass(frozen=True)
class ClassReport:
    """Everything that the page, the JSON and the CSV show."""

    assignment: str
    title: str
    points: float
    rows: tuple[Row, ...]  #: broken ones first, then by score
    tasks: tuple[TaskSummary, ...]
    items: tuple[Item, ...]
    misconceptions: tuple[Misconception, ...]
    undiagnosed: Mapping[str, int]  #: task -> students whose faults fit no known mistake
    comparison: Comparison
    outdated: tuple[str, ...] = ()  #: students whose report does not fit their folder in submitted/
    unexamined: tuple[str, ...] = ()  #: students who handed in and have no report
    due: str = ""  #: when it is due, in words; empty without a date
    extended: Mapping[str, str] = field(default_factory=dict)  #: student -> the date of an extension, in words
    groups: tuple[tuple[str, ...], ...] = ()  #: students who hand in together
    ungraded: tuple[str, ...] = ()  #: students with a written answer that nobody has graded

    @property
    def waiting(self) -> tuple[str, ...]:
        """The students for whom a person is needed: to grade a written answer, or to look at a broken report."""
        broken = (row.student for row in self.rows if row.status != "graded")
        return tuple(sorted({*broken, *self.ungraded}))

    @property
    def graded(self) -> tuple[Row, ...]:
        return tuple(row for row in self.rows if row.status == "graded")


def summarise(
    topic: Topic,
    reports: Sequence[Report],
    comparison: Comparison,
    *,
    outdated: Iterable[str] = (),
    unexamined: Iterable[str] = (),
    due: str = "",
    extended: Mapping[str, str] | None = None,
    groups: Iterable[tuple[str, ...]] = (),
    ungraded: Iterable[str] = (),
) -> ClassReport:
    """Return what the reports of one assignment say together."""
    named: dict[tuple[str, str], list[str]] = {}
    hints: dict[tuple[str, str], str] = {}
    unnamed = dict.fromkeys((task.id for task in topic.tasks), 0)
    for report in reports:
        for task in report.tasks:
            if task.diagnosis:
                named.setdefault((task.task, task.diagnosis), []).append(report.student)
                hints[task.task, task.diagnosis] = task.hint
    for report in reports:
        for task in report.tasks:
            is_begun = any(result.kind not in ("not_started", "import_failed", "missing_name")
                           for result in task.results if result.outcome == "failed")  # fmt: skip
            if is_begun and not task.diagnosis and task.task in unnamed:
                unnamed[task.task] += 1
    rows = [
        Row(
            student=report.student,
            status=report.status,
            score=report.score,
            max_score=report.max_score,
            seconds=report.seconds,
            isolation=report.isolation,
            seed=report.seed,
            complaints=report.complaints,
            cells=tuple(
                Cell(
                    task.task,
                    task.score,
                    task.points,
                    task.status,
                    sum(map(_is_ended, task.results)),
                    task.diagnosis,
                )
                for task in report.tasks
            ),
        )
        for report in reports
    ]
    graded = [report for report in reports if report.status == "graded"]
    return ClassReport(
        assignment=topic.id,
        title=topic.title,
        points=topic.points,
        rows=tuple(sorted(rows, key=lambda row: (row.status == "graded", row.score, row.student))),
        tasks=tuple(_task_summary(topic, task.id, reports, graded) for task in topic.tasks),
        items=tuple(_items(reports, graded)),
        misconceptions=tuple(
            Misconception(task, name, hints[task, name], name.startswith(TIE), tuple(sorted(students)))
            for (task, name), students in sorted(named.items(), key=lambda entry: (-len(entry[1]), entry[0]))
        ),
        undiagnosed={task: count for task, count in unnamed.items() if count},
        comparison=comparison,
        outdated=tuple(outdated),
        unexamined=tuple(unexamined),
        due=due,
        extended=extended or {},
        groups=tuple(groups),
        ungraded=tuple(ungraded),
    )


def _is_ended(result: TestResult) -> bool:
    """Whether a budget or the process ended, in the test or while the module was imported."""
    return result.kind in _LIMITS or (result.kind == "import_failed" and names_an_end(result.sentence))


def _task_summary(topic: Topic, task_id: str, reports: Sequence[Report], graded: Sequence[Report]) -> TaskSummary:
    about = topic.task(task_id)
    every = [task for report in reports for task in report.tasks if task.task == task_id]
    pairs = [
        (task.score, report.score - task.score)
        for report in graded
        for task in report.tasks
        if task.task == task_id and _is_decided(task)
    ]
    decided = [task for task in every if _is_decided(task)]
    return TaskSummary(
        task=task_id,
        number=about.number,
        title=about.title,
        points=about.points,
        decided=len(decided),
        mean=fmean(task.score / task.points for task in decided) if decided else None,
        full=sum(task.score == task.points for task in decided),
        none=sum(task.score == 0 for task in decided),
        broken=sum(task.status == "broken" for task in every),
        discrimination=_correlation(pairs),
    )


def _is_decided(task: TaskReport) -> bool:
    return task.status == "graded" and task.points > 0


def _items(reports: Sequence[Report], graded: Sequence[Report]) -> Iterable[Item]:
    """Summarise every test, in the order of the suite."""
    results = [(report, task, result) for report in reports for task in report.tasks for result in task.results]
    counted = {report.student for report in graded}
    by_test: dict[str, list[int]] = {}
    for number, (_, _, result) in enumerate(results):
        by_test.setdefault(result.test, []).append(number)
    weights = {id(task): sum(result.weight for result in task.results) for _, task, _ in results}
    for test, numbers in by_test.items():
        own = [results[number] for number in numbers]
        decided = [result for _, _, result in own if result.outcome != "broken"]
        pairs = []
        for report, task, result in own:
            if report.student in counted and result.outcome != "broken" and weights[id(task)]:
                passed = float(result.outcome == "passed")
                share = task.points * result.weight / weights[id(task)] if passed and task.score else 0.0
                pairs.append((passed, report.score - share))
        passed_by = sum(result.outcome == "passed" for result in decided)
        first = own[0][2]
        yield Item(
            test=test,
            task=first.task,
            is_hidden=first.is_hidden,
            lesson=first.lesson,
            decided=len(decided),
            passed=passed_by,
            broken=len(own) - len(decided),
            limits=sum(map(_is_ended, decided)),
            unusable=sum(result.kind == "unusable" for result in decided),
            difficulty=passed_by / len(decided) if decided else None,
            discrimination=_correlation(pairs),
        )


def _correlation(pairs: Sequence[tuple[float, float]]) -> float | None:
    """Correlate a test with the rest; None if all are alike or there are too few."""
    xs, ys = [x for x, _ in pairs], [y for _, y in pairs]
    if len(pairs) < 3 or math.isclose(min(xs), max(xs)) or math.isclose(min(ys), max(ys)):
        return None
    return round(correlation(xs, ys), 4)
