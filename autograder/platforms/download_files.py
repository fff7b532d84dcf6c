"""The files of a platform's bulk download, and the modules and notebooks in an archive of a student's."""

from __future__ import annotations

import tempfile
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from autograder.errors import CourseError
from autograder.grading.intake import parcel
from autograder.limits import PARCEL_BYTES
from autograder.plain import one_line
from autograder.platforms.downloads import PLATFORMS

USED = (".py", ".ipynb")
ARCHIVES = (".zip", ".tar.gz", ".tgz")


@dataclass(frozen=True)
class Piece:
    """One file of a download, or of an archive in it."""

    path: str  #: as the teacher finds it
    parts: tuple[str, ...]
    read: Callable[[], bytes]

    @property
    def shown(self) -> str:
        """Its path, in one line."""
        return one_line(self.path, 200)


def files_of(download: Path, platform: str) -> Iterator[Piece]:
    """Give every file of a download; a zip that belongs to no student is the download itself.

    Raises:
        CourseError: that zip cannot be opened
    """
    if download.is_file():
        yield from _members(download)
        return
    for path in sorted(download.rglob("*")):
        if path.is_file() and not path.is_symlink():
            parts = path.relative_to(download).parts
            is_whole = path.suffix.lower() == ".zip" and not any(PLATFORMS[platform](part) for part in parts)
            if is_whole:
                yield from _members(path)
            else:
                yield Piece(str(path), parts, lambda path=path: _capped(path))  # type: ignore[misc]


def _members(path: Path) -> Iterator[Piece]:
    """Give the files of the zip that the platform made."""
    try:
        with zipfile.ZipFile(path) as archive:
            for info in archive.infolist():
                parts = PurePosixPath(info.filename).parts
                if not info.is_dir() and ".." not in parts and info.file_size <= PARCEL_BYTES:
                    content = archive.read(info)
                    yield Piece(f"{path.name}: {info.filename}", parts, lambda content=content: content)  # type: ignore[misc]
                elif not info.is_dir():
                    yield Piece(f"{path.name}: {info.filename}", ("",), bytes)
    except (zipfile.BadZipFile, OSError, RuntimeError, NotImplementedError) as error:
        raise CourseError(f"{path}: cannot be opened ({error}); download it again") from error


def _capped(path: Path) -> bytes:
    with path.open("rb") as stream:
        return stream.read(PARCEL_BYTES + 1)


def inside(own: str, content: bytes) -> Iterator[tuple[PurePosixPath, bytes]]:
    """Give the modules and notebooks of a student's archive, read with the limits of a parcel."""
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / f"parcel{''.join(PurePosixPath(own.lower()).suffixes[-2:])}"
        path.write_bytes(content)
        with parcel.open_file(path) as stream:
            if own.lower().endswith(".zip"):
                with parcel.zip_in(stream) as archive:
                    for entry in parcel.capped(parcel.open_zip(archive)):
                        if entry.name.lower().endswith(USED) and not entry.fault:
                            with archive.open(str(entry.path)) as member:
                                yield entry.path, member.read(PARCEL_BYTES)
            else:
                with parcel.tar_in(stream) as tar:
                    for entry in parcel.capped(parcel.open_tar(tar, USED)):
                        if entry.name.lower().endswith(USED) and not entry.fault:
                            yield entry.path, entry.read()
