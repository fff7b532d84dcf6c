"""Collect: open a parcel, take the one declared module out of it, and change nothing.

A parcel is a folder, a Python file, a .zip or a .tar.gz. It is only read, never unpacked to disk. Whatever is
wrong with it becomes a sentence in `Submission.complaints`: a bad parcel is a student's affair, not a crash.
"""

from __future__ import annotations

import lzma
import os
import re
import stat
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from gzip import GzipFile
from io import BufferedIOBase
from pathlib import Path, PurePosixPath
from typing import IO

from autograder.course import Course
from autograder.errors import SubmissionError
from autograder.submission import Submission
from autograder.topic import Topic

MODULE_BYTES = 1_000_000  #: the most that a module may hold
MEMBERS = 10_000  #: the most entries that are looked at in one parcel
PARCEL_BYTES = 25_000_000  #: the most that an archive may hold as it lies there
STREAM_BYTES = 100_000_000  #: the most that is decompressed to find the module
RATIO = 200  #: how many times its packed size a module may be
DEPTH = 2  #: folders that may stand above the module

_ARCHIVES = (".zip", ".tar.gz", ".tgz")
_FOREIGN_ARCHIVES = (".rar", ".7z", ".tar", ".gz", ".bz2", ".xz", ".tar.bz2", ".tar.xz")
_NOISE = re.compile(r"__MACOSX|__pycache__|\..*")
_COPY = r"(?:[ _-]?\(\d+\)|-\d+|[ _-]+copy(?:[ _-]?\(?\d+\)?)?)"
_FAULTS = (OSError, EOFError, ValueError, RuntimeError, LookupError, OverflowError, struct.error,
           zlib.error, lzma.LZMAError, zipfile.BadZipFile, tarfile.TarError)  # fmt: skip


class _Complaint(Exception):
    """A sentence that ends the search: the parcel gives no module."""


@dataclass(frozen=True)
class _Entry:
    """One file of a parcel, whatever the parcel is."""

    path: PurePosixPath
    fault: str  #: why it may not be read, such as "a symbolic link"; empty where it may
    read: Callable[[], bytes]  #: gives at most MODULE_BYTES + 1 bytes

    @property
    def name(self) -> str:
        return self.path.name


def collect(path: Path, topic: Topic, student: str | None = None) -> Submission:
    """Take one student's module out of a parcel.

    Args:
        path: a folder, a Python file, a .zip or a .tar.gz
        topic: the assignment, which declares the module's name
        student: whose it is; else the parcel's own name, or the student's folder in submitted/<student>/<id>

    Raises:
        SubmissionError: nothing lies at that path
    """
    if not os.path.lexists(path):
        raise SubmissionError(
            f"{path}: no such file or folder; give a folder, a .py file, a .zip or a .tar.gz"
        )
    complaints: list[str] = []
    source: bytes | None = None
    try:
        source = _module(path, topic, complaints)
    except _Complaint as complaint:
        complaints.append(str(complaint))
    except _FAULTS as error:
        complaints.append(f"{_shown(path.name)}: cannot be read ({_reason(error)}); hand it in again")
    return Submission(student or _student(path, topic), topic.id, path, source, tuple(complaints))


def submissions(course: Course, topic: Topic) -> list[Submission]:
    """Collect what lies in submitted/<student>/<id>, in the order of the students' names."""
    folders = sorted(course.submitted.glob(f"*/{topic.id}"))
    return [collect_in_place(folder, topic) for folder in folders if folder.is_dir()]


def collect_in_place(folder: Path, topic: Topic) -> Submission:
    """Collect submitted/<student>/<id>; a link for either folder may lead to somebody else's work."""
    student = folder.parent.name
    if folder.is_symlink() or folder.parent.is_symlink():
        complaint = f"{student}/{topic.id}: a symbolic link for a folder; hand in the files themselves"
        return Submission(student, topic.id, folder, None, (complaint,))
    return collect(folder, topic, student)


