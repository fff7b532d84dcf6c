"""Take: copy a parcel out of a folder that its student owns into submitted/, while the student may still change it.

Only plain files of the folder's owner are copied. No link is followed, in any part of a path: it could lead to the
solution, or to the work of another student, which the teacher's account can read.
"""

from __future__ import annotations

import fnmatch
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from autograder.limits import MEMBERS

# These bounds are not in limits.py: a mark depends on what is there, and on none of these.
TAKEN_BYTES = 100_000_000  #: bytes of a parcel that are copied, as nbgrader does; of a larger one only what is needed
_DEPTH = 8  #: folders within each other that are copied
_OPEN = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)  # a pipe must not stop us


@dataclass(frozen=True)
class Rules:
    """What is copied of a parcel, and who may read the copy."""

    needed: tuple[str, ...]  #: the names of the files that are copied even from a parcel that is too large
    ignored: tuple[str, ...] = ()  #: patterns of names that are not copied
    bytes: int = TAKEN_BYTES  #: of a parcel; of a larger one only the needed files are copied
    is_shared: bool = False  #: whether the teacher's group may change the copy


def take(parcel: Path, target: Path, rules: Rules) -> None:
    """Copy a parcel, and put the copy in the place of `target` in one step.

    Raises:
        OSError: it cannot be read or written; `target` is as it was
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    for left in target.parent.glob(f".{target.name}.*"):  # of a run that was killed
        shutil.rmtree(left, ignore_errors=True)
    copy = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
    try:
        _copy(parcel, copy, rules)
        if target.is_symlink():
            target.unlink()
        if target.exists():
            target.rename(copy.with_name(f"{copy.name}.old"))
        copy.rename(target)
    finally:
        for left in (copy, copy.with_name(f"{copy.name}.old")):
            shutil.rmtree(left, ignore_errors=True)


def _copy(parcel: Path, copy: Path, rules: Rules) -> None:
    files = dict(_files(parcel, rules))
    if len(files) > MEMBERS or sum(files.values()) > rules.bytes:
        files = {name: size for name, size in files.items() if name in rules.needed}
    folder_mode, file_mode = (0o2770, 0o660) if rules.is_shared else (0o750, 0o640)
    copy.chmod(folder_mode)
    room = rules.bytes
    for name in files:
        place = copy / name
        for above in reversed(place.relative_to(copy).parents[:-1]):
            if not (copy / above).is_dir():
                (copy / above).mkdir()
                (copy / above).chmod(folder_mode)
        room -= _copy_file(parcel, name, place, room)
        place.chmod(file_mode)


def _files(parcel: Path, rules: Rules) -> Iterator[tuple[str, int]]:
    """Give the path of each plain file below the parcel that its owner owns, and its size."""
    owner = parcel.lstat().st_uid
    count = 0
    for folder, folders, names, descriptor in os.fwalk(parcel, follow_symlinks=False):
        above = Path(folder).relative_to(parcel)
        folders[:] = sorted(name for name in folders if not _is_ignored(name, rules))
        if len(above.parts) >= _DEPTH:
            folders[:] = []
        for name in sorted(names):
            if _is_ignored(name, rules):
                continue
            with suppress(FileNotFoundError):
                what = os.stat(name, dir_fd=descriptor, follow_symlinks=False)
                if stat.S_ISREG(what.st_mode) and what.st_uid == owner:
                    count += 1
                    yield str(above / name), what.st_size
        if count > MEMBERS:
            return


def _is_ignored(name: str, rules: Rules) -> bool:
    return any(fnmatch.fnmatch(name, pattern) for pattern in rules.ignored)


def _copy_file(parcel: Path, name: str, place: Path, most: int) -> int:
    """Copy at most so many bytes of a file, and return how many.

    Every folder above it is opened without following a link, because it may just have become one.
    """
    *above, last = Path(name).parts
    descriptor = os.open(parcel, _OPEN | os.O_DIRECTORY)
    try:
        for part in above:
            lower = os.open(part, _OPEN | os.O_DIRECTORY, dir_fd=descriptor)
            os.close(descriptor)
            descriptor = lower
        source = os.open(last, _OPEN, dir_fd=descriptor)
    finally:
        os.close(descriptor)
    copied = 0
    with os.fdopen(source, "rb") as stream, place.open("xb") as copy:
        is_plain = stat.S_ISREG(os.fstat(stream.fileno()).st_mode)
        while is_plain and (block := stream.read(min(most - copied, 1 << 20))):
            copied += copy.write(block)
    return copied
