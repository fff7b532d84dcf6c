"""Parcel: the files of a folder or an archive, one after the other. They are read, never unpacked to disk.

A file that must not be read (a link, a device, a path out of the parcel, a bomb) gets a fault, or ends the search with
a complaint.

This file is long because a folder, a zip and a tar are read by the same rules.
"""

from __future__ import annotations

import functools
import operator
import os
import re
import stat
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from io import BufferedIOBase
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import IO, Any, NoReturn

from autograder.limits import (
    DEPTH,
    HEADER_BYTES,
    HEADERS_BYTES,
    MEMBERS,
    MODULE_BYTES,
    NAME_LETTERS,
    PARCEL_BYTES,
    RATIO,
    STREAM_BYTES,
)
from autograder.plain import one_line

#: how a zip may be packed. With other methods the archive chooses how much memory it takes: LZMA up to 4 GiB
_PACKED = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)

_EXTENDED = (tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE, tarfile.GNUTYPE_LONGNAME,
             tarfile.GNUTYPE_LONGLINK)  # fmt: skip
_NOISE = re.compile(r"__MACOSX|__pycache__|\..*")
UNREADABLE = (OSError, EOFError, ValueError, RuntimeError, LookupError, OverflowError, struct.error,
           zlib.error, zipfile.BadZipFile, tarfile.TarError, MemoryError)  # fmt: skip


class Complaint(Exception):
    """A sentence that ends the search: no module can be taken from the parcel."""


@dataclass(frozen=True)
class Entry:
    """One file of a parcel of any kind."""

    path: PurePosixPath
    fault: str  #: why it must not be read, such as "a symbolic link"; empty if it may be read
    read: Callable[[], bytes]  #: gives at most MODULE_BYTES + 1 bytes

    @property
    def name(self) -> str:
        return self.path.name


def checked(entry: Entry) -> bytes:
    """Read an entry. Raises: Complaint, if it must not be read."""
    if entry.fault:
        raise Complaint(f"{shown(entry.path)}: {entry.fault}; hand in a plain file")
    data = entry.read()
    if len(data) > MODULE_BYTES:
        raise Complaint(f"{shown(entry.path)}: larger than {MODULE_BYTES >> 10} KB; hand in code only, without data")
    return data


def open_folder(root: Path) -> Iterator[Entry]:
    """Give every file of a folder, links as links; nothing deeper than DEPTH folders."""
    pending, seen = [(root, PurePosixPath())], 0
    while pending:
        folder, above = pending.pop()
        with os.scandir(folder) as listing:
            items = sorted(islice(listing, MEMBERS + 1 - seen), key=lambda item: item.name)
        seen += len(items)
        if seen > MEMBERS:
            raise _too_many()
        for item in items:
            path = above / item.name
            if item.is_dir(follow_symlinks=False):
                if len(path.parts) <= DEPTH and not _NOISE.fullmatch(item.name):
                    pending.append((Path(item.path), path))
            elif item.is_file(follow_symlinks=False):
                yield Entry(path, "", lambda at=Path(item.path): bytes_of(at))  # type: ignore[misc]
            else:
                yield Entry(path, "a symbolic link" if item.is_symlink() else "not a plain file", bytes)


def zip_in(stream: BufferedIOBase) -> zipfile.ZipFile:
    """Open a zip, after a check that its list of members is not a bomb itself."""
    if stream.read().count(b"PK\x01\x02") > 2 * MEMBERS:  # each entry of the list begins like this
        raise _too_many()
    stream.seek(0)
    return zipfile.ZipFile(stream)


def open_zip(archive: zipfile.ZipFile) -> Iterator[Entry]:
    for info in archive.infolist():
        if info.is_dir():
            continue
        name = info.orig_filename.replace("\\", "/")  # some programs on Windows write paths in this way
        fault = _name_fault(name)
        if info.flag_bits & 0x1:
            fault = fault or "encrypted"
        if info.compress_type not in _PACKED:
            fault = fault or "packed in an unusual way; pack it as an ordinary zip"
        mode = info.external_attr >> 16
        if stat.S_IFMT(mode) not in (0, stat.S_IFREG):
            fault = fault or ("a symbolic link" if stat.S_ISLNK(mode) else "not a plain file")
        if info.file_size > 10_000 and info.file_size > RATIO * max(info.compress_size, 1):
            fault = fault or f"packed more than {RATIO} to 1"
        yield Entry(PurePosixPath(name), fault, lambda info=info: _member(archive.open(info)))  # type: ignore[misc]


