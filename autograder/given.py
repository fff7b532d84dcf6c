"""Given files: the data and helpers that an author gives out beside the module. `files` in topic.toml names them.

They are released unchanged. They have the same relative path in a student's folder and in the box, where they are
read-only.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from pathlib import Path, PurePosixPath

from autograder.errors import AuthorError
from autograder.limits import GIVEN_BYTES, GIVEN_FILES
from autograder.table import line_of

_PART = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+-]*")  # a part of a path that works on every system


def read_given(path: Path, entries: tuple[str, ...], taken: Collection[str]) -> tuple[str, ...]:
    """Return the relative path of every given file, sorted; a folder means all files in it.

    Args:
        path: the path of topic.toml
        entries: the names in its `files`
        taken: names in the assignment's folder that have another use

    Raises:
        AuthorError: a file is missing, is not a plain file or has a name that does not work on every system, or the
            files are too many or too large
    """
    where = line_of(path, "files")
    found: dict[str, int] = {}
    for entry in entries:
        for file, size in _files(path.parent, entry, str(where)):
            if PurePosixPath(file).parts[0] in taken:
                raise AuthorError(f"{where}: files names {file!r}, which the assignment has already; leave it out")
            if "hidden" in file:
                raise AuthorError(f"{where}: files names {file!r}, like a hidden test; give it another name")
            found[file] = size
    if len(found) > GIVEN_FILES:
        raise AuthorError(f"{where}: files are {len(found)} files; give at most {GIVEN_FILES}, or pack them into one")
    if (size := sum(found.values())) > GIVEN_BYTES:
        raise AuthorError(
            f"{where}: files hold {size / 1e6:.1f} MB; give at most {GIVEN_BYTES // 1_000_000} MB, since each student "
            "gets them"
        )
    return tuple(sorted(found))


def modules_among(files: Collection[str]) -> tuple[str, ...]:
    """Return the names by which Python can import given files: "helpers" for helpers.py, and packages."""
    parts = [PurePosixPath(file).parts for file in files]
    alone = [name.removesuffix(".py") for name, *rest in parts if not rest and name.endswith(".py")]
    return tuple(sorted({*alone, *(name for name, *rest in parts if rest == ["__init__.py"])}))


def _files(folder: Path, entry: str, where: str) -> Iterator[tuple[str, int]]:
    """Give each file of an entry, and its size in bytes."""
    start = PurePosixPath(entry)
    _check(start, entry, where)
    top = folder / start
    if not top.exists() and not top.is_symlink():
        raise AuthorError(f"{where}: files names {entry!r}, and {top} is not there; add it or correct the path")
    paths = sorted(path for path in top.rglob("*")) if top.is_dir() and not top.is_symlink() else [top]
    is_empty = True
    for path in paths:
        relative = PurePosixPath(path.relative_to(folder).as_posix())
        if path.name == "__pycache__" or path.parent.name == "__pycache__" or path.name == ".DS_Store":
            continue
        _check(relative, str(relative), where)
        if path.is_symlink() or not (path.is_file() or path.is_dir()):
            raise AuthorError(f"{where}: {path} is a link or no plain file; put a copy of the file there")
        if path.is_file():
            is_empty = False
            yield str(relative), path.stat().st_size
    if is_empty:
        raise AuthorError(f"{where}: files names {entry!r}, a folder without a file; add one or leave it out")


def _check(path: PurePosixPath, shown: str, where: str) -> None:
    if path.is_absolute() or not path.parts or not all(_PART.fullmatch(part) for part in path.parts):
        raise AuthorError(
            f"{where}: files names {shown!r}; give a path below the assignment's folder, of letters, digits and _ . + -"
        )
