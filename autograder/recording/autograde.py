"""Autograde: the steps that replace nbgrader's own steps for each student; registrar.py says why.

It may wait for a gradebook that another program holds, and it never runs a notebook. What it does is fixed here: no
setting of nbgrader's can change the steps, the exporter, or which file of the student's is kept.
"""

from __future__ import annotations

import fnmatch
import glob
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from nbconvert.preprocessors import ExecutePreprocessor
from nbgrader import utils
from nbgrader.api import Gradebook
from nbgrader.converters import autograde, base
from sqlalchemy.exc import OperationalError

from autograder.course import Course
from autograder.errors import AutograderError
from autograder.extensions import enter_extension, extension
from autograder.limits import LOCK_SECONDS
from autograder.recording import entry
from autograder.recording.former import Former, look_at
from autograder.recording.laid import PlainCopy, PristineExporter, not_overwritten, released
from autograder.recording.steps import GRADING, LAYING, MAY_BE_OFF
from autograder.recording.warm import warm_gradebook
from autograder.report import Report


class Autograde(autograde.Autograde, PlainCopy):  # type: ignore[misc]
    """nbgrader's Autograde for every folder handed in, one student at a time."""

    is_ours = True  #: for the guard
    report: Report | None = None  #: of the one student who is graded; None has each submission examined
    former: Former | None = None
    error: Exception | None = None

    def start(self) -> None:
        """Grade with our exporter and our steps, whatever the configuration says."""
        self.exporter_class = PristineExporter
        super().start()

    def _init_preprocessors(self) -> None:
        self.exporter._preprocessors = []
        for step in LAYING if self._sanitizing else GRADING:
            self.exporter.register_preprocessor(step, enabled=step not in MAY_BE_OFF)
        running = [step for step in self.exporter._preprocessors if isinstance(step, ExecutePreprocessor)]
        if running or not isinstance(self.exporter, PristineExporter):
            self._stop("nbgrader would run a student's notebook; nothing is recorded")

    def init_notebooks(self) -> None:
        """Take each student's folder with the notebook that should be in it; a missing notebook stops nobody."""
        assignment, student = self.coursedir.assignment_id, self.coursedir.student_id
        course = Course(Path(self.coursedir.root))
        try:
            self.topic = course.topic(assignment)
            notebook = released(course, assignment)
        except AutograderError as error:  # not ours, or broken by its author: run nothing of it
            self._stop(str(error))
        self.exclude_overwriting = {assignment: not_overwritten(self.topic)}
        self.patience = time.monotonic() + LOCK_SECONDS
        self._require_entry(assignment, notebook)
        where = self._format_source(assignment, student)
        found = [where] if os.path.isdir(where) else glob.glob(where)
        folders = [folder for folder in found if os.path.isdir(folder)]
        if not folders or not fnmatch.fnmatchcase(assignment, self.coursedir.notebook_id):
            self._stop(f"{where}: nothing was handed in for {assignment}; collect it or put it there")
        self.assignments = {folder: [os.path.join(folder, f"{assignment}.ipynb")] for folder in folders}

    def _require_entry(self, assignment: str, notebook: dict[str, Any]) -> None:
        """Stop if the gradebook has no cells for the marks: each student would get a submission without cells."""
        try:
            with Gradebook(self.coursedir.db_url, self.coursedir.course_id) as book:
                missing = entry.lacking(book, assignment, notebook)
                if not missing:
                    entry.forbid_running(book, assignment)
        except OperationalError as error:
            if "locked" not in str(error) or time.monotonic() > self.patience:
                self._stop(_LOCKED if "locked" in str(error) else str(error))
            time.sleep(1)
            self._require_entry(assignment, notebook)
        else:
            if missing:
                self._stop(missing)

    def convert_notebooks(self) -> None:
        """Grade one student after the other; an error of one stops nobody else."""
        everyone, failed = self.assignments, []
        with warm_gradebook():
            for folder in sorted(everyone):
                self.assignments = {folder: everyone[folder]}
                with self._all_or_nothing():
                    is_graded = self._grade_one()
                    if not is_graded:
                        failed.append(f"{Path(folder).parent.name} ({type(self.error).__name__}: {self.error})")
        if failed:
            self._stop(f"{len(failed)} of {len(everyone)} not graded: {', '.join(failed)}")

    @contextmanager
    def _all_or_nothing(self) -> Iterator[None]:
        """Restore a student whose grading failed: the page, the grades, the entry in the gradebook."""
        self.former, self.error = None, None
        is_whole = False
        try:
            yield
            is_whole = self.error is None
        finally:
            if not is_whole and self.former is not None:
                with Gradebook(self.coursedir.db_url, self.coursedir.course_id) as book:
                    self.former.restore(book)

    def init_destination(self, assignment_id: str, student_id: str) -> bool:
        if self.former is None:  # nbgrader removes the folder, and a second try finds none
            folder = Path(self._format_dest(assignment_id, student_id))
            with Gradebook(self.coursedir.db_url, self.coursedir.course_id) as book:
                self.former = look_at(book, assignment_id, student_id, folder)
        return bool(super().init_destination(assignment_id, student_id))

    def _grade_one(self) -> bool:
        """Grade the one student in `assignments`; wait a while for a gradebook that another program has locked."""
        while True:
            self.error = None
            try:
                super().convert_notebooks()
            except base.NbGraderException:
                if isinstance(self.error, AutograderError):  # no sandbox: the next student would fail too
                    self._stop(str(self.error))
                if "database is locked" not in str(self.error):
                    return False
                if time.monotonic() > self.patience:
                    self._stop(_LOCKED)
                time.sleep(1)
            else:
                return True

    def init_assignment(self, assignment_id: str, student_id: str) -> None:
        course = Course(Path(self.coursedir.root))
        with self._noting():
            super().init_assignment(assignment_id, student_id)
            if extension(course, assignment_id, student_id):  # before the late penalty is computed
                with Gradebook(self.coursedir.db_url, self.coursedir.course_id) as book:
                    enter_extension(book, course, assignment_id, student_id)

    def convert_single_notebook(self, notebook_filename: str) -> None:
        with self._noting():
            super().convert_single_notebook(notebook_filename)

    @contextmanager
    def _noting(self) -> Iterator[None]:
        """Keep the error that nbgrader would swallow, to separate a lock or a fault of ours from other errors."""
        try:
            yield
        except Exception as error:
            self.error = error
            raise

    def _stop(self, sentence: str) -> None:
        self.log.error(sentence)
        raise base.NbGraderException(sentence)


def record_one(api: Any, report: Report) -> dict[str, Any]:
    """Let nbgrader record a report, by the steps of `NbGraderAPI.autograde`; returns what that returns.

    nbgrader's own method takes no report, so the converter is made here, and gets the report as a value.
    """
    with utils.temp_attrs(api.coursedir, assignment_id=report.assignment, student_id=report.student):
        converter = Autograde(coursedir=api.coursedir, parent=api)
        converter.force = converter.create_student = True
        converter.report = report
        return dict(utils.capture_log(converter))


_LOCKED = (
    f"the gradebook was locked by another program for {LOCK_SECONDS:g} s; close that program, run this again "
    "(the reports are kept, nothing is lost or judged twice)"
)