def tar_in(stream: BufferedIOBase) -> tarfile.TarFile:
    """Open a tar as a stream that refuses what takes tarfile very long.

    Python's search in extended headers takes quadratic time, and it reads the map of a sparse file in small steps, each
    of which copies all earlier ones. A kilobyte that unpacks to a megabyte would stop the run for an hour.
    """
    headers, spent = 0, 0

    class Header(tarfile.TarInfo):
        @classmethod
        def frombuf(cls, *arguments: Any, **options: Any) -> Any:
            nonlocal headers, spent
            header = super().frombuf(*arguments, **options)
            headers += 1
            if header.type in _EXTENDED:
                spent += header.size
                if header.size > HEADER_BYTES or spent > HEADERS_BYTES:
                    raise Complaint("the archive has headers that are too long; pack your module again")
            if headers > 3 * MEMBERS:
                raise _too_many()
            if header.type == tarfile.GNUTYPE_SPARSE:
                refuse_sparse()
            return header

    def refuse_sparse(*_: Any) -> NoReturn:
        raise Complaint("the archive holds a sparse file; pack your module again")

    for step in ("_proc_gnusparse_00", "_proc_gnusparse_01", "_proc_gnusparse_10"):
        setattr(Header, step, refuse_sparse)
    return tarfile.open(fileobj=Unpacked(stream), mode="r|", tarinfo=Header)


def open_tar(archive: tarfile.TarFile, kept: str | tuple[str, ...] = ".py") -> Iterator[Entry]:
    """Give every member of a stream. Only files of some endings are kept, because a stream can be read only once."""
    for info in archive:
        if info.isdir():
            continue
        fault = _name_fault(info.name)
        if not info.isreg():
            kind = "a symbolic link" if info.issym() else "a hard link" if info.islnk() else "not a plain file"
            fault = fault or kind
        data = b""
        if not fault and PurePosixPath(info.name).name.lower().endswith(kept):
            member = archive.extractfile(info)
            data = member.read(MODULE_BYTES + 1) if member else b""
        yield Entry(PurePosixPath(info.name), fault, lambda data=data: data)  # type: ignore[misc]


def capped(entries: Iterator[Entry]) -> Iterator[Entry]:
    """Give the entries that may be a module; refuse a parcel of too many files."""
    for count, entry in enumerate(entries):
        if count >= MEMBERS:
            raise _too_many()
        parts = entry.path.parts
        is_noise = any(_NOISE.fullmatch(part) for part in parts)
        if ".." in parts or (len(parts) <= DEPTH + 1 and not is_noise):
            yield entry


def _too_many() -> Complaint:
    return Complaint(f"more than {MEMBERS} files in the parcel; hand in your module only")


def _name_fault(name: str) -> str:
    if name.startswith(("/", "\\")) or re.match(r"[A-Za-z]:", name) or ".." in re.split(r"[/\\]", name):
        return "its path leads out of the parcel"
    if any(ord(letter) < 32 or letter in "\\\x7f" for letter in name):
        return "its name holds characters that no file name should"
    return ""


class Unpacked(BufferedIOBase):
    """The content of a gzip file, as a stream that refuses to give more than STREAM_BYTES.

    Python's own GzipFile reads a header letter by letter, and it reads a million empty parts in Python. Here zlib reads
    the first part only, and `tar` and `gzip` write no other part.
    """

    def __init__(self, stream: BufferedIOBase) -> None:
        self._stream = stream
        self._zlib = zlib.decompressobj(wbits=16 + zlib.MAX_WBITS)
        self._left = STREAM_BYTES

    def read(self, size: int | None = -1, /) -> bytes:
        parts, wanted = [], self._left + 1 if size is None or size < 0 else size
        while wanted > 0 and not self._zlib.eof:
            packed = self._zlib.unconsumed_tail or self._stream.read(1 << 16)
            data = self._zlib.decompress(packed, min(wanted, self._left + 1))
            if not packed and not data:
                raise EOFError("it ends too early")
            self._left -= len(data)
            wanted -= len(data)
            parts.append(data)
            if self._left < 0:
                megabytes = STREAM_BYTES // 1_000_000
                raise Complaint(f"the archive unpacks to more than {megabytes} MB; hand in your module only")
        return b"".join(parts)


def _member(stream: IO[bytes]) -> bytes:
    with stream:
        return stream.read(MODULE_BYTES + 1)


def open_file(path: Path) -> BufferedIOBase:
    """Open a plain file that has no other name: no link, no device, no pipe."""
    flags = (getattr(os, name, 0) for name in ("O_NOFOLLOW", "O_NONBLOCK", "O_BINARY"))  # no system has all of them
    descriptor = os.open(path, os.O_RDONLY | functools.reduce(operator.or_, flags))
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
        raise Complaint(f"{shown(path.name)}: {fault}; hand in a plain file")
    return os.fdopen(descriptor, "rb")


def bytes_of(path: Path) -> bytes:
    with open_file(path) as stream:
        return stream.read(MODULE_BYTES + 1)


def shown(name: object) -> str:
    """Return a name from a parcel in a form for a terminal and a page: printable and short."""
    return one_line(str(name), NAME_LETTERS)
