"""Autograde: what nbgrader runs for each student in the place of its own steps; registrar.py says why each.

It may wait for a gradebook that another program holds, and it never runs a notebook.
"""

from __future__ import annotations

import fnmatch
import glob
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import nbformat
from nbconvert.exporters import NotebookExporter
from nbgrader import preprocessors, utils
from nbgrader.converters import autograde, base
from traitlets import Bool, Integer

from autograder.course import Course, find_course
from autograder.errors import AutograderError, CourseError
from autograder.grading.attempts import admit
from autograder.grading.collect import collect_in_place
from autograder.grading.examine import report_on
from autograder.recording.answers import lay
from autograder.recording.feedback import notice, write_outputs
from autograder.recording.warm import warm_gradebook

LOCK_SECONDS = 60.0  #: how long a gradebook that another program holds is waited for, over a whole class
COPIED = ("timestamp.txt", "submission_secret.txt")  #: nbgrader's own files in a parcel


class Examine(preprocessors.NbGraderPreprocessor):  # type: ignore[misc]
    """Write each task's score, and what is said about it, into its grade cell as if the cell had been run."""

    seed = Integer(None, allow_none=True, help="Judge under this seed, not the class's.").tag(config=True)
    allow_unisolated = Bool(False, help="Judge without a sandbox where none works.").tag(config=True)

    def preprocess(self, nb: Any, resources: Any) -> tuple[Any, Any]:
        names = resources["nbgrader"]
        course = find_course(Path.cwd())
        topic = course.topic(names["assignment"])
        coursedir = self.parent.parent.coursedir
        parcel = coursedir.format_path(coursedir.submitted_directory, names["student"], topic.id)
        submission = admit(course, topic, collect_in_place(Path(parcel), topic))
        report = report_on(course, submission, seed=self.seed, allow_unisolated=self.allow_unisolated)
        tasks = {task.task: task for task in report.tasks}
        for cell in nb.cells:
            if utils.is_grade(cell) and not utils.is_solution(cell):
                write_outputs(cell, topic, tasks.get(cell.metadata.nbgrader.grade_id))
        noticed = (*report.complaints, *nb.metadata.pop("autograder", {}).get("complaints", ()))
        if noticed:
            nb.cells.insert(0, notice(noticed))
        return nb, resources


class SaveScores(preprocessors.SaveAutoGrades):  # type: ignore[misc]
    """Save each grade cell's score; leave a cell without one to a person, as with written answers."""

    def _add_score(self, cell: Any, resources: Any) -> None:
        super()._add_score(cell, resources)
        if not cell.metadata.get("autograder", {}).get("is_open"):
            return
        names = resources["nbgrader"]
        grade_id = cell.metadata.nbgrader.grade_id
        grade = self.gradebook.find_grade(grade_id, names["notebook"], names["assignment"], names["student"])
        grade.auto_score = None
        grade.needs_manual_grade = True
        self.gradebook.db.commit()


class PristineExporter(NotebookExporter):  # type: ignore[misc]
    """Give nbgrader the released notebook with the student's answers in the place of the student's own."""

    def from_filename(self, filename: str, resources: Any = None, **kw: Any) -> Any:
        if not self.parent._sanitizing:
            return super().from_filename(filename, resources=resources, **kw)
        course = find_course(Path.cwd())
        notebook, complaints = lay(_released(course, resources["nbgrader"]["assignment"]), Path(filename))
        notebook["metadata"]["autograder"] = {"complaints": list(complaints)}
        resources["metadata"] = {"name": Path(filename).stem, "path": str(Path(filename).parent)}
        return self.from_notebook_node(
            nbformat.reads(json.dumps(notebook), as_version=4), resources=resources, **kw
        )


def _released(course: Course, assignment: str) -> dict[str, Any]:
    path = course.release / assignment / f"{assignment}.ipynb"
    try:
        notebook: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise CourseError(
            f"{path}: cannot be read ({error}); run `autograder release {assignment}`"
        ) from error
    return notebook


