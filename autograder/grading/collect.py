"""Collect: take the one declared module out of a parcel, and change nothing.

A parcel is a folder, a Python file, a .zip or a .tar.gz (parcel.py opens them). Whatever is wrong with one becomes a
sentence in `Submission.complaints`: a bad parcel is a student's affair, not a crash.
"""

from __future__ import annotations

import os
import re
from gzip import GzipFile
from pathlib import Path, PurePosixPath

from autograder.course import Course
from autograder.errors import SubmissionError
from autograder.grading import parcel
from autograder.grading.parcel import FAULTS, Complaint, Entry, shown
from autograder.grading.submission import Submission
from autograder.topic import Topic

_ARCHIVES = (".zip", ".tar.gz", ".tgz")
_FOREIGN_ARCHIVES = (".rar", ".7z", ".tar", ".gz", ".bz2", ".xz", ".tar.bz2", ".tar.xz")
_COPY = r"(?:[ _-]?\(\d+\)|-\d+|[ _-]+copy(?:[ _-]?\(?\d+\)?)?)"


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
    except Complaint as complaint:
        complaints.append(str(complaint))
    except FAULTS as error:
        complaints.append(f"{shown(path.name)}: cannot be read ({_reason(error)}); hand it in again")
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
        return _chosen(list(parcel.capped(parcel.open_folder(path))), topic, complaints)
    if name.endswith(".zip"):
        with parcel.open_file(path) as stream, parcel.zip_in(stream) as archive:
            return _chosen(list(parcel.capped(parcel.open_zip(archive))), topic, complaints)
    if name.endswith((".tar.gz", ".tgz")):
        with GzipFile(fileobj=parcel.open_file(path)) as unpacked, parcel.tar_in(unpacked) as archive:
            return _chosen(list(parcel.capped(parcel.open_tar(archive, topic.module))), topic, complaints)
    if name.endswith(".py"):
        if path.name != f"{topic.module}.py":
            complaints.append(f"{shown(path.name)} was taken as {topic.module}.py; name it so")
        return parcel.checked(Entry(PurePosixPath(path.name), "", lambda: parcel.bytes_of(path)))
    kinds = "a folder, a .py file, a .zip or a .tar.gz"
    raise Complaint(
        f"{shown(path.name)}: not a parcel that can be opened; hand in {kinds} with {topic.module}.py"
    )


def _chosen(entries: list[Entry], topic: Topic, complaints: list[str]) -> bytes:
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
            raise Complaint(_nothing_found(entries, copies, topic))
        complaints.append(f"{shown(copies[0].path)} was taken as {wanted}; name it so next time")
        return parcel.checked(copies[0])
    named.sort(key=lambda entry: (len(entry.path.parts), str(entry.path)))
    top = [entry for entry in named if len(entry.path.parts) == len(named[0].path.parts)]
    if len(top) > 1 and len({parcel.checked(entry) for entry in top}) > 1:
        places = " and ".join(shown(entry.path) for entry in top[:3])
        raise Complaint(f"{len(top)} different files are named {wanted} ({places}); hand in one")
    if len(named) > len(top):
        place = shown(named[0].path)
        complaints.append(
            f"{len(named)} files are named {wanted}; the one nearest the top, {place}, was taken"
        )
    return parcel.checked(named[0])


def _nothing_found(entries: list[Entry], copies: list[Entry], topic: Topic) -> str:
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


def _student(path: Path, topic: Topic) -> str:
    """Whose parcel it is, judging by its place."""
    if path.is_dir():
        return path.resolve().parent.name if path.name == topic.id else path.resolve().name
    name = re.sub(r"\.(tar\.gz|tgz|zip|py)$", "", path.name, flags=re.IGNORECASE)
    return _student(path.resolve().parent, topic) if name == topic.module else name


def _names(entries: list[Entry]) -> str:
    first = ", ".join(shown(entry.path) for entry in entries[:5])
    return first + (f" and {len(entries) - 5} more" if len(entries) > 5 else "")


def _reason(error: BaseException) -> str:
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return shown(error) or type(error).__name__
