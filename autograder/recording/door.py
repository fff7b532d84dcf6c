"""Door: where hand-ins arrive: the inbound folder of nbgrader's exchange, or a folder like submitted/.

A door says which hand-ins are complete, in their order of arrival, and changes nothing. The time in the name of a
hand-in, and its timestamp.txt, were written by the student. The order follows the time at which the file system says
that the folder was last changed, which only the kernel sets.
"""

from __future__ import annotations

import contextlib
import os
import re
import stat
import time
from collections.abc import Callable, Container, Iterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, Protocol

from autograder.course import Course
from autograder.errors import CourseError
from autograder.limits import MEMBERS
from autograder.plain import one_line
from autograder.recording.take import TAKEN_BYTES, Rules
from autograder.topic import Topic

SETTLED_SECONDS = 2.0  #: seconds without a change after which a parcel in a folder is complete
ABANDONED_SECONDS = 30.0  #: the same for a parcel in the exchange that `nbgrader submit` has not finished
_FINISHED = 0o777  #: the mode that `nbgrader submit` gives a folder at last
_SECRET = "submission_secret.txt"  #: the last file that it writes; it names the student's feedback page


@dataclass(frozen=True)
class HandIn:
    """One parcel that arrived, once."""

    name: str  #: another one has another name
    student: str
    path: Path
    arrived: float  #: s since 1970
    said: str = ""  #: the time in its name, if it has one
    has_address: bool = False  #: whether nbgrader can send its feedback back


class Door(Protocol):
    """Where hand-ins come from."""

    where: Path

    def look(self, known: Container[str]) -> list[HandIn]:
        """Return the complete hand-ins whose names are not known, in the order of arrival.

        Raises:
            OSError: the folder cannot be read
        """


class Exchange:
    """The inbound folder of nbgrader's exchange, with STUDENT+ASSIGNMENT+TIME+RANDOM for each hand-in."""

    def __init__(self, inbound: Path, assignment: str, say: Callable[[str], None], *, checks_owner: bool) -> None:
        """
        Args:
            inbound: the folder
            assignment: the one whose hand-ins are wanted
            say: told a sentence about a folder that is not taken
            checks_owner: whether a folder must belong to the account of the student in its name
        """
        self.where = inbound
        self._name = re.compile(rf"(?P<student>.+?)\+{re.escape(assignment)}\+(?P<time>[^+]+)(\+[^+]*)?")
        self._say = say
        self._checks_owner = checks_owner
        self._refused: set[str] = set()

    def look(self, known: Container[str]) -> list[HandIn]:
        found = []
        with os.scandir(self.where) as entries:
            for entry in entries:
                match = self._name.fullmatch(entry.name)
                if match is None or entry.name in known or entry.name in self._refused:
                    continue
                path = Path(entry.path)
                with contextlib.suppress(FileNotFoundError):  # it was just taken away
                    what = entry.stat(follow_symlinks=False)
                    if (why := self._fault(match["student"], what)) is not None:
                        self._refused.add(entry.name)
                        self._say(f"{one_line(entry.name)}: {why}")
                    elif _is_complete(path, what):
                        said, has_address = match["time"], _size(path / _SECRET) > 0
                        found.append(HandIn(entry.name, match["student"], path, what.st_ctime, said, has_address))
        return sorted(found, key=lambda one: (one.arrived, one.name))

    def _fault(self, student: str, what: os.stat_result) -> str | None:
        """Say why a folder is not taken."""
        if not stat.S_ISDIR(what.st_mode):
            return "not a folder; nothing of it is taken"
        if not _is_name(student):
            return "the name of the student cannot be the name of a folder; nothing of it is taken"
        if not self._checks_owner or what.st_uid in (0, os.getuid()):  # the teacher may hand in for a student
            return None
        owner = _account(what.st_uid)
        if owner == student:
            return None
        return (
            f"handed in for {one_line(student)} by the account {owner}; it is not taken, and a person has to look at "
            "it. If the accounts have other names than the students, set `c.ExchangeCollect.check_owner = False` in "
            "nbgrader_config.py"
        )


class Folder:
    """A folder like submitted/, with <student>/<id>/ for each student; what changes in it is a new hand-in."""

    def __init__(self, folder: Path, assignment: str) -> None:
        self.where = folder
        self._assignment = assignment

    def look(self, known: Container[str]) -> list[HandIn]:
        found = []
        with os.scandir(self.where) as entries:
            for entry in entries:
                path = Path(entry.path) / self._assignment
                if not entry.is_dir(follow_symlinks=False) or path.is_symlink() or not path.is_dir():
                    continue
                with contextlib.suppress(FileNotFoundError):
                    digest, arrived = _state_of(path)
                    name = f"{entry.name}+{self._assignment}+{digest}"
                    if name not in known and time.time() - arrived >= SETTLED_SECONDS:
                        found.append(HandIn(name, entry.name, path, arrived))
        return sorted(found, key=lambda one: (one.arrived, one.name))


