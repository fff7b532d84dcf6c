"""Store: where reports and the class's seed lie, under .autograder/reports/<assignment>/.

A report is used again only where it fits: its fingerprint names the submission, the suite, the engine and the
seed. Beside it stands the state of each task's tests (states.py), so that one task can be examined again while the
results of the others stand. The files are the teacher's. Anybody may delete them: the next run judges again (if
the seed went too, under a new one).
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import shutil
import sys
from dataclasses import dataclass
from functools import cache
from importlib import metadata
from pathlib import Path
from urllib.parse import quote

from autograder import extras
from autograder.course import Course
from autograder.errors import CourseError
from autograder.files import TEACHERS, write_atomically, written_beside
from autograder.grading.states import States, states
from autograder.grading.submission import Submission
from autograder.report import Report
from autograder.topic import Topic

#: the shelf of what was examined; a regrade that nobody has agreed to yet has one of its own
REPORTS = "reports"


def class_seed(course: Course, assignment: str) -> int:
    """Return the assignment's seed, the same for the whole class: drawn on first use, never changed.

    Of 53 bits, which a JSON number holds: of 31, a fast machine tries them all in an afternoon.
    """
    path = _folder(course, assignment) / "seed"
    if not path.exists():
        drawn = written_beside(path, f"{secrets.randbelow(2**53)}\n".encode(), mode=TEACHERS)
        try:
            os.link(drawn, path)  # fails where another process was first: its seed is the class's
        except FileExistsError:
            pass
        finally:
            drawn.unlink()
    return int(path.read_text(encoding="utf-8"))


def save(
    course: Course, topic: Topic, submission: Submission, report: Report, *, shelf: str = REPORTS
) -> Path:
    """Keep a report; returns where. A reader sees the old file or the new one, never half of one.

    Raises:
        CourseError: it cannot be written, as on a full disk
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
    """Return the kept report of this very submission, suite, engine and seed; None where there is none.

    A broken report is not used again: what broke it may be mended by now. One that was made without isolation serves
    only where that is allowed.
    """
    found = _read(path_of(course, topic.id, submission.student, shelf))
    if found is None or not _serves(found.report, allow_unisolated):
        return None
    return found.report if found.fingerprint == fingerprint(topic, submission, seed) else None


def load_apart(
    course: Course, topic: Topic, submission: Submission, seed: int, *, allow_unisolated: bool = True
) -> tuple[Report, frozenset[str]] | None:
    """Return the kept report of this submission, and the tasks whose own tests have changed since.

    None where more has changed: the submission, the solution, the engine, the seed, or what all tasks share.
    """
    found = _read(path_of(course, topic.id, submission.student))
    state = states(topic, suite(topic))
    if found is None or not _serves(found.report, allow_unisolated):
        return None
    if found.apart != _apart(state, submission, seed):
        return None
    return found.report, frozenset(task for task, digest in state.tasks if found.tasks.get(task) != digest)


def clear(course: Course, assignment: str, shelf: str) -> None:
    """Throw away what lies on another shelf than that of the reports."""
    shutil.rmtree(course.cache / shelf / assignment, ignore_errors=True)


def _serves(report: Report, allow_unisolated: bool) -> bool:
    return report.status == "graded" and (allow_unisolated or report.isolation != "D")


def reports(course: Course, assignment: str) -> tuple[Report, ...]:
    """Return every kept report of an assignment by the students' names, whether it still fits or not."""
    found = (_read(path) for path in (course.cache / REPORTS / assignment).glob("*.json"))
    return tuple(sorted((entry.report for entry in found if entry), key=lambda report: report.student))


def fingerprint(topic: Topic, submission: Submission, seed: int) -> str:
    """Name everything that a verdict follows from."""
    return _name(submission, suite(topic), engine(), str(seed))


def _apart(state: States, submission: Submission, seed: int) -> str:
    """Name everything that a verdict follows from, but the tests of single tasks."""
    return _name(submission, state.common, engine(), str(seed))


def _name(submission: Submission, *parts: str) -> str:
    module = "none" if submission.source is None else hashlib.sha256(submission.source).hexdigest()
    words = (submission.student, module, *submission.complaints, *parts)
    return hashlib.sha256("\0".join(words).encode("utf-8", "surrogateescape")).hexdigest()


def suite(topic: Topic) -> str:
    """Name the state of an assignment's own files, as far as a verdict or a hint follows from them.

    Which of its extras are installed here belongs to it: a report without one is not used again where it is there.
    """
    digest = hashlib.sha256()
    for path in (topic.folder / "topic.toml", topic.solution_path, topic.public_tests_path,
                 topic.hidden_tests_path, topic.mistakes_path, topic.folder / "signatures.json",
                 topic.folder / "faults.json"):  # fmt: skip
        content = path.read_bytes() if path.exists() else b""  # signatures are computed, some time after
        digest.update(hashlib.sha256(content).digest())
    for extra in topic.extras:
        digest.update(f"{extra}: {extras.version(extra)}".encode())
    return digest.hexdigest()


@cache
def engine() -> str:
    """Name the engine: its own source, Python, and the two packages that compute."""
    digest = hashlib.sha256(sys.version.encode())
    package = Path(__file__).parents[1]
    for path in sorted(package.rglob("*.py")):
        digest.update(str(path.relative_to(package)).encode() + hashlib.sha256(path.read_bytes()).digest())
    for name in ("numpy", "torch"):
        try:
            digest.update(f"{name} {metadata.version(name)}".encode())
        except metadata.PackageNotFoundError:
            digest.update(name.encode())
    return digest.hexdigest()


@dataclass(frozen=True)
class _Kept:
    """One file of a shelf."""

    fingerprint: str
    apart: str
    tasks: dict[str, str]
    report: Report


def _read(path: Path) -> _Kept | None:
    """Read one kept report; a file that is not one (an older engine's, half a disk's) counts as none."""
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        report = Report.from_record(record["report"])
        tasks = dict(record.get("tasks", {}))  # an older engine wrote none
        return _Kept(str(record["fingerprint"]), str(record.get("apart")), tasks, report)
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        return None


def _folder(course: Course, assignment: str, shelf: str = REPORTS) -> Path:
    folder = course.cache / shelf / assignment
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def path_of(course: Course, assignment: str, student: str, shelf: str = REPORTS) -> Path:
    """Return the file of one student on a shelf, whatever the name is."""
    name = quote(student, safe=" @,=", errors="surrogateescape")
    if len(name) > 120:
        name = name[:80] + hashlib.sha256(name.encode()).hexdigest()[:32]
    return _folder(course, assignment, shelf) / f"{name}.json"
