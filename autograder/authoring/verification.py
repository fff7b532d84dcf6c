"""Verification: write docs/verification.md, the table of what `autograder verify` last found."""

from __future__ import annotations

import datetime
import re
from pathlib import Path

from autograder.authoring.verify import SEEDS, TRAINING_SEEDS, Verdict
from autograder.course import Course
from autograder.files import write_atomically
from autograder.topic import Topic

_HEAD = f"""\
# Verification

Written by `make verify` and `make verify-full`. Each assignment's stub scores nothing and its solution everything under
{SEEDS} seeds (tests that train: {TRAINING_SEEDS}, in full all), behind the wall and without it alike; every known
mistake fails its task, every different right answer passes. In full, of the mutants of the solution (an operator, a
constant, an axis, a statement changed by rule) every one is killed by a test or listed in `mistakes.toml` as
equivalent, with the reason; a short run leaves what the last full one found of them.

| assignment | date | training seeds | tests | mistakes | alternatives | gates | killed | equivalent | mutants of |
|---|---|---|---|---|---|---|---|---|---|
"""
_ROW = re.compile(r"^\| (?P<topic>[a-z0-9_]+) \| [0-9]{4}-.*\|$", re.MULTILINE)
_OF_MUTANTS = 3  #: cells at the end of a row


def record(course: Course, topic: Topic, verdict: Verdict) -> Path:
    """Write the row of one assignment, and keep those of the others."""
    path = course.root / "docs" / "verification.md"
    old = path.read_text(encoding="utf-8") if path.exists() else ""
    known = set(course.topic_ids())
    rows = {found["topic"]: found[0] for found in _ROW.finditer(old) if found["topic"] in known}
    rows[topic.id] = row(topic, verdict, datetime.date.today(), rows.get(topic.id, ""))
    path.parent.mkdir(exist_ok=True)
    write_atomically(path, (_HEAD + "".join(f"{rows[name]}\n" for name in sorted(rows))).encode())
    return path


def row(topic: Topic, verdict: Verdict, day: datetime.date, old: str = "") -> str:
    """Return one assignment's line of the table; without mutants of its own it has those of the old one."""
    hunt, missed = verdict.hunt, len(verdict.findings)
    mutants = old.strip("| ").split(" | ")[-_OF_MUTANTS:] if old else ["-"] * _OF_MUTANTS
    cells = [
        topic.id,
        day.isoformat(),
        SEEDS if hunt else TRAINING_SEEDS,
        verdict.tests,
        len(topic.mistakes),
        len(topic.alternatives),
        f"{missed} missed" if missed else "all hold",
        *([hunt.killed, hunt.equivalent, day.isoformat()] if hunt else mutants),
    ]
    return f"| {' | '.join(map(str, cells))} |"
