"""Verification: write docs/verification.md, the table of the last results of `autograder verify`.

Chapters below the table belong to other commands and are not changed.
"""

from __future__ import annotations

import datetime
import re
from pathlib import Path

from autograder.authoring.gates import SEEDS, TRAINING_SEEDS
from autograder.authoring.verify import Verdict
from autograder.course import Course
from autograder.files import write_atomically
from autograder.topic import Topic

_HEAD = f"""\
# Verification

Written by `autograder verify` and `autograder verify --full`. For each assignment the stub earns nothing and the
solution earns all points under {SEEDS} seeds (tests that train: {TRAINING_SEEDS} seeds, or all in a full run), behind
the wall and without it. Every known mistake fails its task, every alternative passes, and the lesson runs. A full run
also makes mutants of the solution: a rule changes an operator, a constant, an axis or a statement. A test must kill
each mutant, or `mistakes.toml` must list it as equivalent, with the reason. A short run keeps what the last full run
found about mutants.

| assignment | date | training seeds | tests | mistakes | alternatives | gates | killed | equivalent | mutants of |
|---|---|---|---|---|---|---|---|---|---|
"""
_ROW = re.compile(r"^\| (?P<topic>[a-z0-9_]+) \| [0-9]{4}-.*\|$", re.MULTILINE)
_CHAPTER = "\n## "
_OF_MUTANTS = 3  #: cells at the end of a row


def record(course: Course, topic: Topic, verdict: Verdict) -> Path:
    """Write the row of one assignment, and keep the rows of the others."""
    path = page_of(course)
    old = path.read_text(encoding="utf-8") if path.exists() else ""
    known = set(course.topic_ids())
    rows = {found["topic"]: found[0] for found in _ROW.finditer(old) if found["topic"] in known}
    rows[topic.id] = row(topic, verdict, datetime.date.today(), rows.get(topic.id, ""))
    path.parent.mkdir(exist_ok=True)
    _, mark, chapters = old.partition(_CHAPTER)
    write_atomically(path, (_HEAD + "".join(f"{rows[name]}\n" for name in sorted(rows)) + mark + chapters).encode())
    return path


def page_of(course: Course) -> Path:
    """Return the path of the page."""
    return course.root / "docs" / "verification.md"


def with_chapter(page: str, title: str, text: str) -> str:
    """Return the page with a chapter at its end; an old chapter of the same title is replaced."""
    first, *chapters = page.split(_CHAPTER)
    others = [chapter for chapter in chapters if chapter.partition("\n")[0] != title]
    return _CHAPTER.join([first.rstrip("\n") + "\n", *others, f"{title}\n\n{text}"])


def row(topic: Topic, verdict: Verdict, day: datetime.date, old: str = "") -> str:
    """Return one assignment's line of the table; if no mutants were tried, it keeps the numbers of the old line."""
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
