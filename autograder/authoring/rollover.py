"""Roll over: copy a course to a new folder for the next class: assignments and settings, and nothing about people.

Only what `KEPT` names is copied, so marks and names cannot come along by accident. Due dates stay behind, and so does
the seed of each assignment: the next class gets other random inputs.
"""

from __future__ import annotations

import ast
import shutil
from pathlib import Path

from autograder import dates
from autograder.authoring.build import build
from autograder.course import Course
from autograder.errors import CourseError

KEPT = ("assignments", "docs", "README.md", ".gitignore", "nbgrader_config.py")  #: the settings come last
#: what belongs to a class, or is made again; anything else that is not copied is named
_OF_THE_CLASS = {
    ".autograder", "gradebook.db", "students.csv", "extensions.csv", "groups.txt", "submitted", "autograded",
    "feedback", "class_report", "solutions", "exports", "exchange", "downloaded", "source", "release",
}  # fmt: skip
_SHARED = ("c.CourseDirectory.course_id", "c.CourseDirectory.db_url")  #: settings that two classes must not share
_LEFTOVERS = shutil.ignore_patterns("__pycache__", ".*", dates.FILE, "verification.md")


def roll_over(course: Course, folder: Path) -> list[str]:
    """Copy a course to a new folder and build it; return what to print.

    Raises:
        CourseError: the folder holds something, is inside the course, or cannot be written
    """
    folder = folder.resolve()
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise CourseError(f"{folder}: not empty; choose a new folder")
    if folder.is_relative_to(course.root.resolve()):
        raise CourseError(f"{folder}: is inside this course; choose a folder outside")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name in KEPT:
            path = course.root / name
            if path.is_dir():
                shutil.copytree(path, folder / name, ignore=_LEFTOVERS)
            elif path.is_file():
                shutil.copy(path, folder / name)
    except (OSError, shutil.Error) as error:
        raise CourseError(f"{folder}: cannot be written ({error}); make room or choose another folder") from error
    new = Course(folder)
    build(new)
    ids = new.topic_ids()
    return [
        f"{folder}: {', '.join(ids) or 'no assignment'}; no dates, no class; new random inputs for the next one",
        *_to_do(course, folder),
        "then set dates with `autograder due`, run `autograder release`, and import the class",
    ]


def _to_do(course: Course, folder: Path) -> list[str]:
    """Say what only a person can decide."""
    settings = ast.parse((folder / "nbgrader_config.py").read_text(encoding="utf-8", errors="replace"))
    said = [
        f"nbgrader_config.py: change this line, or both classes share it: {ast.unparse(node)}"
        for node in settings.body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) in _SHARED
    ]
    others = {path.name for path in course.root.iterdir()} - {*KEPT, *_OF_THE_CLASS}
    shown = sorted(name for name in others if not name.startswith((".", "__")))
    return [*said, *([f"not copied: {', '.join(shown)}; copy what belongs to the course"] if shown else [])]
