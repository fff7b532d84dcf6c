"""Store: where reports and the class's seed lie, under .autograder/reports/<assignment>/.

A report is used again only where it fits: its fingerprint names the submission, the suite, the engine and the
seed. The files are the teacher's. Anybody may delete them: the next run judges again (if the seed went too,
under a new one).
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import sys
from functools import cache
from importlib import metadata
from pathlib import Path
from urllib.parse import quote

from autograder import extras
from autograder.course import Course
from autograder.files import TEACHERS, write_atomically, written_beside
from autograder.report import Report
from autograder.submission import Submission
from autograder.topic import Topic


def class_seed(course: Course, assignment: str) -> int:
    """Return the assignment's seed, the same for the whole class: drawn on first use, never changed."""
    path = _folder(course, assignment) / "seed"
    if not path.exists():
        drawn = written_beside(path, f"{secrets.randbelow(2**31)}\n".encode(), mode=TEACHERS)
        try:
            os.link(drawn, path)  # fails where another process was first: its seed is the class's
        except FileExistsError:
            pass
        finally:
            drawn.unlink()
    return int(path.read_text(encoding="utf-8"))


def save(course: Course, topic: Topic, submission: Submission, report: Report) -> Path:
    """Keep a report; returns where. A reader sees the old file or the new one, never half of one."""
    record = {"fingerprint": fingerprint(topic, submission, report.seed), "report": report.to_record()}
    path = _path(course, topic.id, submission.student)
    text = json.dumps(record, indent=1)
    write_atomically(path, text.encode("utf-8", "surrogateescape"), mode=TEACHERS)
    return path


def load(
    course: Course, topic: Topic, submission: Submission, seed: int, *, allow_unisolated: bool = True
) -> Report | None:
    """Return the kept report of this very submission, suite, engine and seed; None where there is none.

    A broken report is not used again: what broke it may be mended by now. One that was made without isolation serves
    only where that is allowed.
    """
    found = _read(_path(course, topic.id, submission.student))
    if found is None:
        return None
    mark, report = found
    if report.isolation == "D" and not allow_unisolated:
        return None
    return report if mark == fingerprint(topic, submission, seed) and report.status == "graded" else None


def reports(course: Course, assignment: str) -> tuple[Report, ...]:
    """Return every kept report of an assignment by the students' names, whether it still fits or not."""
    found = (_read(path) for path in (course.cache / "reports" / assignment).glob("*.json"))
    return tuple(sorted((entry[1] for entry in found if entry), key=lambda report: report.student))


def fingerprint(topic: Topic, submission: Submission, seed: int) -> str:
    """Name everything that a verdict follows from."""
    module = "none" if submission.source is None else hashlib.sha256(submission.source).hexdigest()
    parts = (submission.student, module, *submission.complaints, suite(topic), engine(), str(seed))
    return hashlib.sha256("\0".join(parts).encode("utf-8", "surrogateescape")).hexdigest()


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
    package = Path(__file__).parent
    for path in sorted(package.rglob("*.py")):
        digest.update(str(path.relative_to(package)).encode() + hashlib.sha256(path.read_bytes()).digest())
    for name in ("numpy", "torch"):
        try:
            digest.update(f"{name} {metadata.version(name)}".encode())
        except metadata.PackageNotFoundError:
            digest.update(name.encode())
    return digest.hexdigest()


def _read(path: Path) -> tuple[str, Report] | None:
    """Read one kept report; a file that is not one (an older engine's, half a disk's) counts as none."""
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        return str(record["fingerprint"]), Report.from_record(record["report"])
    except (OSError, ValueError, LookupError, TypeError):
        return None


def _folder(course: Course, assignment: str) -> Path:
    folder = course.cache / "reports" / assignment
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _path(course: Course, assignment: str, student: str) -> Path:
    name = quote(student, safe=" @,=", errors="surrogateescape")
    if len(name) > 120:
        name = name[:80] + hashlib.sha256(name.encode()).hexdigest()[:32]
    return _folder(course, assignment) / f"{name}.json"
