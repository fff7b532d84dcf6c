"""Registrar: what nbgrader does otherwise in this course.

`configure`, called from nbgrader_config.py, puts five things in the place of nbgrader's own, so that its
commands and the formgrader's buttons work unmodified:

* `Examine` stands for Execute: no student notebook is run; a grade cell's score comes from a report.
* `SaveScores` stands for SaveAutoGrades: a task without a verdict waits for a person, without a number.
* `PristineExporter` stands for NotebookExporter: graded is the released notebook, with a student's answers.
* `Autograde` stands for its namesake: every student's folder is graded, with or without a good notebook, one
  at a time; only the module and nbgrader's own two files are copied out of a parcel. nbgrader names its
  converter by import in two modules and offers no setting for it, so these two names are bound anew.
* `read_timestamp` stands for two functions that die of a timestamp.txt without a time in it, and with them,
  in stock nbgrader, a student's grading and the formgrader's page of the whole class.
"""

from __future__ import annotations

import datetime
import os
import shutil
import stat
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from nbconvert.preprocessors import ClearMetadataPreprocessor
from nbgrader import preprocessors, utils
from nbgrader.apps import api, autogradeapp
from nbgrader.coursedir import CourseDirectory

from autograder.course import Course
from autograder.errors import AutograderError
from autograder.recording.autograde import Autograde, Examine, PristineExporter, SaveScores
from autograder.recording.late import LatePolicy
from autograder.recording.warm import FeedbackExporter


def configure(c: Any, root: Path) -> None:
    """Set nbgrader up for the course at `root`; `c` is its configuration.

    A fault ends the program: nbgrader would go on without this configuration, and run students' code.
    """
    try:
        _configure(c, Course(root))
    except Exception as error:
        raise SystemExit(f"{root / 'nbgrader_config.py'}: {error}") from error


def _configure(c: Any, course: Course) -> None:
    c.CourseDirectory.course_id = "deep_learning"
    c.Exchange.root = os.environ.get("NBGRADER_EXCHANGE", str(course.root / "exchange"))
    c.FileNameCollectorPlugin.valid_ext = [".ipynb", ".py"]
    c.Autograde.exclude_overwriting = {topic_id: [f"{module}.py"] for topic_id, module in _modules(course)}
    c.AssignLatePenalties.plugin_class = LatePolicy
    c.HTMLExporter.filters = {"markdown2html": "autograder.recording.feedback.markdown_to_html"}
    c.Autograde.exporter_class = PristineExporter
    c.GenerateFeedback.exporter_class = FeedbackExporter
    c.Autograde.autograde_preprocessors = [
        Examine,
        ClearMetadataPreprocessor,
        preprocessors.LimitOutput,
        SaveScores,
        preprocessors.AssignLatePenalties,
        preprocessors.CheckCellMetadata,
    ]
    warnings.filterwarnings("ignore", message="Object of type <Submitted")  # nbgrader's, about its own tables
    _put_alembic_on_path()
    _bind_anew()


def _modules(course: Course) -> Iterator[tuple[str, str]]:
    """Each assignment's module; one that its author broke says so when it is graded, and stops no other."""
    for topic_id in course.topic_ids():
        try:
            yield topic_id, course.topic(topic_id).module
        except AutograderError:
            continue


def _put_alembic_on_path() -> None:
    """Let nbgrader find alembic in a venv that is not activated; else a new gradebook gets no version."""
    folder = str(Path(sys.executable).parent)
    if not shutil.which("alembic") and shutil.which("alembic", path=folder):
        os.environ["PATH"] = f"{os.environ.get('PATH', '')}{os.pathsep}{folder}"


def _bind_anew() -> None:
    api.Autograde = autogradeapp.Autograde = Autograde
    CourseDirectory.get_existing_timestamp = lambda self, folder: read_timestamp(Path(folder))
    api.NbGraderAPI.get_submitted_timestamp = lambda self, assignment_id, student_id: read_timestamp(
        Path(self.coursedir.format_path(self.coursedir.submitted_directory, student_id, assignment_id))
    )


def read_timestamp(folder: Path) -> datetime.datetime | None:
    """Return when a parcel was handed in, in UTC; if timestamp.txt holds no time, when it was written."""
    path = folder / "timestamp.txt"
    try:
        what = path.lstat()
    except OSError:
        return None
    written = datetime.datetime.fromtimestamp(int(what.st_mtime), datetime.UTC).replace(tzinfo=None)
    if not stat.S_ISREG(what.st_mode) or what.st_size > 200:
        return written
    try:
        time_given = utils.parse_utc(path.read_text(encoding="utf-8").strip())
    except (OSError, ValueError, OverflowError, TypeError):
        return written
    return time_given if isinstance(time_given, datetime.datetime) else written
