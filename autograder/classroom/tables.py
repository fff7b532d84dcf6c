"""Tables: a class report as CSV and JSON. Pure: data in, text out.

A spreadsheet reads a cell that begins with =, +, -, @, a tab or a line end as a formula. A student's text could be one.
Such a text gets an apostrophe in front, which spreadsheets do not show. Numbers stay numbers.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

from autograder.classroom.summary import ClassReport
from autograder.report.csv_text import as_csv


def scores_csv(report: ClassReport) -> str:
    """Return one line a student: totals, each task's score, how it was examined, notes."""
    names = [task.task for task in report.tasks]
    header = [
        "student",
        "status",
        "score",
        "max_score",
        *names,
        "seconds",
        "isolation",
        "seed",
        "limits",
        "notes",
    ]
    rows = []
    for row in report.rows:
        of = {found.task: found for found in row.cells}
        scores = [of[name].score if name in of and of[name].status == "graded" else None for name in names]
        limits = sum(found.limits for found in row.cells)
        rows.append([row.student, row.status, row.score, row.max_score, *scores,
                     row.seconds, row.isolation, row.seed, limits, " ".join(row.complaints)])  # fmt: skip
    return as_csv(header, rows)


def tests_csv(report: ClassReport) -> str:
    """Return one line a test: difficulty, discrimination, limits."""
    header = [
        "test",
        "task",
        "hidden",
        "decided",
        "passed",
        "broken",
        "limits",
        "unusable",
        "difficulty",
        "discrimination",
    ]
    rows = [
        [item.test, item.task, int(item.is_hidden), item.decided, item.passed, item.broken, item.limits, item.unusable,
         item.difficulty, item.discrimination] for item in report.items
    ]  # fmt: skip
    return as_csv(header, rows)


def to_json(report: ClassReport) -> str:
    """Return everything but the modules' texts, as JSON."""
    record: dict[str, Any] = asdict(report)
    for pair in record["comparison"]["pairs"]:
        del pair["one_parts"], pair["other_parts"]
    record["comparison"]["groups"] = report.comparison.groups
    return json.dumps(record, indent=1, ensure_ascii=False) + "\n"
