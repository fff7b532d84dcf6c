"""Store: the kept reports and the class's seed, in .autograder/reports/<assignment>/.

A report is used again only if it is current: its fingerprint names the submission, the suite, the engine and the seed.
The file also holds the state of each task's tests (states.py), so that one task can be examined again while the results
of the others stay. Only the teacher and the teacher's group can read the files. They may be deleted: the next run then
judges again, under a new seed if the seed was deleted too.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import shutil
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from autograder import extras, known
from autograder.course import Course
from autograder.errors import CourseError
from autograder.files import TEACHERS, write_atomically, written_beside
from autograder.grading.intake.submission import Submission
from autograder.grading.keep.states import States, states
from autograder.grading.keep.verdict import engine, tool
from autograder.report import Report
from autograder.topic import Topic

#: the shelf of the class's reports; a regrade has a shelf of its own until a person has agreed
REPORTS = "reports"


def class_seed(course: Course, assignment: str) -> int:
    """Return the assignment's seed, the same for the whole class: drawn on first use, never changed.

    It has 53 bits, which a JSON number can hold. A fast machine tries all seeds of 31 bits in an afternoon.
    """
    path = _folder(course, assignment) / "seed"
    if not path.exists():
        drawn = written_beside(path, f"{secrets.randbelow(2**53)}\n".encode(), mode=TEACHERS)
        try:
            os.link(drawn, path)  # fails if another process was faster: then the class has its seed
        except FileExistsError:
            pass
        finally:
            drawn.unlink()
    try:
        return int(path.read_bytes()[:100])
    except ValueError:
        raise CourseError(
            f"{path}: holds no number; write the seed from a report into it, or delete it to get a new seed"
        ) from None


def save(course: Course, topic: Topic, submission: Submission, report: Report, *, shelf: str = REPORTS) -> Path:
    """Keep a report; returns its path. A reader sees the old file or the new one, never half of a file.

    Raises:
        CourseError: it cannot be written, for example because the disk is full
    """
    state = states(topic, suite(topic))
    record = {
        "fingerprint": fingerprint(topic, submission, report.seed),
        "apart": _apart(state, submission, report.seed),
        "tasks": dict(state.tasks),
        "report": report.to_record(),
    }
    path = path_of(course, topic.id, submission.student, shelf)
    text = json.dumps(record)  # on one line: an indent would make it ten times slower
    try:
        write_atomically(path, text.encode("utf-8", "surrogateescape"), mode=TEACHERS)
    except OSError as error:
        raise CourseError(
            f"{path}: cannot be written ({error.strerror}); make room and run this again: what was finished is kept"
        ) from error
    return path


def load(
    course: Course,
    topic: Topic,
    submission: Submission,
    seed: int,
    *,
    allow_unisolated: bool = True,
    shelf: str = REPORTS,
) -> Report | None:
    """Return the kept report of exactly this submission, suite, engine and seed; None if there is none.

    A broken report is not used again, because its cause may be repaired by now. A report that was made without
    isolation is used only if that is allowed.
    """
    found = _read(path_of(course, topic.id, submission.student, shelf))
    if found is None or not _serves(found.report, allow_unisolated):
        return None
    return found.report if found.fingerprint == fingerprint(topic, submission, seed) else None


def load_apart(
    course: Course, topic: Topic, submission: Submission, seed: int, *, allow_unisolated: bool = True
) -> tuple[Report, frozenset[str]] | None:
    """Return the kept report of this submission, and the tasks whose own tests have changed since.

    None if something else has changed: the submission, the solution, the engine, the seed, or what all tasks share.
    """
    found = _read(path_of(course, topic.id, submission.student))
    state = states(topic, suite(topic))
    if found is None or not _serves(found.report, allow_unisolated):
        return None
    if found.apart != _apart(state, submission, seed):
        return None
    return found.report, frozenset(task for task, digest in state.tasks if found.tasks.get(task) != digest)


def clear(course: Course, assignment: str, shelf: str) -> None:
    """Delete a shelf other than that of the class's reports."""
    shutil.rmtree(course.cache / shelf / assignment, ignore_errors=True)


def _serves(report: Report, allow_unisolated: bool) -> bool:
    return report.status == "graded" and (allow_unisolated or report.isolation != "D")


def reports(course: Course, assignment: str) -> tuple[Report, ...]:
    """Return every kept report of an assignment, in the order of the students' names, current or not."""
    found = (_read(path) for path in (course.cache / REPORTS / assignment).glob("*.json"))
    return tuple(sorted((entry.report for entry in found if entry), key=lambda report: report.student))


def fingerprint(topic: Topic, submission: Submission, seed: int) -> str:
    """Name everything that a verdict depends on."""
    return _name(submission, suite(topic), engine(), str(seed))


def _apart(state: States, submission: Submission, seed: int) -> str:
    """Name everything that a verdict depends on, except the tests of single tasks."""
    return _name(submission, state.common, engine(), str(seed))


def _name(submission: Submission, *parts: str) -> str:
    module = "none" if submission.source is None else hashlib.sha256(submission.source).hexdigest()
    words = (submission.student, module, *submission.complaints, *parts)
    return hashlib.sha256("\0".join(words).encode("utf-8", "surrogateescape")).hexdigest()


def suite(topic: Topic) -> str:
    """Name the state of an assignment's own files, as far as a verdict or a hint depends on them.

    The extras that are installed here are part of it: a report from a machine without an extra is not used again with
    it.
    """
    digest = hashlib.sha256(known.files_of(topic).encode())
    digest.update(hashlib.sha256(known.said(topic)).digest())
    for extra in topic.extras:
        digest.update(f"{extra}: {extras.version(extra)}".encode())
    for name in topic.tools:
        digest.update(f"{name}: {tool(name)}".encode())
    return digest.hexdigest()


@dataclass(frozen=True)
class _Kept:
    """One file of a shelf."""

    fingerprint: str
    apart: str
    tasks: dict[str, str]
    report: Report


def _read(path: Path) -> _Kept | None:
    """Read one kept report; None for a file that is not a report (of an older engine, or damaged)."""
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        report = Report.from_record(record["report"])
        tasks = dict(record.get("tasks", {}))  # an older engine did not write them
        return _Kept(str(record["fingerprint"]), str(record.get("apart")), tasks, report)
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError, ArithmeticError):
        return None


def _folder(course: Course, assignment: str, shelf: str = REPORTS) -> Path:
    folder = course.cache / shelf / assignment
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def path_of(course: Course, assignment: str, student: str, shelf: str = REPORTS) -> Path:
    """Return the file of one student on a shelf; the name may be any text."""
    name = quote(student, safe=" @,=", errors="surrogateescape")
    if len(name) > 120:
        name = name[:80] + hashlib.sha256(name.encode()).hexdigest()[:32]
    return _folder(course, assignment, shelf) / f"{name}.json"
