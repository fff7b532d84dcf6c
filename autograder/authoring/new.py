"""Start a new assignment: six files that already work. The author replaces them piece by piece."""

from __future__ import annotations

import keyword
import os
import re
import shutil
import sys
import tempfile
from importlib import resources
from pathlib import Path

from autograder.course import Course
from autograder.errors import CourseError

_ID = re.compile(r"(?:[0-9]+_)?[a-z][a-z0-9]*(?:_[a-z0-9]+)*")
_MODULE = "new_topic"  # the module of the template, which is itself a working assignment
_TITLE = "New topic"


def new(course: Course, topic_id: str) -> list[Path]:
    """Write assignments/<id>/ from the template; return the paths of its files.

    Args:
        course: the course that gets the assignment
        topic_id: the name of the folder, such as "12_dropout"; without the number it is the name of the module

    Raises:
        CourseError: there is already such an assignment, or the id is not a good name
    """
    module = _module_name(course, topic_id)
    folder = course.assignments / topic_id
    course.assignments.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(dir=course.assignments, prefix=".new-"))
    try:
        for file in resources.files("autograder").joinpath("templates", _MODULE).iterdir():
            if file.is_file():
                text = file.read_text(encoding="utf-8")
                text = text.replace(_MODULE, module).replace(_TITLE, module.replace("_", " ").capitalize())
                (temporary / file.name.replace(_MODULE, module)).write_text(text, encoding="utf-8")
        temporary.chmod(0o755)
        os.rename(temporary, folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return sorted(folder.iterdir())


def _module_name(course: Course, topic_id: str) -> str:
    """Return the name of a new assignment's module; refuse an id that would cause errors later."""
    example = "use a number and small words, such as 12_dropout"
    if not topic_id:
        raise CourseError(f"{course.assignments}: no name was given; write `autograder new 12_dropout`")
    if not _ID.fullmatch(topic_id):
        raise CourseError(f"{course.assignments}: {topic_id!r} is no name for an assignment; {example}")
    module = re.sub(r"^[0-9]+_", "", topic_id)
    if keyword.iskeyword(module) or module in sys.stdlib_module_names:
        raise CourseError(f"{course.assignments}: {module!r} is a name of Python's own; {example}")
    if module in ("autograder", "numpy", "torch", "pytest") or module.startswith("test_") or "hidden" in module:
        raise CourseError(f"{course.assignments}: a module named {module!r} would be mistaken; {example}")
    if (course.assignments / topic_id).exists():
        raise CourseError(f"{course.assignments / topic_id}: it exists already; choose another name")
    for other in course.topics():
        if other.module == module:
            raise CourseError(f"{other.folder}: has a module {module!r} already; choose another name")
    return module
