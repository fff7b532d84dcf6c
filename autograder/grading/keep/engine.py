"""Engine: this package as files that another machine can install, with the versions that are installed here."""

from __future__ import annotations

import re
from importlib import metadata
from pathlib import Path

import autograder
from autograder.topic import Topic

_PACKAGE = Path(autograder.__file__).resolve().parent
_JUDGE = ("msgpack", "pyseccomp")  #: packages of the extra "teacher" that the judge needs in addition to the core


def engine_files(topic: Topic) -> dict[str, bytes]:
    """Return the files of this package and of a topic's tools, with a pyproject.toml from which pip can build them."""
    tools = [_PACKAGE.parent / name for name in topic.tools]
    files = {
        path.relative_to(_PACKAGE.parent).as_posix(): path.read_bytes()
        for folder in (_PACKAGE, *filter(Path.is_dir, tools))
        for path in sorted(folder.rglob("*"))
        if path.is_file() and "__pycache__" not in path.parts and not path.name.startswith(".")
    }
    return {**files, "pyproject.toml": _pyproject().encode()}


def requirements(topic: Topic, *, for_judge: bool) -> str:
    """Return the packages that a topic needs to run its tests, each in the version that is installed here.

    Args:
        topic: the assignment, which offers packages to students
        for_judge: whether hidden tests are also run behind the wall
    """
    names = [*_core(), *(_JUDGE if for_judge else ()), *topic.packages]
    found = {}
    for name in names:
        for distribution in _distributions(name):
            found[distribution.lower()] = f"{distribution}=={metadata.version(distribution).partition('+')[0]}"
    return "".join(f"{line}\n" for _, line in sorted(found.items()))


def _core() -> list[str]:
    return [
        re.split(r"[<>=!~;\[ (]", need, maxsplit=1)[0]
        for need in metadata.requires("autograder") or ()
        if "extra ==" not in need
    ]


def _distributions(name: str) -> list[str]:
    """The installed distribution of that name, or else the one that provides the module, such as "skimage"."""
    try:
        return [metadata.distribution(name).metadata["Name"]]
    except metadata.PackageNotFoundError:
        found = metadata.packages_distributions().get(name, [])
        return list(dict.fromkeys(found))[:1]


def _pyproject() -> str:
    needs = ", ".join(f'"{need}"' for need in metadata.requires("autograder") or () if "extra ==" not in need)
    return f"""\
[build-system]
requires = ["setuptools>=77"]
build-backend = "setuptools.build_meta"

[project]
name = "autograder"
version = "{metadata.version("autograder")}"
requires-python = ">=3.11"
dependencies = [{needs}]

[project.scripts]
autograder = "autograder.cli:main"

[project.entry-points.pytest11]
autograder = "autograder.plugin"

[tool.setuptools.packages.find]
include = ["*"]

[tool.setuptools.package-data]
"*" = ["py.typed", "templates/**/*", "data/*"]
"""
