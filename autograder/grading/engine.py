"""Engine: this very package as files that another machine can install, with the versions that are installed here."""

from __future__ import annotations

import re
from importlib import metadata
from pathlib import Path

from autograder.topic import Topic

_PACKAGE = Path(__file__).resolve().parents[1]
_JUDGE = ("msgpack", "pyseccomp")  #: what the judge needs beside the core, of the extra "teacher"


def engine_files() -> dict[str, bytes]:
    """Return the package's files, with a pyproject.toml that pip can build."""
    files = {
        f"autograder/{path.relative_to(_PACKAGE).as_posix()}": path.read_bytes()
        for path in sorted(_PACKAGE.rglob("*"))
        if path.is_file() and "__pycache__" not in path.parts and not path.name.startswith(".")
    }
    return {**files, "pyproject.toml": _pyproject().encode()}


def requirements(topic: Topic, *, for_judge: bool) -> str:
    """Return what a topic needs to run its tests, each package in the version that is installed here.

    Args:
        topic: which offers packages to students
        for_judge: whether hidden tests are run behind the wall, too
    """
    names = [*_core(), *(_JUDGE if for_judge else ()), *topic.packages]
    found = {}
    for name in names:
        for distribution in _distributions(name):
            found[distribution.lower()] = (
                f"{distribution}=={metadata.version(distribution).partition('+')[0]}"
            )
    return "".join(f"{line}\n" for _, line in sorted(found.items()))


def _core() -> list[str]:
    return [
        re.split(r"[<>=!~;\[ (]", need, maxsplit=1)[0]
        for need in metadata.requires("autograder") or ()
        if "extra ==" not in need
    ]


def _distributions(name: str) -> list[str]:
    """The installed distribution of an imported name such as "skimage", or of its own."""
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
include = ["autograder*"]

[tool.setuptools.package-data]
autograder = ["py.typed", "templates/**/*", "data/*.safetensors"]
"""
