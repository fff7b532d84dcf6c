"""Registrar: what nbgrader does differently in this course.

`configure`, called from nbgrader_config.py, sets the course up, so that nbgrader's commands and the formgrader's
buttons work unmodified. `bind` replaces nbgrader's converter by ours, with or without that call:

* `Examine` replaces Execute: no student notebook is run; a grade cell's score comes from a report.
* `SaveScores` replaces SaveAutoGrades: a task without a verdict waits for a person, without a number.
* `PristineExporter` replaces NotebookExporter: the released notebook is graded, with a student's answers.
* `Autograde` replaces nbgrader's class of that name: every student's folder is graded, with or without a good
  notebook, one at a time. Only the module and nbgrader's own two files are copied out of a parcel. nbgrader imports
  its converter in two modules and offers no setting for it, so these two names are bound again.
* `read_timestamp` replaces two functions that fail if timestamp.txt holds no time. In stock nbgrader a student's
  grading and the formgrader's page of the whole class fail with them.

A mark depends on none of nbgrader's settings: the converter fixes its own steps (autograde.py), and the guard
(guard.py) keeps all other parts of nbgrader from running what students wrote.
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

from nbconvert.preprocessors import CSSHTMLHeaderPreprocessor
from nbgrader import preprocessors, utils
from nbgrader.apps import api, autogradeapp
from nbgrader.coursedir import CourseDirectory

from autograder.course import Course
from autograder.errors import AutograderError
from autograder.recording import guard
from autograder.recording.autograde import Autograde
from autograder.recording.laid import PristineExporter, not_overwritten
from autograder.recording.late import LatePolicy
from autograder.recording.steps import GRADING
from autograder.recording.warm import FeedbackExporter

FILTERS = {
    "markdown2html": "autograder.recording.feedback.markdown_to_html",
    "highlight_code": "autograder.recording.warm.highlight",
}


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
    c.Autograde.exclude_overwriting = dict(_kept(course))
    c.AssignLatePenalties.plugin_class = LatePolicy
    c.HTMLExporter.filters = dict(FILTERS)
    c.Autograde.exporter_class = PristineExporter
    c.GenerateFeedback.exporter_class = FeedbackExporter
    c.Autograde.autograde_preprocessors = list(GRADING)
    bind()


def is_configured(config: Any) -> bool:
    """Whether this nbgrader configuration comes from `configure`, and nothing after it has changed the steps."""
    return list(config.Autograde.get("autograde_preprocessors", ())) == list(GRADING)


def insist(config: Any) -> None:
    """Fix what feedback pages must have, whatever the files say: no step that runs a cell, no HTML of a student."""
    config.GenerateFeedback.exporter_class = FeedbackExporter
    config.GenerateFeedback.preprocessors = [preprocessors.GetGrades, CSSHTMLHeaderPreprocessor]
    filters = {**config.HTMLExporter.get("filters", {}), **FILTERS}
    config.HTMLExporter.filters = filters


def _kept(course: Course) -> Iterator[tuple[str, list[str]]]:
    """What nbgrader must not overwrite; an assignment that its author broke says so when it is graded."""
    for topic_id in course.topic_ids():
        try:
            yield topic_id, not_overwritten(course.topic(topic_id))
        except AutograderError:
            continue


def _put_alembic_on_path() -> None:
    """Let nbgrader find alembic in a venv that is not activated; otherwise a new gradebook gets no version."""
    folder = str(Path(sys.executable).parent)
    if not shutil.which("alembic") and shutil.which("alembic", path=folder):
        os.environ["PATH"] = f"{os.environ.get('PATH', '')}{os.pathsep}{folder}"


def bind() -> type[Autograde]:
    """Make nbgrader use our converter, in this process; returns it."""
    warnings.filterwarnings("ignore", message="Object of type <Submitted")  # nbgrader's, about its own tables
    _put_alembic_on_path()
    guard.install()
    api.Autograde = autogradeapp.Autograde = Autograde
    CourseDirectory.get_existing_timestamp = lambda self, folder: read_timestamp(Path(folder))
    api.NbGraderAPI.get_submitted_timestamp = lambda self, assignment_id, student_id: read_timestamp(
        Path(self.coursedir.format_path(self.coursedir.submitted_directory, student_id, assignment_id))
    )
    return Autograde


def read_timestamp(folder: Path) -> datetime.datetime | None:
    """Return when a parcel was handed in, in UTC; if timestamp.txt holds no time, return when it was written."""
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
