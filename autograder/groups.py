"""Groups: students who hand in one parcel together, as groups.txt in the course's folder says it.

    01_first_steps: ada, grace
    all: alan, joan

A line names an assignment, or `all`, and the members. One of them hands in. Before a class is graded, the parcel is
copied to the others, so that each has a mark, a feedback page and late days of their own. A member who has handed in
alone keeps that parcel.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import shutil
import stat
import tempfile
from pathlib import Path

from autograder.course import Course
from autograder.errors import CourseError
from autograder.people import composed, people

FILE = "groups.txt"
_NOTES = "groups"  #: where .autograder/ notes which parcels are copies: a student could write anything into a parcel
_EVERY = "all"
_SECRET = "submission_secret.txt"  #: by which nbgrader finds a student's feedback; each parcel has its own


def groups(course: Course, assignment: str) -> tuple[tuple[str, ...], ...]:
    """Return the groups of an assignment; a line for it comes before a line for all.

    Raises:
        CourseError: a line names nobody, an unknown student or assignment, or a student for the second time
    """
    path = course.root / FILE
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except FileNotFoundError:
        return ()
    except (OSError, UnicodeDecodeError) as error:
        raise CourseError(f"{path}: cannot be read ({error}); save it as UTF-8") from error
    known = {person.student for person in people(course)}
    found: dict[str, list[tuple[str, ...]]] = {assignment: [], _EVERY: []}
    for number, line in enumerate(lines, 1):
        text = line.partition("#")[0].strip()
        if not text:
            continue
        name, colon, rest = text.partition(":")
        members = tuple(dict.fromkeys(member for word in rest.split(",") if (member := composed(word))))
        if not colon or len(members) < 2:
            raise CourseError(f"{path}:{number}: no group; write it as {_EVERY}: ada, grace")
        if name.strip() not in (_EVERY, *course.topic_ids()):
            raise CourseError(f"{path}:{number}: no assignment {name.strip()!r}; name one, or write {_EVERY}")
        for member in members:
            if (known and member not in known) or "/" in member or member.startswith("."):
                raise CourseError(f"{path}:{number}: {member!r} is not in the class; see `autograder students list`")
            if any(member in group for group in found.get(name.strip(), ())):
                raise CourseError(f"{path}:{number}: {member!r} is in two groups; keep one of the lines")
        found.setdefault(name.strip(), []).append(members)
    own = {member for group in found[assignment] for member in group}
    rest_of = [group for group in found[_EVERY] if own.isdisjoint(group)]
    return (*found[assignment], *rest_of)


def share(course: Course, assignment: str) -> list[str]:
    """Copy each group's parcel to the members who have none; return what a teacher should know.

    Raises:
        CourseError: groups.txt is wrong, or a parcel cannot be copied
    """
    said, together = [], groups(course, assignment)
    for group in together:
        parcels = {member: course.submitted / member / assignment for member in group}
        own = {member: path for member, path in parcels.items() if path.is_dir() and not _is_copy(course, path)}
        if not own:
            continue
        giver = max(own, key=lambda member: (_moment(own[member]), member))
        for member, path in parcels.items():
            if member not in own:
                _copy(course, own[giver], path)
        if len(own) > 1:
            said.append(f"{', '.join(own)} are one group and each handed in: each parcel is graded on its own")
    grouped = {member for group in together for member in group}
    for note in sorted((course.cache / _NOTES / assignment).glob("*")):
        parcel = course.submitted / note.name / assignment
        if note.name not in grouped and _is_copy(course, parcel):
            said.append(f"{parcel}: a copy from a group that {note.name} is no longer in; remove it")
    return said


def receivers(course: Course, assignment: str, student: str) -> tuple[str, ...]:
    """Return the members of a student's group who have a copy of the student's parcel."""
    group = next((group for group in groups(course, assignment) if student in group), ())
    others = {name: course.submitted / name / assignment for name in group if name != student}
    copies = {name: parcel for name, parcel in others.items() if _is_copy(course, parcel)}
    if not copies or _is_copy(course, course.submitted / student / assignment):
        return ()
    mine = _digest(course.submitted / student / assignment)
    return tuple(name for name, parcel in copies.items() if _digest(parcel) == mine)


def _is_copy(course: Course, parcel: Path) -> bool:
    """Whether a parcel is still exactly the copy that was made for this student."""
    note = course.cache / _NOTES / parcel.name / parcel.parent.name
    return note.is_file() and parcel.is_dir() and note.read_text() == _digest(parcel)


def _copy(course: Course, parcel: Path, to: Path) -> None:
    """Copy the plain files of a parcel, in one step, and note it; a copy that is the same stays as it is."""
    if _is_copy(course, to) and _digest(to) == _digest(parcel):
        return
    note = course.cache / _NOTES / to.name / to.parent.name
    try:
        to.parent.mkdir(parents=True, exist_ok=True)
        note.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=to.parent, prefix=".group-") as name:
            new = Path(name) / "parcel"
            shutil.copytree(parcel, new, symlinks=True, ignore=_not_plain)
            (new / _SECRET).unlink(missing_ok=True)
            (new / _SECRET).write_text(secrets.token_hex(16))
            note.write_text(_digest(new))
            if to.exists():
                to.rename(Path(name) / "old")
            new.rename(to)
    except (OSError, shutil.Error) as error:
        raise CourseError(f"{to}: cannot be written ({error}); make room and run this again") from error


def _not_plain(folder: str, names: list[str]) -> list[str]:
    """Return what is not copied: links and devices."""
    modes = {name: os.lstat(Path(folder) / name).st_mode for name in names}
    return [name for name, mode in modes.items() if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode)]


def _digest(parcel: Path) -> str:
    """Name the plain files of a parcel and what is in them; nbgrader's secret is each parcel's own."""
    digest = hashlib.sha256()
    for path in sorted(parcel.rglob("*")):
        if path.name != _SECRET and path.is_file() and not path.is_symlink():
            digest.update(path.relative_to(parcel).as_posix().encode("utf-8", "surrogateescape"))
            digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def _moment(parcel: Path) -> str:
    """Return when a parcel was handed in, in a form that can be compared."""
    from autograder.recording.registrar import read_timestamp  # it imports nbgrader, which takes a second

    moment = read_timestamp(parcel)
    return moment.isoformat() if moment else ""
