"""Start a course: the settings of nbgrader, a first assignment that works, and a page with the next steps."""

from __future__ import annotations

import re
import unicodedata
from importlib import resources
from pathlib import Path

from autograder.authoring.new import new
from autograder.course import Course, find_course
from autograder.errors import CourseError
from autograder.files import write_atomically

FIRST = "01_first_steps"  #: the first assignment's id
_FILES = {"README.md": "README.md", "gitignore": ".gitignore", "nbgrader_config.py": "nbgrader_config.py"}


def init(folder: Path) -> list[Path]:
    """Write a course into a folder; return the paths of its files, in which nothing was overwritten.

    Raises:
        CourseError: the folder holds one of these files already, is inside a course, or cannot be written
    """
    folder = folder.resolve()
    _refuse_a_course(folder)
    for name in ("assignments", *_FILES.values()):
        if (folder / name).exists():
            raise CourseError(f"{folder / name}: it exists already; choose another folder, or move it away")
    templates = resources.files("autograder").joinpath("templates", "new_course")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        written = new(Course(folder), FIRST)
        for template, name in _FILES.items():  # the settings come last: they make the folder a course
            text = templates.joinpath(template).read_text(encoding="utf-8").replace("COURSE_ID", course_id(folder))
            write_atomically(folder / name, text.encode())
            written.append(folder / name)
    except OSError as error:
        raise CourseError(f"{folder}: cannot be written ({error.strerror}); choose another folder") from error
    return written


def course_id(folder: Path) -> str:
    """Return a name for nbgrader from a folder's name: letters, digits and _ only."""
    plain = unicodedata.normalize("NFKD", folder.name).encode("ascii", "ignore").decode()
    return re.sub(r"\W+", "_", plain).strip("_").lower() or "course"


def _refuse_a_course(folder: Path) -> None:
    try:
        found = find_course(folder)
    except CourseError:
        return
    raise CourseError(f"{found.root}: a course is here already; choose a folder outside it")
