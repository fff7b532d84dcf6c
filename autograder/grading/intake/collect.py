"""Collect: take the modules of an assignment out of a parcel, and change nothing.

A parcel is a folder, a Python file, a .zip or a .tar.gz (parcel.py opens them). If something is wrong with a parcel, a
sentence in `Submission.complaints` says so: a bad parcel never crashes the run.
"""

from __future__ import annotations

import os
import re
from pathlib import Path, PurePosixPath

from autograder.course import Course
from autograder.errors import SubmissionError
from autograder.given import modules_among
from autograder.grading.intake import parcel
from autograder.grading.intake.choice import Wanted, choose
from autograder.grading.intake.parcel import UNREADABLE, Complaint, Entry, shown
from autograder.grading.intake.submission import Submission
from autograder.sandbox.both.bundle import bundled, parted_text
from autograder.stub import stub_of
from autograder.topic import Topic


def collect(path: Path, topic: Topic, student: str | None = None) -> Submission:
    """Take one student's module out of a parcel.

    Args:
        path: a folder, a Python file, a .zip or a .tar.gz
        topic: the assignment, which names the module
        student: who handed it in; else the name of the parcel, or of the student's folder in submitted/<student>/<id>

    Raises:
        SubmissionError: there is nothing at that path
    """
    if not os.path.lexists(path):
        raise SubmissionError(f"{path}: no such file or folder; give a folder, a .py file, a .zip or a .tar.gz")
    complaints: list[str] = []
    source: bytes | None = None
    try:
        source = _bundle(path, topic, complaints)
    except Complaint as complaint:
        complaints.append(str(complaint))
    except UNREADABLE as error:
        complaints.append(f"{shown(path.name)}: cannot be read ({_reason(error)}); hand it in again")
    return Submission(student or _student(path, topic), topic.id, path, source, tuple(complaints))


def submissions(course: Course, topic: Topic) -> list[Submission]:
    """Collect all folders submitted/<student>/<id>, in the order of the students' names."""
    folders = sorted(course.submitted.glob(f"*/{topic.id}"))
    return [collect_in_place(folder, topic) for folder in folders if folder.is_dir()]


def collect_in_place(folder: Path, topic: Topic) -> Submission:
    """Collect submitted/<student>/<id>; neither folder may be a link, which could lead to another student's work."""
    student = folder.parent.name
    if folder.is_symlink() or folder.parent.is_symlink():
        complaint = f"{student}/{topic.id}: a symbolic link for a folder; hand in the files themselves"
        return Submission(student, topic.id, folder, None, (complaint,))
    return collect(folder, topic, student)


def _bundle(path: Path, topic: Topic, complaints: list[str]) -> bytes:
    """Return the modules in a parcel as a bundle (sandbox/both/bundle.py)."""
    name = path.name.lower()
    if path.is_dir():
        return _chosen(list(parcel.capped(parcel.open_folder(path))), topic, complaints)
    if name.endswith(".zip"):
        with parcel.open_file(path) as stream, parcel.zip_in(stream) as archive:
            return _chosen(list(parcel.capped(parcel.open_zip(archive))), topic, complaints)
    if name.endswith((".tar.gz", ".tgz")):
        with parcel.open_file(path) as stream, parcel.tar_in(stream) as archive:
            return _chosen(list(parcel.capped(parcel.open_tar(archive))), topic, complaints)
    if name.endswith(".py"):
        if path.name != f"{topic.module}.py":
            complaints.append(f"{shown(path.name)} was taken as {topic.module}.py; use that name next time")
        alone = Entry(PurePosixPath(f"{topic.module}.py"), "", lambda: parcel.bytes_of(path))
        return _chosen([alone], topic, complaints)
    kinds = "a folder, a .py file, a .zip or a .tar.gz"
    raise Complaint(f"{shown(path.name)}: not a parcel that can be opened; hand in {kinds} with {topic.module}.py")


def _chosen(entries: list[Entry], topic: Topic, complaints: list[str]) -> bytes:
    """Choose the modules. If a further one is missing, its stub is used, so that the others keep their marks."""
    choice = choose(entries, wanted(topic))
    stubs = parted_text(stub_of(topic), topic.modules) if choice.missing else {}
    complaints += choice.complaints
    for name, why in choice.missing.items():
        complaints.append(f"{why}. The others were examined with {name}.py as it was handed out")
        choice.texts[name] = stubs[name].encode()
    return bundled({name: choice.texts[name] for name in topic.modules})


def wanted(topic: Topic) -> Wanted:
    """Return what is looked for in a parcel of an assignment."""
    tops = (name.partition(".")[0] for task in topic.tasks for name in task.names)
    return Wanted(topic.modules, tuple(dict.fromkeys(tops)), modules_among(topic.files))


def _student(path: Path, topic: Topic) -> str:
    """The student who handed a parcel in, by the folder in which it is."""
    if path.is_dir():
        return path.resolve().parent.name if path.name == topic.id else path.resolve().name
    name = re.sub(r"\.(tar\.gz|tgz|zip|py)$", "", path.name, flags=re.IGNORECASE)
    return _student(path.resolve().parent, topic) if name == topic.module else name


def _reason(error: BaseException) -> str:
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return shown(error) or type(error).__name__
