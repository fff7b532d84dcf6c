"""Make release/, all that a student ever gets: build, let nbgrader generate the assignment, search for leaks.

nbgrader writes into a folder of its own, and only what the search has passed is then moved to release/.
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

from autograder.authoring.build import build, differences, write_folder
from autograder.authoring.leak import Leak, leaks
from autograder.course import Course
from autograder.errors import AuthorError, CourseError
from autograder.topic import Topic


def release(course: Course, ids: tuple[str, ...] = ()) -> list[Path]:
    """Make release/<id>/ of those assignments, or of all; return what changed in source/ and release/.

    Raises:
        AuthorError: an assignment breaks a rule, or would show a secret; then nothing is released
        CourseError: there is no such assignment, or nbgrader refuses it
    """
    topics = course.topics(ids)
    changed = build(course, tuple(topic.id for topic in topics))
    with _staging(course) as staging:
        _generate(course, topics, staging)
        _refuse_leaks(course, topics, staging)
        for topic in topics:
            changed += write_folder(course.release / topic.id, _files(staging / topic.id))
    return changed


def stale(course: Course, ids: tuple[str, ...] = ()) -> list[Path]:
    """Return what `make release` would change in release/, with source/ as it is; no gradebook is touched."""
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
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


def _generate(course: Course, topics: tuple[Topic, ...], staging: Path, *, gradebook: str = "") -> None:
    """Run `nbgrader generate_assignment` for each topic, which also enters it into the gradebook."""
    from nbgrader.converters import GenerateAssignment
    from nbgrader.coursedir import CourseDirectory
    from nbgrader.utils import capture_log, temp_attrs

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
                words = (result.get("error") or result.get("log") or "it says nothing").strip()
                raise CourseError(
                    f"{course.source / topic.id}: nbgrader cannot generate the assignment "
                    f"({words.splitlines()[-1]}); run 'nbgrader generate_assignment {topic.id}' to see more"
                )


def _nbgrader_config(course: Course, staging: Path) -> Any:
    """Read the course's own nbgrader_config.py, and no other: a release does not depend on who makes it."""
    from traitlets.config import ConfigFileNotFound, PyFileConfigLoader

    try:
        config = PyFileConfigLoader("nbgrader_config.py", path=str(course.root)).load_config()
    except (ConfigFileNotFound, SystemExit) as error:
        raise CourseError(
            f"{course.root / 'nbgrader_config.py'}: cannot be used ({error}); mend it"
        ) from error
    config.CourseDirectory.root = str(course.root)
    config.CourseDirectory.release_directory = str(staging)
    return config


@contextmanager
def _scripts_on_path() -> Iterator[None]:
    """Put this Python's scripts on PATH: nbgrader calls `alembic` to make its gradebook."""
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
