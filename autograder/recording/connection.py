"""The connection to a course's gradebook: nbgrader's API in this process, with settings that no file may change."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from autograder.course import Course
from autograder.errors import CourseError

#: the modules by which SQLAlchemy speaks to a server
_DRIVERS = ("psycopg2", "psycopg", "asyncpg", "pg8000", "MySQLdb", "pymysql")
_open_now: list[tuple[Path, Any]] = []  #: the courses whose API is open, and the API, from the outer to the inner block


@contextlib.contextmanager
def opened(course: Course) -> Iterator[Any]:
    """Give nbgrader's API for the course, silent: with the course's settings, and with what recording must have.

    Within a block, another block for the same course gets the same API, and reads no setting again.

    Raises:
        CourseError: a configuration file cannot be used, or means another course
    """
    from nbgrader.apps import NbGraderAPI
    from nbgrader.apps.baseapp import NbGrader

    from autograder.recording.warm import warm_gradebook

    if _open_now and _open_now[-1][0] == course.root:
        api = _open_now[-1][1]
        with _within_reach(api.coursedir.db_url):
            yield api
        return
    path = sys.path.copy()
    with contextlib.chdir(course.root):
        app = NbGrader()
        try:
            _initialize(app, course)
            with warm_gradebook(), _within_reach(app.coursedir.db_url):
                api = NbGraderAPI(app.coursedir, parent=app)
                _open_now.append((course.root, api))
                try:
                    yield api
                finally:
                    _open_now.pop()
        finally:
            sys.path[:] = path  # nbgrader puts the current folder in front


def _initialize(app: Any, course: Course) -> None:
    """Read every configuration file that nbgrader reads, and then set what no file may change."""
    from autograder.recording import registrar

    file = course.root / "nbgrader_config.py"
    app.raise_config_file_errors = True  # otherwise nbgrader goes on without the settings of a file that fails
    try:
        app.initialize([], root=str(course.root))
    except (Exception, SystemExit) as error:
        why = str(error) if str(error) not in ("", "1") else "nbgrader refuses a setting, see above"
        raise CourseError(f"{file}: cannot be used ({why}); correct it, or the configuration in ~/.jupyter") from error
    finally:
        app.log.handlers.clear()
        app.log.propagate = False
    if Path(app.coursedir.root).resolve() != course.root.resolve():
        raise CourseError(
            f"{file}: nbgrader would record in {app.coursedir.root}, since a configuration file sets "
            f'CourseDirectory.root; add the line c.CourseDirectory.root = "{course.root}"'
        )
    registrar.bind()
    registrar.insist(app.config)


@contextlib.contextmanager
def _within_reach(url: str) -> Iterator[None]:
    """Say in a sentence why the gradebook cannot be read or written."""
    from sqlalchemy.exc import ArgumentError, NoSuchModuleError, OperationalError

    kept = "(the reports are kept, nothing is judged twice)"
    try:
        yield
    except OperationalError as error:
        said = " ".join(str(error.orig).split())
        cure = "close the program that holds it" if _file_of(url) else "see that its server answers"
        raise CourseError(f"{name_of(url)}: {said}; {cure}, and run this again {kept}") from None
    except (ArgumentError, NoSuchModuleError, ModuleNotFoundError) as error:
        if isinstance(error, ModuleNotFoundError) and error.name not in _DRIVERS:
            raise
        cure = "write postgresql+psycopg2://user@host/name, and install the driver: pip install 'autograder[postgres]'"
        raise CourseError(f"nbgrader_config.py: db_url cannot be opened ({error}); {cure}") from None


def _file_of(url: str) -> Path | None:
    """Return the SQLite file of a gradebook; None for one on a server."""
    from sqlalchemy.engine import make_url

    address = make_url(url)
    return Path(address.database or "") if address.get_backend_name() == "sqlite" else None


def name_of(url: str) -> str:
    """Name a gradebook: the path of its file, or its address without the password."""
    from sqlalchemy.engine import make_url

    return str(_file_of(url) or make_url(url).render_as_string(hide_password=True))


def is_there(api: Any) -> bool:
    """Whether there is a gradebook; opening a missing SQLite file would create one."""
    file = _file_of(api.coursedir.db_url)
    return file is None or file.is_file()
