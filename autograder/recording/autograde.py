"""Autograde: the steps that replace nbgrader's own steps for each student; registrar.py says why.

It may wait for a gradebook that another program holds, and it never runs a notebook. What it does is fixed here: no
setting of nbgrader's can change the steps, the exporter, or which file of the student's is kept.
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
from nbconvert.preprocessors import ExecutePreprocessor
from nbgrader import preprocessors, utils
from nbgrader.api import Gradebook
from nbgrader.converters import autograde, base
from sqlalchemy.exc import OperationalError
from traitlets import Bool, Integer

from autograder.course import Course
from autograder.errors import AutograderError, CourseError
from autograder.extensions import enter_extension, extension
from autograder.grading.intake.attempts import admit
from autograder.grading.intake.collect import collect_in_place
from autograder.grading.mark.examine import report_on
from autograder.limits import LOCK_SECONDS
from autograder.recording import entry
from autograder.recording.answers import is_answer, lay
from autograder.recording.feedback import notice, write_outputs
from autograder.recording.former import Former, look_at
from autograder.recording.warm import warm_gradebook
from autograder.report import Report
from autograder.report.words import told
from autograder.sandbox.both.bundle import parted
from autograder.topic import Topic

COPIED = ("timestamp.txt", "submission_secret.txt")  #: nbgrader's own files in a parcel


class Examine(preprocessors.NbGraderPreprocessor):  # type: ignore[misc]
    """Write each task's score and feedback into its grade cell, as if the cell had been run."""

    seed = Integer(None, allow_none=True, help="Judge under this seed, not the class's.").tag(config=True)
    allow_unisolated = Bool(False, help="Judge without a sandbox if none works.").tag(config=True)

    def preprocess(self, nb: Any, resources: Any) -> tuple[Any, Any]:
        names = resources["nbgrader"]
        coursedir = self.parent.parent.coursedir
        course = Course(Path(coursedir.root))
        topic = course.topic(names["assignment"])
        parcel = coursedir.format_path(coursedir.submitted_directory, names["student"], topic.id)
        report = self.parent.parent.report
        if report is None:
            submission = admit(course, topic, collect_in_place(Path(parcel), topic))
            report = report_on(course, submission, seed=self.seed, allow_unisolated=self.allow_unisolated)
        tasks = {task.task: (task, words) for task, words in told(report, topic)}
        for cell in nb.cells:
            if utils.is_grade(cell) and not utils.is_solution(cell):
                write_outputs(cell, topic, *tasks.get(cell.metadata.nbgrader.grade_id, (None,)))
        noticed = (*report.complaints, *nb.metadata.pop("autograder", {}).get("complaints", ()))
        if noticed:
            nb.cells.insert(0, notice(noticed))
        return nb, resources


class SaveScores(preprocessors.SaveAutoGrades):  # type: ignore[misc]
    """Save each grade cell's score; leave a cell without one to a person, as with written answers.

    What a person gave stays given as long as the student's answer, or module, is the one that the person saw. All
    scores of a student are written to the disk at once; nbgrader's own step writes each of them.
    """

    def preprocess(self, nb: Any, resources: Any) -> tuple[Any, Any]:
        names = resources["nbgrader"]
        self.notebook_id, self.assignment_id = names["notebook"], names["assignment"]
        self.student_id, self.db_url = names["student"], names["db_url"]
        with Gradebook(self.db_url) as self.gradebook:
            session = self.gradebook.db
            session.commit = session.flush
            for number, cell in enumerate(nb.cells):
                nb.cells[number], resources = self.preprocess_cell(cell, resources, number)
            del session.commit
            session.commit()
        return nb, resources

    def _add_score(self, cell: Any, resources: Any) -> None:
        super()._add_score(cell, resources)
        names = resources["nbgrader"]
        grade_id = cell.metadata.nbgrader.grade_id
        grade = self.gradebook.find_grade(grade_id, names["notebook"], names["assignment"], names["student"])
        if cell.metadata.get("autograder", {}).get("is_open"):
            grade.auto_score = None
            grade.needs_manual_grade = True
        if self._is_given(cell, grade):
            grade.needs_manual_grade = False
        self.gradebook.db.commit()

    def _is_given(self, cell: Any, grade: Any) -> bool:
        """Whether a person's score stays valid: given before, for the same work, and within the points."""
        converter = self.parent.parent
        former = converter.former
        if former is None or not former.is_given(grade.name) or grade.manual_score > grade.max_score:
            return False
        if is_answer(cell):
            return bool(former.has_answer(cell))
        return all(former.has_file(path.name) for path in converter.topic.module_paths)


