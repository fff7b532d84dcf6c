"""The steps of a grading: what is done with a student's notebook, and how its scores are found and saved."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from nbgrader import preprocessors, utils
from nbgrader.api import Gradebook
from traitlets import Bool, Integer

from autograder.course import Course
from autograder.grading.intake.attempts import admit
from autograder.grading.intake.collect import collect_in_place
from autograder.grading.mark.examine import report_on
from autograder.recording.answers import is_answer
from autograder.recording.feedback import notice, write_outputs
from autograder.report.words import told


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
MAY_BE_OFF = (preprocessors.LimitOutput, preprocessors.AssignLatePenalties)  #: if a setting says so
