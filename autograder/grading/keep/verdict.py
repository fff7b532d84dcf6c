"""What a verdict depends on beside the submission, the suite and the seed: the engine, Python, NumPy and torch.

A kept report is used again only if none of these has changed. After a change of anything else, such as a page or a
command, the reports are still current. tests/test_verdict.py compares the list with what the judge, the examiner and
the worker import.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Iterator
from functools import cache
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path

import autograder

#: files and folders of this package
VERDICT = (
    # taking a parcel in, running the suite, making the mark
    "grading/intake", "grading/run", "grading/mark", "grading/keep/verdict.py", "report",
    "sandbox",
    # what a suite is, and what it says
    "block.py", "errors.py", "expect.py", "explain.py", "extras.py", "faults.py", "forbidden.py", "given.py",
    "imports.py", "known.py", "limits.py", "names.py", "plain.py", "plugin.py", "probe.py", "probe_source.py",
    "replacements.py", "student/selection.py", "stub.py", "suite.py", "syntax.py", "table.py", "topic.py",
    "values.py",
)  # fmt: skip
#: packages that compute
_PACKAGES = ("numpy", "torch")
_PACKAGE = Path(autograder.__file__).parent


@cache
def engine() -> str:
    """Name the engine, as far as a verdict depends on it, with Python and the packages that compute."""
    digest = hashlib.sha256(sys.version.encode())
    for path in _modules(*(_PACKAGE / entry for entry in VERDICT)):
        digest.update(str(path.relative_to(_PACKAGE)).encode() + hashlib.sha256(path.read_bytes()).digest())
    for name in _PACKAGES:
        digest.update(f"{name} {_version(name)}".encode())
    return digest.hexdigest()


@cache
def package() -> str:
    """Name the state of this whole package, on which a page or a recorded mark depends."""
    digest = hashlib.sha256(engine().encode())
    for path in _modules(_PACKAGE):
        digest.update(str(path.relative_to(_PACKAGE)).encode() + hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


@cache
def tool(name: str) -> str:
    """Name the state of a package that a suite uses, such as the course's own: by its files if it has no version."""
    spec = find_spec(name)
    folders = [Path(folder) for folder in (spec.submodule_search_locations or ())] if spec else []
    if not folders or (_version(name) and (folders[0].parent / f"{name}-{_version(name)}.dist-info").is_dir()):
        return _version(name)
    digest = hashlib.sha256()
    for folder in folders:
        for path in sorted(file for file in folder.rglob("*") if file.is_file() and "__pycache__" not in file.parts):
            digest.update(str(path.relative_to(folder)).encode() + hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def _modules(*paths: Path) -> Iterator[Path]:
    for path in paths:
        yield from sorted(path.rglob("*.py")) if path.is_dir() else [path]


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return ""
