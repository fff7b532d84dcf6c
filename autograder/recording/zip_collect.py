"""Zip collect: let nbgrader's own `zip_collect` lay files of a known student into the folder of hand-ins."""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path
from typing import Any

from nbgrader.apps.zipcollectapp import ZipCollectApp
from nbgrader.plugins import ExtractorPlugin, FileNameCollectorPlugin
from nbgrader.utils import capture_log

from autograder.course import Course
from autograder.errors import CourseError
from autograder.recording.reason import reason

ARCHIVE = "archive"  #: where nbgrader looks for what was downloaded, below <downloaded>/<assignment>/
#: our own layout of that folder, for nbgrader: student, time or "-", file
_LAYOUT = r".*/extracted/(?P<student_id>[^/]+)/(?:-|(?P<timestamp>[^/]+))/(?P<file_id>[^/]+)$"


def zip_collect(course: Course, assignment: str, downloaded: Path, submitted: Path) -> None:
    """Run `nbgrader zip_collect` on <downloaded>/<assignment>/archive/<student>/<time>/<file>, into `submitted`.

    Args:
        course: whose configuration counts, apart from the places and the names of files
        downloaded: a folder in the course
        submitted: another one, to which nbgrader adds <student>/<assignment>/

    Raises:
        CourseError: nbgrader does not take the files
    """
    before = sys.path.copy()
    with contextlib.chdir(course.root):
        app: Any = ZipCollectApp()
        try:
            app.initialize([assignment])
            app.log.handlers.clear()
            app.log.propagate = False
            app.coursedir.root = str(course.root)
            app.coursedir.submitted_directory = str(submitted.relative_to(course.root))
            app.downloaded_directory = str(downloaded.relative_to(course.root))
            app.extractor_plugin, app.collector_plugin = ExtractorPlugin, FileNameCollectorPlugin
            app.config.FileNameCollectorPlugin.named_regexp = _LAYOUT
            app.config.FileNameCollectorPlugin.valid_ext = [".py", ".ipynb"]
            app.force, app.strict = False, False
            result = capture_log(app)
        finally:
            sys.path[:] = before  # nbgrader puts the current folder in front
    if not result["success"]:
        raise CourseError(f"{assignment}: nbgrader's zip_collect stopped ({reason(result)}); nothing was collected")
