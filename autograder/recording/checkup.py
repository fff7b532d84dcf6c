"""Checkup: what `autograder doctor` says about nbgrader in a course."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from autograder.course import Course
from autograder.errors import AutograderError, CourseError

_UNCONFIGURED = """\
nbgrader_config.py: nbgrader does not have this course's settings. `autograder grade` records true marks all the same;
  {others}
  to do: end nbgrader_config.py with these lines, and set nothing of Autograde after them
    from pathlib import Path
    from autograder.recording.registrar import configure
    c = get_config()
    configure(c, Path(__file__).resolve().parent)"""
_GUARDED = "`nbgrader autograde` and the formgrader examine by the judge too, but pages may show a student's HTML."
_STOCK = "`nbgrader autograde` and the formgrader fail, since they would run students' notebooks."


def look(course: Course) -> tuple[list[str], list[str]]:
    """Return sentences about nbgrader in a course: what is wrong, and what is only worth knowing."""
    from autograder.recording import connection, registrar

    try:
        with connection.opened(course) as api:
            wrong = _of_entries(course, api)
            if not registrar.is_configured(api.parent.config):
                wrong.insert(0, _UNCONFIGURED.format(others=_GUARDED if is_guarded() else _STOCK))
            return wrong, [*_of_names(api), *_of_exchange(api)]
    except CourseError as error:
        return [str(error)], []


def is_guarded() -> bool:
    """Whether every nbgrader of this Python loads the guard: the package's file is among Jupyter's configuration."""
    from jupyter_core.paths import jupyter_config_path

    files = (Path(folder) / "nbgrader_config.json" for folder in jupyter_config_path())
    return any(file.is_file() and "autograder.recording.loaded" in file.read_text() for file in files)


def _of_entries(course: Course, api: Any) -> list[str]:
    """Say which released assignments the gradebook has in part."""
    from autograder.recording import gradebook

    found = []
    for assignment in course.topic_ids():
        if (course.release / assignment).is_dir() and gradebook.knows(api, assignment):
            try:
                gradebook.require(api, course, assignment)
            except AutograderError as error:
                found.append(str(error))
    return found


def _of_names(api: Any) -> Iterator[str]:
    """Say how many students the formgrader shows as "None, None"."""
    from autograder.recording import connection

    if connection.is_there(api):
        with api.gradebook as book:
            nameless = [known.id for known in book.students if not (known.first_name or known.last_name)]
        if nameless:
            yield (
                f"students without a name in the gradebook: {len(nameless)}; the formgrader shows 'None, None'; "
                "run `nbgrader db student import students.csv` (columns id,first_name,last_name,email)"
            )


def _of_exchange(api: Any) -> Iterator[str]:
    """Say if nbgrader's exchange is missing, because the formgrader then shows no buttons for it."""
    if api.exchange_missing:
        where = api.exchange_root or "nbgrader's exchange"
        yield (
            f"{where}: there is no such folder, so the formgrader cannot release or collect: "
            "`nbgrader release_assignment ID` makes it"
        )