class PristineExporter(NotebookExporter):  # type: ignore[misc]
    """Give nbgrader the released notebook with the student's answers, instead of the student's notebook."""

    def from_filename(self, filename: str, resources: Any = None, **kw: Any) -> Any:
        if not self.parent._sanitizing:
            return super().from_filename(filename, resources=resources, **kw)
        course = Course(Path(self.parent.coursedir.root))
        notebook, complaints = lay(released(course, resources["nbgrader"]["assignment"]), Path(filename))
        notebook["metadata"]["autograder"] = {"complaints": list(complaints)}
        resources["metadata"] = {"name": Path(filename).stem, "path": str(Path(filename).parent)}
        return self.from_notebook_node(nbformat.reads(json.dumps(notebook), as_version=4), resources=resources, **kw)


def released(course: Course, assignment: str) -> dict[str, Any]:
    """Read the released notebook of an assignment, as JSON.

    Raises:
        CourseError: there is none
    """
    path = course.release / assignment / f"{assignment}.ipynb"
    try:
        notebook: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        why = "is missing" if isinstance(error, FileNotFoundError) else f"cannot be read ({error})"
        raise CourseError(f"{path}: {why}; run `autograder release {assignment}`") from error
    return notebook


class _PlainCopy(base.BaseConverter):  # type: ignore[misc]
    """Copy nbgrader's own files out of a parcel, and the examined module; nbgrader's own copy would follow links."""

    def init_assignment(self, assignment_id: str, student_id: str) -> None:
        parcel = Path(self._format_source(assignment_id, student_id))
        folder = Path(self._format_dest(assignment_id, student_id))
        folder.mkdir(parents=True, exist_ok=True)
        for name in COPIED:
            file = parcel / name
            if not file.is_symlink() and file.is_file() and file.stat().st_size <= 1000:
                _write_anew(folder / name, file.read_bytes())
        topic = Course(Path(self.coursedir.root)).topic(assignment_id)
        source = collect_in_place(parcel, topic).source
        for name, text in parted(source, topic.modules).items() if source is not None else ():
            _write_anew(folder / f"{name}.py", text)


def not_overwritten(topic: Topic) -> list[str]:
    """Return what nbgrader must not copy out of source/: a student's modules, and given files, which nobody reads."""
    return [*(path.name for path in topic.module_paths), *topic.files]


def _write_anew(path: Path, content: bytes) -> None:
    path.unlink(missing_ok=True)  # nbgrader makes the files that it wrote read-only
    path.write_bytes(content)


#: the steps on the released notebook with the student's answers, and then those that find and save the scores
LAYING = (
    preprocessors.ClearOutput,
    preprocessors.DeduplicateIds,
    preprocessors.OverwriteKernelspec,
    preprocessors.OverwriteCells,
    preprocessors.CheckCellMetadata,
)
GRADING = (
    Examine,
    preprocessors.LimitOutput,
    SaveScores,
    preprocessors.AssignLatePenalties,
    preprocessors.CheckCellMetadata,
)
_MAY_BE_OFF = (preprocessors.LimitOutput, preprocessors.AssignLatePenalties)  #: if a setting says so


class Autograde(autograde.Autograde, _PlainCopy):  # type: ignore[misc]
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
            self.exporter.register_preprocessor(step, enabled=step not in _MAY_BE_OFF)
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
