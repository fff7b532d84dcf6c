"""Tables: a class report as CSV and JSON. Pure: data in, text out.

A spreadsheet reads a cell that begins with =, +, -, @, a tab or a line end as a formula, and a student's text could be
one: such a text gets an apostrophe in front, which spreadsheets do not show. Numbers stay numbers.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from typing import Any

from autograder.report.classroom import ClassReport

_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "\N{FULLWIDTH EQUALS SIGN}", "\N{FULLWIDTH PLUS SIGN}",
            "\N{FULLWIDTH HYPHEN-MINUS}", "\N{FULLWIDTH COMMERCIAL AT}")  # fmt: skip


def cell(value: object) -> object:
    """Return what may stand in a CSV cell: a number as it is, a text that no spreadsheet runs."""
    if value is None:
        return ""
    if isinstance(value, (int, float)):
        return value
    text = str(value).encode("utf-8", "replace").decode()
    return f"'{text}" if text.lstrip(" ").startswith(_FORMULA) or text.startswith(_FORMULA) else text


def as_csv(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Return a CSV text of safe cells."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    for row in (header, *rows):
        writer.writerow([cell(value) for value in row])
    return stream.getvalue()


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
        "difficulty",
        "discrimination",
    ]
    rows = [
        [item.test, item.task, int(item.is_hidden), item.decided, item.passed, item.broken, item.limits,
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
