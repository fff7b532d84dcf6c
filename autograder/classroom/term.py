"""Term: the marks of a class in all assignments, side by side. Pure: marks and reports in, frozen data and text out.

A mark of the gradebook counts before a report: it also has the points that a person gave and the late penalty. What was
not handed in counts as zero points in a total.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import median

from autograder.people import Person
from autograder.report.csv_text import as_csv
from autograder.report.mark import Mark
from autograder.report.model import Report


@dataclass(frozen=True)
class TermCell:
    """One student's points in one assignment."""

    score: float
    points: float  #: the most that can be reached
    is_open: bool = False  #: a person has to grade something, or to look at a broken report

    @property
    def share(self) -> float:
        return self.score / self.points if self.points else 0.0


@dataclass(frozen=True)
class TermRow:
    """One student's line."""

    student: str
    name: str
    section: str
    cells: tuple[TermCell | None, ...]  #: None where nothing was handed in
    total: float

    @property
    def is_open(self) -> bool:
        return any(cell is not None and cell.is_open for cell in self.cells)


@dataclass(frozen=True)
class TermColumn:
    """One assignment and how the class did in it."""

    assignment: str
    title: str
    points: float  #: the most that can be reached
    handed_in: int
    median: float  #: of those who handed it in


@dataclass(frozen=True)
class Term:
    """Everything that the page, the JSON and the CSV show."""

    columns: tuple[TermColumn, ...]
    rows: tuple[TermRow, ...]  #: in the order of the student ids
    waiting: tuple[str, ...]  #: assignments of the course that nobody has handed in

    @property
    def points(self) -> float:
        return sum(column.points for column in self.columns)

    @property
    def open(self) -> tuple[str, ...]:
        return tuple(row.student for row in self.rows if row.is_open)


def summarise(
    titles: Mapping[str, str],
    marks: Mapping[str, Sequence[Mark]],
    reports: Mapping[str, Sequence[Report]],
    people: Sequence[Person],
    away: frozenset[str],
) -> Term:
    """Put the marks of all assignments side by side.

    Args:
        titles: every assignment of the course, in its order, and its title
        marks: of each assignment, as the gradebook has them
        reports: of each assignment; one counts where the gradebook has no mark of the student
        people: the class; empty if the course has no list of it
        away: students who are not shown
    """
    cells = {name: _cells(marks.get(name, ()), reports.get(name, ()), away) for name in titles}
    shown = [name for name in titles if cells[name]]
    most = {name: max(cell.points for cell in cells[name].values()) for name in shown}
    of = {person.student: person for person in people}
    everybody = {*of, *(student for name in shown for student in cells[name])} - away
    rows = []
    for student in sorted(everybody):
        line = tuple(cells[name].get(student) for name in shown)
        person = of.get(student, Person(student))
        total = sum(cell.score for cell in line if cell)
        rows.append(TermRow(student, person.name, person.section, line, total))
    return Term(
        columns=tuple(
            TermColumn(
                assignment=name,
                title=titles[name],
                points=most[name],
                handed_in=len(cells[name]),
                median=median(cell.score for cell in cells[name].values()),
            )
            for name in shown
        ),
        rows=tuple(rows),
        waiting=tuple(name for name in titles if not cells[name]),
    )


def to_csv(term: Term) -> str:
    """Return one line a student: id, name, section, the points of each assignment, the total."""
    header = ["student", "name", "section", *(column.assignment for column in term.columns), "total", "max_score"]
    rows = [
        [row.student, row.name, row.section, *(cell and cell.score for cell in row.cells), row.total, term.points]
        for row in term.rows
    ]
    return as_csv(header, rows)


def to_json(term: Term) -> str:
    """Return everything as JSON."""
    return json.dumps(asdict(term), indent=1, ensure_ascii=False) + "\n"


def _cells(marks: Sequence[Mark], reports: Sequence[Report], away: frozenset[str]) -> dict[str, TermCell]:
    found = {report.student: TermCell(report.score, report.max_score, report.status != "graded") for report in reports}
    broken = {student for student, cell in found.items() if cell.is_open}
    found |= {
        mark.student: TermCell(mark.score, mark.max_score, bool(mark.open) or mark.student in broken) for mark in marks
    }
    return {student: cell for student, cell in found.items() if student not in away}
