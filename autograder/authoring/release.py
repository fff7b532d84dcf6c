"""Make release/, which is all that students get: build, let nbgrader generate the assignment, search for leaks.

nbgrader writes into a separate folder. Its files are moved to release/ only after the search has found no leak.
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from autograder import dates
from autograder.authoring.build import build, differences, write_folder
from autograder.authoring.leak import Leak, leaks
from autograder.course import Course
from autograder.errors import AuthorError, CourseError
from autograder.topic import Topic


def release(course: Course, ids: tuple[str, ...] = ()) -> list[Path]:
    """Make release/<id>/ of these assignments, or of all; return what changed in source/ and release/.

    Raises:
        AuthorError: an assignment breaks a rule, or would show a secret; then nothing is released
        CourseError: there is no such assignment, or nbgrader refuses it
    """
    topics = course.topics(ids)
    changed = build(course, tuple(topic.id for topic in topics))
    with _staging(course) as staging:
        _generate(course, topics, staging)
        _refuse_leaks(course, topics, staging)
        _enter_dates(course, topics)
        for topic in topics:
            changed += write_folder(course.release / topic.id, _files(staging / topic.id))
    return changed


def stale(course: Course, ids: tuple[str, ...] = ()) -> list[Path]:
    """Return what `autograder release` would change in release/, for the present source/; no gradebook is changed."""
    topics = course.topics(ids)
    paths: list[Path] = []
    if topics:
        with _staging(course) as staging:
            _generate(course, topics, staging, gradebook=f"sqlite:///{staging / 'gradebook.db'}")
            for topic in topics:
                paths += differences(course.release / topic.id, _files(staging / topic.id))
    if not ids and course.release.is_dir():
        paths += [path for path in sorted(course.release.iterdir()) if path.name not in course.topic_ids()]
    return paths


@contextmanager
def _staging(course: Course) -> Iterator[Path]:
    course.cache.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=course.cache, prefix="release-") as name:
        yield Path(name)


def _files(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def _generate(course: Course, topics: tuple[Topic, ...], staging: Path, *, gradebook: str = "") -> None:
    """Run `nbgrader generate_assignment` for each topic, which also adds it to the gradebook.

    An assignment that has a due date already keeps it.
    """
    from nbgrader.converters import GenerateAssignment
    from nbgrader.coursedir import CourseDirectory
    from nbgrader.utils import capture_log, temp_attrs

    from autograder.recording import guard

    guard.install()  # the guard first repairs an assignment's entry in the gradebook
    config = _nbgrader_config(course, staging)
    if gradebook:
        config.CourseDirectory.db_url = gradebook
    with _scripts_on_path():
        folder = CourseDirectory(config=config)
        for topic in topics:
            with temp_attrs(folder, assignment_id=topic.id):
                converter = GenerateAssignment(coursedir=folder, config=config)
                converter.force = True
                result: dict[str, Any] = capture_log(converter)
            if not result["success"]:
                raise CourseError(
                    f"{course.source / topic.id}: nbgrader cannot generate the assignment {_why(topic.id, result)}"
                )


def _enter_dates(course: Course, topics: tuple[Topic, ...]) -> None:
    """Enter due dates into the gradebook."""
    from autograder.recording import connection, extended

    if dates.dates(course.assignments):
        with connection.opened(course) as api, api.gradebook as book:
            extended.enter_dates(book, course, tuple(topic.id for topic in topics))


def _why(topic_id: str, result: dict[str, Any]) -> str:
    """Return the reason from nbgrader's log, and what to do."""
    from autograder.recording.reason import reason

    why = reason(result)
    cure = f"run 'nbgrader generate_assignment {topic_id}' to see more"
    if "submissions associated with it" in why:
        cure = (
            "marks are recorded for the cells as they were: put these back, or release the change as a new "
            f"assignment; `nbgrader db assignment remove {topic_id} --force` forgets all marks of this one"
        )
    return f"({why}); {cure}"


def _nbgrader_config(course: Course, staging: Path) -> Any:
    """Read the course's own nbgrader_config.py, and no other file: a release is the same for every teacher."""
    from traitlets.config import ConfigFileNotFound, PyFileConfigLoader

    try:
        config = PyFileConfigLoader("nbgrader_config.py", path=str(course.root)).load_config()
    except (ConfigFileNotFound, SystemExit) as error:
        raise CourseError(f"{course.root / 'nbgrader_config.py'}: cannot be used ({error}); correct it") from error
    config.CourseDirectory.root = str(course.root)
    config.CourseDirectory.release_directory = str(staging)
    return config


@contextmanager
def _scripts_on_path() -> Iterator[None]:
    """Put the scripts of this Python on PATH, because nbgrader calls `alembic` to make its gradebook."""
    before = os.environ.get("PATH", "")
    os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), before])
    try:
        yield
    finally:
        os.environ["PATH"] = before


def _refuse_leaks(course: Course, topics: tuple[Topic, ...], staging: Path) -> None:
    found: list[Leak] = []
    for topic in topics:
        found += leaks(topic, [course.source / topic.id])
        for leak in leaks(topic, [staging / topic.id]):
            found.append(replace(leak, path=course.release / leak.path.relative_to(staging)))
    if found:
        more = f" (and {len(found) - 5} more)" if len(found) > 5 else ""
        raise AuthorError(
            "students would get something secret; nothing was released:\n"
            + "\n".join(f"  {leak}" for leak in found[:5])
            + more
        )