class _PlainCopy(base.BaseConverter):  # type: ignore[misc]
    """Copy nbgrader's own files out of a parcel, and the module as examined; its own copy follows links."""

    def init_assignment(self, assignment_id: str, student_id: str) -> None:
        parcel = Path(self._format_source(assignment_id, student_id))
        folder = Path(self._format_dest(assignment_id, student_id))
        folder.mkdir(parents=True, exist_ok=True)
        for name in COPIED:
            file = parcel / name
            if not file.is_symlink() and file.is_file() and file.stat().st_size <= 1000:
                _write_anew(folder / name, file.read_bytes())
        topic = find_course(Path(self.coursedir.root)).topic(assignment_id)
        source = collect_in_place(parcel, topic).source
        if source is not None:
            _write_anew(folder / f"{topic.module}.py", source)


def _write_anew(path: Path, content: bytes) -> None:
    path.unlink(missing_ok=True)  # nbgrader leaves what it wrote without the right to write
    path.write_bytes(content)


class Autograde(autograde.Autograde, _PlainCopy):  # type: ignore[misc]
    """nbgrader's Autograde for every folder handed in, one student at a time."""

    def init_notebooks(self) -> None:
        """Take each student's folder with the notebook that ought to be in it: a missing one stops nobody."""
        assignment, student = self.coursedir.assignment_id, self.coursedir.student_id
        try:
            find_course(Path(self.coursedir.root)).topic(assignment)
        except AutograderError as error:  # not ours, or broken by its author: nothing of it is run
            self._stop(str(error))
        place = self._format_source(assignment, student)
        found = [place] if os.path.isdir(place) else glob.glob(place)
        folders = [folder for folder in found if os.path.isdir(folder)]
        if not folders or not fnmatch.fnmatchcase(assignment, self.coursedir.notebook_id):
            self._stop(f"{place}: nothing was handed in for {assignment}; collect it or put it there")
        self.assignments = {folder: [os.path.join(folder, f"{assignment}.ipynb")] for folder in folders}

    def convert_notebooks(self) -> None:
        """Grade one student after the other: what stops one stops nobody else."""
        everyone, failed = self.assignments, []
        self.patience = time.monotonic() + LOCK_SECONDS
        with warm_gradebook():
            for folder in sorted(everyone):
                self.assignments = {folder: everyone[folder]}
                if not self._grade_one():
                    failed.append(f"{Path(folder).parent.name} ({type(self.error).__name__}: {self.error})")
        if failed:
            self._stop(f"{len(failed)} of {len(everyone)} not graded: {', '.join(failed)}")

    def _grade_one(self) -> bool:
        """Grade the one student in `assignments`; wait a while for a gradebook that another program holds."""
        while True:
            self.error: Exception | None = None
            try:
                super().convert_notebooks()
            except base.NbGraderException:
                if isinstance(self.error, AutograderError):  # no sandbox: the next fares no better
                    self._stop(str(self.error))
                if "database is locked" not in str(self.error):
                    return False
                if time.monotonic() > self.patience:
                    self._stop(_LOCKED)
                time.sleep(1)
            else:
                return True

    def init_assignment(self, assignment_id: str, student_id: str) -> None:
        with self._noting():
            super().init_assignment(assignment_id, student_id)

    def convert_single_notebook(self, notebook_filename: str) -> None:
        with self._noting():
            super().convert_single_notebook(notebook_filename)

    @contextmanager
    def _noting(self) -> Iterator[None]:
        """Keep the error that nbgrader is about to swallow, to tell a lock or a fault of ours from others."""
        try:
            yield
        except Exception as error:
            self.error = error
            raise

    def _stop(self, sentence: str) -> None:
        self.log.error(sentence)
        raise base.NbGraderException(sentence)


_LOCKED = (
    f"the gradebook was locked by another program for {LOCK_SECONDS:g} s; close that program, run this again "
    "(the reports are kept, nothing is lost or judged twice)"
)
