"""Verification: write docs/verification.md, the table of what `autograder verify --full` last found."""

from __future__ import annotations

import datetime
import re
from pathlib import Path

from autograder.authoring.verify import SEEDS, Verdict
from autograder.course import Course
from autograder.files import write_atomically
from autograder.topic import Topic

_HEAD = """\
# Verification

Written by `make verify-full`. Each assignment's stub scores nothing and its solution everything under all seeds, behind
the wall and without it alike; every known mistake fails its task, every different right answer passes; and of the
mutants of the solution (an operator, a constant, an axis, a statement changed by rule) every one is killed by a test
or listed in `mistakes.toml` as equivalent, with the reason.

| assignment | date | seeds | tests | mistakes caught | alternatives accepted | mutants killed | equivalent | gates |
|---|---|---|---|---|---|---|---|---|
"""
_ROW = re.compile(r"^\| (?P<topic>[a-z0-9_]+) \| [0-9]{4}-.*\|$", re.MULTILINE)


def record(course: Course, topic: Topic, verdict: Verdict) -> Path:
    """Write the row of one assignment, and keep those of the others."""
    path = course.root / "docs" / "verification.md"
    old = path.read_text(encoding="utf-8") if path.exists() else ""
    known = set(course.topic_ids())
    rows = {found["topic"]: found[0] for found in _ROW.finditer(old) if found["topic"] in known}
    rows[topic.id] = row(topic, verdict, datetime.date.today())
    path.parent.mkdir(exist_ok=True)
    write_atomically(path, (_HEAD + "".join(f"{rows[name]}\n" for name in sorted(rows))).encode())
    return path


def row(topic: Topic, verdict: Verdict, day: datetime.date) -> str:
    """Return one assignment's line of the table."""
    killed, equivalent = (verdict.hunt.killed, verdict.hunt.equivalent) if verdict.hunt else ("-", "-")
    missed = len(verdict.findings)
    cells = [
        topic.id,
        day.isoformat(),
        SEEDS,
        verdict.tests,
        len(topic.mistakes),
        len(topic.alternatives),
        killed,
        equivalent,
        f"{missed} missed" if missed else "all hold",
    ]
    return f"| {' | '.join(map(str, cells))} |"