def opened(course: Course, topic: Topic, folder: Path | None, say: Callable[[str], None]) -> tuple[Door, Rules]:
    """Return the door of a folder, or else of the course's exchange, and what is copied of a hand-in.

    Args:
        say: told a sentence about a hand-in that is not taken

    Raises:
        CourseError: there is no such folder, or this account cannot read it
    """
    from autograder.recording import connection

    with connection.opened(course) as api:
        rules = _rules(api.coursedir, topic)
        collector = api.exchange.Collect(coursedir=api.coursedir, authenticator=api.authenticator, parent=api)
        root, checks_owner = getattr(collector, "root", ""), bool(collector.check_owner)
        inbound = Path(root) / api.coursedir.course_id / "inbound"
    if folder is not None:
        _require(folder, "make it, or leave --folder out to follow the exchange")
        return Folder(folder.resolve(), topic.id), rules
    if not root:
        raise CourseError("nbgrader's exchange is no folder here; name the folder of the parcels with --folder")
    _require(inbound, f"run `nbgrader release_assignment {topic.id}` with this account")
    return Exchange(inbound, topic.id, say, checks_owner=checks_owner), rules


def _require(folder: Path, cure: str) -> None:
    if not os.access(folder, os.R_OK | os.X_OK):
        why = "cannot be read by this account" if folder.exists() else "there is no such folder"
        raise CourseError(f"{folder}: {why}; {cure}")


def is_outdated(course: Course, one: HandIn, assignment: str) -> bool:
    """Whether a later hand-in of the student's is in submitted/, so that nbgrader's own collect would pass over it."""
    from nbgrader.utils import parse_utc

    from autograder.recording.registrar import read_timestamp

    collected = read_timestamp(course.submitted / one.student / assignment)
    if collected is None or not one.said:
        return False
    try:
        return bool(parse_utc(one.said) < collected)
    except (ValueError, OverflowError, TypeError):
        return False


def _rules(coursedir: Any, topic: Topic) -> Rules:
    names = (*(path.name for path in topic.module_paths), f"{topic.id}.ipynb", "timestamp.txt", _SECRET)
    most = min(TAKEN_BYTES, 1000 * int(coursedir.max_dir_size))
    return Rules(names, tuple(coursedir.ignore), most, bool(coursedir.groupshared))


def _is_complete(folder: Path, what: os.stat_result) -> bool:
    """Whether `nbgrader submit` has finished a folder, or has left it alone for a while."""
    is_written = _size(folder / _SECRET) > 0
    if is_written and stat.S_IMODE(what.st_mode) & 0o777 == _FINISHED:
        return True
    changed = max((one.st_ctime for _, one in _entries(folder)), default=what.st_ctime)
    quiet = time.time() - max(changed, what.st_ctime)
    return quiet >= (SETTLED_SECONDS if is_written else ABANDONED_SECONDS)


def _size(path: Path) -> int:
    try:
        return path.lstat().st_size
    except OSError:
        return 0


def _state_of(folder: Path) -> tuple[str, float]:
    """Name the state of a folder, and return when it was last changed."""
    digest, changed = sha256(), folder.lstat().st_ctime
    for name, what in _entries(folder):
        digest.update(f"{name} {what.st_mode} {what.st_size} {what.st_mtime_ns}\0".encode("utf-8", "surrogateescape"))
        changed = max(changed, what.st_ctime)
    return digest.hexdigest()[:24], changed


def _entries(folder: Path) -> Iterator[tuple[str, os.stat_result]]:
    """Give each file below a folder, or the first of too many, with its state."""
    count = 0
    for above, folders, names in os.walk(folder):
        folders.sort()
        for name in sorted(names):
            path = Path(above, name)
            count += 1
            if count > MEMBERS:
                return
            with contextlib.suppress(FileNotFoundError):
                yield str(path.relative_to(folder)), path.lstat()


def _is_name(student: str) -> bool:
    """Whether a student's name can be a folder's name in submitted/."""
    return student not in (".", "..") and not re.search(r"[/\\\0]", student)


def _account(uid: int) -> str:
    import pwd

    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"with the number {uid}"