def _module(path: Path, topic: Topic, complaints: list[str]) -> bytes:
    name = path.name.lower()
    if path.is_dir():
        return _chosen(list(_capped(_folder(path))), topic, complaints)
    if name.endswith(".zip"):
        with zipfile.ZipFile(_file(path)) as archive:
            return _chosen(list(_capped(_zip(archive))), topic, complaints)
    if name.endswith((".tar.gz", ".tgz")):
        with (
            GzipFile(fileobj=_file(path)) as stream,
            tarfile.open(fileobj=_Limited(stream), mode="r|") as archive,
        ):
            return _chosen(list(_capped(_tar(archive, topic))), topic, complaints)
    if name.endswith(".py"):
        if path.name != f"{topic.module}.py":
            complaints.append(f"{_shown(path.name)} was taken as {topic.module}.py; name it so")
        return _checked(_Entry(PurePosixPath(path.name), "", lambda: _bytes_of(path)))
    kinds = "a folder, a .py file, a .zip or a .tar.gz"
    raise _Complaint(
        f"{_shown(path.name)}: not a parcel that can be opened; hand in {kinds} with {topic.module}.py"
    )


def _chosen(entries: list[_Entry], topic: Topic, complaints: list[str]) -> bytes:
    """Choose the module: the exact name, nearest the top; else the one copy with a browser's suffix."""
    wanted = f"{topic.module}.py"
    named = [entry for entry in entries if entry.name == wanted]
    if not named:
        copies = [
            entry
            for entry in entries
            if re.fullmatch(topic.module + _COPY + r"\.py", entry.name, re.IGNORECASE)
        ]
        if len(copies) != 1:
            raise _Complaint(_nothing_found(entries, copies, topic))
        complaints.append(f"{_shown(copies[0].path)} was taken as {wanted}; name it so next time")
        return _checked(copies[0])
    named.sort(key=lambda entry: (len(entry.path.parts), str(entry.path)))
    top = [entry for entry in named if len(entry.path.parts) == len(named[0].path.parts)]
    if len(top) > 1 and len({_checked(entry) for entry in top}) > 1:
        places = " and ".join(_shown(entry.path) for entry in top[:3])
        raise _Complaint(f"{len(top)} different files are named {wanted} ({places}); hand in one")
    if len(named) > len(top):
        place = _shown(named[0].path)
        complaints.append(
            f"{len(named)} files are named {wanted}; the one nearest the top, {place}, was taken"
        )
    return _checked(named[0])


def _nothing_found(entries: list[_Entry], copies: list[_Entry], topic: Topic) -> str:
    wanted = f"{topic.module}.py"
    if copies:
        return f"no {wanted}, but {len(copies)} copies ({_names(copies)}); hand in one file of that name"
    packed = [entry for entry in entries if entry.name.lower().endswith(_ARCHIVES + _FOREIGN_ARCHIVES)]
    others = [entry for entry in entries if entry.name.lower().endswith((".py", ".ipynb"))]
    if packed:
        return f"no {wanted}, only an archive inside the parcel ({_names(packed)}); hand in the file itself"
    if others:
        return f"no {wanted}; found {_names(others)}; hand in your module under that name"
    return f"no {wanted}; the parcel holds {_names(entries) or 'no file'}; hand in your module"


def _checked(entry: _Entry) -> bytes:
    """Read an entry, or complain about what it is."""
    if entry.fault:
        raise _Complaint(f"{_shown(entry.path)}: {entry.fault}; hand in a plain file")
    data = entry.read()
    if len(data) > MODULE_BYTES:
        raise _Complaint(
            f"{_shown(entry.path)}: larger than {MODULE_BYTES // 1000} kB; hand in code only, without data"
        )
    return data


def _folder(root: Path) -> Iterator[_Entry]:
    """Every file of a folder, links as links; nothing below DEPTH folders."""
    pending = [(root, PurePosixPath())]
    while pending:
        folder, above = pending.pop()
        with os.scandir(folder) as listing:
            for item in sorted(listing, key=lambda item: item.name):
                path = above / item.name
                if item.is_dir(follow_symlinks=False):
                    if len(path.parts) <= DEPTH and not _NOISE.fullmatch(item.name):
                        pending.append((Path(item.path), path))
                elif item.is_file(follow_symlinks=False):
                    yield _Entry(path, "", lambda place=Path(item.path): _bytes_of(place))  # type: ignore[misc]
                else:
                    yield _Entry(path, "a symbolic link" if item.is_symlink() else "not a plain file", bytes)


def _zip(archive: zipfile.ZipFile) -> Iterator[_Entry]:
    for info in archive.infolist():
        if info.is_dir():
            continue
        fault = _name_fault(info.orig_filename)
        if info.flag_bits & 0x1:
            fault = fault or "encrypted"
        mode = info.external_attr >> 16
        if stat.S_IFMT(mode) not in (0, stat.S_IFREG):
            fault = fault or ("a symbolic link" if stat.S_ISLNK(mode) else "not a plain file")
        if info.file_size > 10_000 and info.file_size > RATIO * max(info.compress_size, 1):
            fault = fault or f"packed more than {RATIO} to 1"
        yield _Entry(PurePosixPath(info.filename), fault, lambda info=info: _member(archive.open(info)))  # type: ignore[misc]


