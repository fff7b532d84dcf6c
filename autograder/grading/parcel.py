"""Parcel: the files of a folder or an archive, one after the other; read, never unpacked to disk.

What may not be read (a link, a device, a path out of the parcel, a bomb) is named as a fault of its file, or ends the
search with a complaint.
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
from typing import IO, Any, NoReturn

MODULE_BYTES = 1_000_000  #: the most that a module may hold
MEMBERS = 10_000  #: the most entries that are looked at in one parcel
PARCEL_BYTES = 25_000_000  #: the most that an archive may hold as it lies there
STREAM_BYTES = 100_000_000  #: the most that is decompressed to find the module
RATIO = 200  #: how many times its packed size a module may be
HEADER_BYTES, HEADERS_BYTES = 2_000, 300_000  #: an archive's long names and times: of one member, and of all
DEPTH = 2  #: folders that may stand above the module

_EXTENDED = (tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE, tarfile.GNUTYPE_LONGNAME,
             tarfile.GNUTYPE_LONGLINK)  # fmt: skip
_NOISE = re.compile(r"__MACOSX|__pycache__|\..*")
FAULTS = (OSError, EOFError, ValueError, RuntimeError, LookupError, OverflowError, struct.error,
           zlib.error, lzma.LZMAError, zipfile.BadZipFile, tarfile.TarError)  # fmt: skip


class Complaint(Exception):
    """A sentence that ends the search: the parcel gives no module."""


@dataclass(frozen=True)
class Entry:
    """One file of a parcel, whatever the parcel is."""

    path: PurePosixPath
    fault: str  #: why it may not be read, such as "a symbolic link"; empty where it may
    read: Callable[[], bytes]  #: gives at most MODULE_BYTES + 1 bytes

    @property
    def name(self) -> str:
        return self.path.name


def checked(entry: Entry) -> bytes:
    """Read an entry, or complain about what it is."""
    if entry.fault:
        raise Complaint(f"{shown(entry.path)}: {entry.fault}; hand in a plain file")
    data = entry.read()
    if len(data) > MODULE_BYTES:
        raise Complaint(
            f"{shown(entry.path)}: larger than {MODULE_BYTES // 1000} kB; hand in code only, without data"
        )
    return data


def open_folder(root: Path) -> Iterator[Entry]:
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
                    yield Entry(path, "", lambda place=Path(item.path): bytes_of(place))  # type: ignore[misc]
                else:
                    yield Entry(path, "a symbolic link" if item.is_symlink() else "not a plain file", bytes)


def zip_in(stream: BufferedIOBase) -> zipfile.ZipFile:
    """Open a zip, once it is clear that its list of members is not a bomb itself."""
    if stream.read().count(b"PK\x01\x02") > 2 * MEMBERS:  # each member of the list begins so
        raise Complaint(f"more than {MEMBERS} files in the parcel; hand in your module only")
    stream.seek(0)
    return zipfile.ZipFile(stream)


def open_zip(archive: zipfile.ZipFile) -> Iterator[Entry]:
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
        yield Entry(PurePosixPath(info.filename), fault, lambda info=info: _member(archive.open(info)))  # type: ignore[misc]


def tar_in(stream: GzipFile) -> tarfile.TarFile:
    """Open a tar as a stream that refuses what tarfile spends a long time on.

    Python reads extended headers by a search that takes the square of their length, and the map of a sparse file in
    small steps that each copy all before: a kilobyte that unpacks to a megabyte would hold the run up for an hour.
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
                    raise Complaint("the archive has headers that are too long; pack your module anew")
            if headers > 3 * MEMBERS:
                raise Complaint(f"more than {MEMBERS} files in the parcel; hand in your module only")
            if header.type == tarfile.GNUTYPE_SPARSE:
                refuse_sparse()
            return header

    def refuse_sparse(*_: Any) -> NoReturn:
        raise Complaint("the archive holds a sparse file; pack your module anew")

    for step in ("_proc_gnusparse_00", "_proc_gnusparse_01", "_proc_gnusparse_10"):
        setattr(Header, step, refuse_sparse)
    return tarfile.open(fileobj=Limited(stream), mode="r|", tarinfo=Header)


def open_tar(archive: tarfile.TarFile, module: str) -> Iterator[Entry]:
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
        if not fault and PurePosixPath(info.name).name.lower().startswith(module):
            member = archive.extractfile(info)
            data = member.read(MODULE_BYTES + 1) if member else b""
        yield Entry(PurePosixPath(info.name), fault, lambda data=data: data)  # type: ignore[misc]


def capped(entries: Iterator[Entry]) -> Iterator[Entry]:
    """Pass on what may hold the module; refuse a parcel of too many files."""
    for count, entry in enumerate(entries):
        if count >= MEMBERS:
            raise Complaint(f"more than {MEMBERS} files in the parcel; hand in your module only")
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


class Limited(BufferedIOBase):
    """A stream that refuses to give more than STREAM_BYTES."""

    def __init__(self, stream: GzipFile) -> None:
        self._stream = stream
        self._left = STREAM_BYTES

    def read(self, size: int | None = -1, /) -> bytes:
        data = self._stream.read(min(self._left + 1, self._left + 1 if size is None or size < 0 else size))
        self._left -= len(data)
        if self._left < 0:
            raise Complaint(
                f"the archive unpacks to more than {STREAM_BYTES // 1_000_000} MB; hand in your module only"
            )
        return data


def _member(stream: IO[bytes]) -> bytes:
    with stream:
        return stream.read(MODULE_BYTES + 1)


def open_file(path: Path) -> BufferedIOBase:
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
        raise Complaint(f"{shown(path.name)}: {fault}; hand in a plain file")
    return os.fdopen(descriptor, "rb")


def bytes_of(path: Path) -> bytes:
    with open_file(path) as stream:
        return stream.read(MODULE_BYTES + 1)


def shown(name: object) -> str:
    """A name from a parcel, fit for a terminal and a page: printable, short."""
    text = "".join(letter if letter.isprintable() else "?" for letter in str(name))
    return text if len(text) <= 80 else text[:77] + "..."
