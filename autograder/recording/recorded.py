"""Recorded: which students' records in nbgrader equal their reports, so that nobody is recorded twice without need.

A note in .autograder/recorded/<assignment>/ names the sources of a record. It is valid only while the gradebook and the
graded notebook are unchanged since. A late student is always recorded again, because the penalty may depend on a score
that a person has given meanwhile.
"""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any

from nbgrader.api import BaseCell, Grade, SubmittedAssignment, SubmittedNotebook

from autograder.course import Course
from autograder.files import TEACHERS, write_atomically
from autograder.grading.keep import store
from autograder.grading.keep.verdict import package
from autograder.limits import RECORDED_ENTRIES
from autograder.report import Report

SHELF = "recorded"


class Recorded:
    """The records of one assignment at the time when this object was made: of everybody, or of one student."""

    def __init__(self, course: Course, assignment: str, gradebook: Any, only: str | None = None) -> None:
        self._course = course
        self._assignment = assignment
        self._gradebook = gradebook
        self._of_all = self._common()
        self._id = gradebook.find_assignment(assignment).id
        self._late: set[str] = set()
        self._due: dict[str, str] = {}
        self._scores: dict[str, dict[str, float | None]] = {}
        self._read(only)

    def holds(self, report: Report) -> bool:
        """Whether recording this report would change nothing."""
        student = report.student
        if student in self._late or student not in self._scores:
            return False
        try:
            note = json.loads(self._path(student).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return False
        return bool(note == self._note(report))

    def note(self, report: Report) -> str:
        """Remember that this report has just been recorded, or say which score in the gradebook is wrong."""
        self._read(report.student)
        scores = self._scores.get(report.student, {})
        for task in report.tasks:
            score = scores.get(task.task)
            if score is not None and score != task.score:
                return (
                    f"{report.student}: nbgrader recorded {score:g} for {task.task}, and the report says "
                    f"{task.score:g}; grade again while no other program grades"
                )
        note = self._note(report)
        if note is not None:
            write_atomically(self._path(report.student), json.dumps(note).encode(), mode=TEACHERS)
        return ""

    def _note(self, report: Report) -> dict[str, Any] | None:
        """Name the sources of a record, and what nbgrader has of it; None if that is unknown."""
        folder = self._course.submitted / report.student / self._assignment
        page = self._course.root / "autograded" / report.student / self._assignment / f"{self._assignment}.ipynb"
        parcel = _state_of(folder)
        if parcel is None or not page.is_file():
            return None
        words = [
            self._of_all,
            self._due.get(report.student, ""),
            *parcel,
            json.dumps(report.to_record(), sort_keys=True),
        ]
        return {
            "from": hashlib.sha256("\0".join(words).encode("utf-8", "surrogateescape")).hexdigest(),
            "page": hashlib.sha256(page.read_bytes()).hexdigest(),
            "scores": self._scores.get(report.student),
        }

    def _read(self, student: str | None) -> None:
        """Read the scores of the gradebook: of everybody, or again of one student."""
        session = self._gradebook.db
        submissions = session.query(SubmittedAssignment).filter_by(assignment_id=self._id)
        grades = (
            session.query(SubmittedAssignment.student_id, BaseCell.name, Grade.auto_score)
            .join(SubmittedNotebook, SubmittedNotebook.assignment_id == SubmittedAssignment.id)
            .join(Grade, Grade.notebook_id == SubmittedNotebook.id)
            .join(BaseCell, BaseCell.id == Grade.cell_id)
            .filter(SubmittedAssignment.assignment_id == self._id)
        )
        if student is not None:
            submissions = submissions.filter_by(student_id=student)
            grades = grades.filter(SubmittedAssignment.student_id == student)
            self._scores.pop(student, None)
        for submission in submissions:
            self._due[submission.student_id] = str(submission.duedate)
            if submission.total_seconds_late > 0:
                self._late.add(submission.student_id)
        for name, cell, score in grades:
            self._scores.setdefault(name, {})[cell] = score
        session.rollback()  # nothing was changed, and no lock is kept

    def _common(self) -> str:
        """Name the sources of every record of the assignment."""
        course = self._course
        digest = hashlib.sha256(package().encode())
        folders = (course.source / self._assignment, course.release / self._assignment)
        for path in (
            course.root / "nbgrader_config.py",
            *(p for folder in folders for p in sorted(folder.rglob("*"))),
        ):
            if path.is_file():
                digest.update(str(path.relative_to(course.root)).encode() + hashlib.sha256(path.read_bytes()).digest())
        return digest.hexdigest()

    def _path(self, student: str) -> Path:
        return store.path_of(self._course, self._assignment, student, SHELF)


def _state_of(folder: Path) -> list[str] | None:
    """Name the state of a parcel without opening any of its files; None if there is too much of it."""
    lines: list[str] = []
    waiting = [str(folder)]
    while waiting:
        try:
            entries = sorted(os.scandir(waiting.pop()), key=lambda entry: entry.name)
        except OSError:
            return None
        for entry in entries:
            what = entry.stat(follow_symlinks=False)
            lines.append(
                f"{entry.path} {what.st_mode} {what.st_ino} {what.st_size} {what.st_mtime_ns} {what.st_ctime_ns}"
            )
            if entry.is_dir(follow_symlinks=False):
                waiting.append(entry.path)
        if len(lines) > RECORDED_ENTRIES:
            return None
    return lines