def _tar(archive: tarfile.TarFile, topic: Topic) -> Iterator[_Entry]:
    """Every member of a stream; only what may be the module is kept, since a stream is read once."""
    for info in archive:
        if info.isdir():
            continue
        fault = _name_fault(info.name)
        if not info.isreg():
            kind = (
                "a symbolic link" if info.issym() else "a hard link" if info.islnk() else "not a plain file"
            )
            fault = fault or kind
        data = b""
        if not fault and PurePosixPath(info.name).name.lower().startswith(topic.module):
            member = archive.extractfile(info)
            data = member.read(MODULE_BYTES + 1) if member else b""
        yield _Entry(PurePosixPath(info.name), fault, lambda data=data: data)  # type: ignore[misc]


def _capped(entries: Iterator[_Entry]) -> Iterator[_Entry]:
    """Pass on what may hold the module; refuse a parcel of too many files."""
    for count, entry in enumerate(entries):
        if count >= MEMBERS:
            raise _Complaint(f"more than {MEMBERS} files in the parcel; hand in your module only")
        parts = entry.path.parts
        is_noise = any(_NOISE.fullmatch(part) for part in parts)
        if ".." in parts or (len(parts) <= DEPTH + 1 and not is_noise):
            yield entry


def _name_fault(name: str) -> str:
    if name.startswith(("/", "\\")) or re.match(r"[A-Za-z]:", name) or ".." in re.split(r"[/\\]", name):
        return "its path leads out of the parcel"
    if any(ord(letter) < 32 or letter in "\\\x7f" for letter in name):
        return "its name holds characters that no file name should"
    return ""


class _Limited(BufferedIOBase):
    """A stream that refuses to give more than STREAM_BYTES."""

    def __init__(self, stream: GzipFile) -> None:
        self._stream = stream
        self._left = STREAM_BYTES

    def read(self, size: int | None = -1, /) -> bytes:
        data = self._stream.read(min(self._left + 1, self._left + 1 if size is None or size < 0 else size))
        self._left -= len(data)
        if self._left < 0:
            raise _Complaint(
                f"the archive unpacks to more than {STREAM_BYTES // 1_000_000} MB; hand in your module only"
            )
        return data


def _member(stream: IO[bytes]) -> bytes:
    with stream:
        return stream.read(MODULE_BYTES + 1)


def _file(path: Path) -> BufferedIOBase:
    """Open a plain file that nobody else holds a name of: no link, no device, no pipe."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    what = os.fstat(descriptor)
    fault = ""
    if not stat.S_ISREG(what.st_mode):
        fault = "not a plain file"
    elif what.st_nlink > 1:
        fault = "a hard link, so another name of a file that may be somebody else's"
    elif what.st_size > PARCEL_BYTES:
        fault = f"larger than {PARCEL_BYTES // 1_000_000} MB"
    if fault:
        os.close(descriptor)
        raise _Complaint(f"{_shown(path.name)}: {fault}; hand in a plain file")
    return os.fdopen(descriptor, "rb")


def _bytes_of(path: Path) -> bytes:
    with _file(path) as stream:
        return stream.read(MODULE_BYTES + 1)


def _student(path: Path, topic: Topic) -> str:
    """Whose parcel it is, judging by its place."""
    if path.is_dir():
        return path.resolve().parent.name if path.name == topic.id else path.resolve().name
    name = re.sub(r"\.(tar\.gz|tgz|zip|py)$", "", path.name, flags=re.IGNORECASE)
    return _student(path.resolve().parent, topic) if name == topic.module else name


def _names(entries: list[_Entry]) -> str:
    shown = ", ".join(_shown(entry.path) for entry in entries[:5])
    return shown + (f" and {len(entries) - 5} more" if len(entries) > 5 else "")


def _shown(name: object) -> str:
    """A name from a parcel, fit for a terminal and a page: printable, short."""
    text = "".join(letter if letter.isprintable() else "?" for letter in str(name))
    return text if len(text) <= 80 else text[:77] + "..."


def _reason(error: BaseException) -> str:
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return _shown(error) or type(error).__name__
