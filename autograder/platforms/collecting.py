"""Collecting: `autograder collect --from canvas FOLDER` takes a platform's bulk download into submitted/.

Each file is matched with a student of the class. nbgrader's own zip_collect lays the files; an earlier hand-in of the
same student is moved to downloaded/<id>/replaced/. The download is not changed, and every file that is not used is
named.
"""

from __future__ import annotations

import datetime
import filecmp
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from autograder.course import Course
from autograder.errors import CourseError
from autograder.grading.intake import parcel
from autograder.limits import PARCEL_BYTES
from autograder.people import Person, people
from autograder.plain import one_line
from autograder.platforms.download_files import ARCHIVES, USED, Piece, files_of, inside
from autograder.platforms.downloads import PLATFORMS, Name, own_name, student_of
from autograder.topic import Topic

_STAMP = "timestamp.txt"


@dataclass(frozen=True, order=True)
class _Choice:
    """One file that a student may have meant; the greatest one counts."""

    moment: datetime.datetime
    copy: int  #: the number behind its name
    height: int  #: 0 at the top of an archive, -1 in a folder
    path: str
    content: bytes


@dataclass
class Collected:
    """What came of a download."""

    students: list[str] = field(default_factory=list)
    same: list[str] = field(default_factory=list)  #: had handed in exactly this before
    newer: list[str] = field(default_factory=list)  #: had handed in later than this, and keep that
    replaced: list[str] = field(default_factory=list)
    unmatched: list[tuple[str, str]] = field(default_factory=list)  #: a file, and why it belongs to nobody
    unused: list[tuple[str, str]] = field(default_factory=list)  #: a student's file, and why it is not needed
    late: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)  #: students of the class without a file
    has_times: bool = False

    def sentences(self, kept: str) -> list[str]:
        """Say it to the teacher, who reads every file that was not matched."""
        found = [f"collected: {len(self.students)} students"]
        if self.replaced:
            found.append(f"replaced an earlier hand-in, which is in {kept}: {', '.join(self.replaced)}")
        if self.same:
            found.append(f"handed in exactly this before: {', '.join(self.same)}")
        if self.newer:
            found.append(f"handed in later than this download, and that counts: {', '.join(self.newer)}")
        if self.late:
            found.append(f"marked as late by the platform: {', '.join(self.late)}")
        if self.students and not self.has_times:
            found.append("the download holds no times, so nobody counts as late")
        if self.missing:
            found.append(f"no file of: {', '.join(self.missing)}")
        found += [f"not used: {path} ({why})" for path, why in self.unused]
        found += [f"NOT MATCHED: {path} ({why})" for path, why in self.unmatched]
        return found


def collect_download(course: Course, topic_id: str, platform: str, download: Path) -> Collected:
    """Take a bulk download of one assignment into submitted/.

    Args:
        platform: a key of PLATFORMS
        download: the folder or the zip that the platform gives

    Raises:
        CourseError: there is no class list or no download, or nbgrader does not take the files
    """
    topic = course.topic(topic_id)
    class_list = people(course)
    if not class_list:
        raise CourseError("no class to match names with; run `autograder students import CSV` first")
    if not download.exists():
        raise CourseError(f"{download}: no such file or folder; give the download of {platform}")
    found = Collected()
    chosen = _chosen(topic, _matched(files_of(download, platform), platform, class_list, found), found)
    found.missing = sorted({person.student for person in class_list if not person.has_left} - set(chosen))
    if chosen:
        with _staging(course) as staging:
            _lay(course, topic, chosen, staging)
            for student in sorted(chosen):
                _take(course, topic, student, staging / "submitted" / student / topic.id, found)
    return found


def replaced_folder(course: Course, topic_id: str) -> Path:
    """Return the folder of the hand-ins that a later download replaced."""
    return course.root / "downloaded" / topic_id / "replaced"


def _matched(
    files: Iterator[Piece], platform: str, class_list: tuple[Person, ...], found: Collected
) -> Iterator[tuple[str, Name, str, Piece]]:
    """Give each file with its student, what its name says, and the student's own name of it."""
    for file in files:
        read = [(at, name) for at, part in enumerate(file.parts) if (name := PLATFORMS[platform](part))]
        if not read:
            if not file.parts[-1].startswith("."):
                found.unmatched.append((file.shown, f"its name is not one of {platform}"))
            continue
        at, name = read[0]
        if name.is_note or file.parts[-1] == "onlinetext.html":
            continue
        student, why = student_of(name, class_list)
        if why:
            found.unmatched.append((file.shown, why))
            continue
        if name.is_late and student not in found.late:
            found.late.append(student)
        found.has_times |= name.moment is not None
        own = file.parts[-1] if at < len(file.parts) - 1 else name.file
        yield student, name, own, file


def _chosen(
    topic: Topic, matched: Iterator[tuple[str, Name, str, Piece]], found: Collected
) -> dict[str, dict[str, _Choice]]:
    """Choose one file for each student and name: of the latest attempt, with the highest number."""
    wanted = [*(path.name for path in topic.module_paths), f"{topic.id}.ipynb"]
    chosen: dict[str, dict[str, _Choice]] = {}
    for student, name, own, file in matched:
        moment = name.moment or datetime.datetime.min.replace(tzinfo=datetime.UTC)
        for member, content in _opened(own, file, found):
            called, copy = own_name(member.name, wanted)
            choice = _Choice(moment, copy, 1 - len(member.parts), file.shown, content)
            other = chosen.setdefault(student, {}).get(called)
            if other is not None and other.content != choice.content:
                found.unused.append((min(other, choice).path, f"another {called} of {student} counts"))
            chosen[student][called] = choice if other is None else max(other, choice)
    for files in chosen.values():  # what an earlier attempt held and the last one does not is not handed in
        latest = max(choice.moment for choice in files.values())
        for called in [called for called, choice in files.items() if choice.moment < latest]:
            found.unused.append((files.pop(called).path, "of an earlier attempt"))
    return chosen


def _opened(own: str, file: Piece, found: Collected) -> Iterator[tuple[PurePosixPath, bytes]]:
    """Give a file, or the modules and notebooks in an archive."""
    if own.lower().endswith(ARCHIVES):
        try:
            yield from inside(own, file.read())
        except (parcel.Complaint, *parcel.UNREADABLE) as error:
            found.unused.append((file.shown, f"cannot be opened: {one_line(str(error), 120)}"))
    elif not own.lower().endswith(USED):
        found.unused.append((file.shown, "only modules, notebooks and archives are examined"))
    else:
        content = file.read()
        if len(content) > PARCEL_BYTES:
            found.unused.append((file.shown, f"larger than {PARCEL_BYTES // 1_000_000} MB"))
        else:
            yield PurePosixPath(own), content


def _lay(course: Course, topic: Topic, chosen: dict[str, dict[str, _Choice]], staging: Path) -> None:
    """Let nbgrader lay the chosen files into staging/submitted/<student>/<id>."""
    from autograder.recording.zip_collect import ARCHIVE, zip_collect  # it imports nbgrader, which takes a second

    for student, files in chosen.items():
        for called, choice in files.items():
            moment = choice.moment.astimezone(datetime.UTC) if choice.moment.year > 1 else None
            time = f"{moment:%Y-%m-%dT%H:%M:%S}+00:00" if moment else "-"
            folder = staging / topic.id / ARCHIVE / student / time
            folder.mkdir(parents=True, exist_ok=True)
            (folder / called).write_bytes(choice.content)
    zip_collect(course, topic.id, staging, staging / "submitted")


def _take(course: Course, topic: Topic, student: str, new: Path, found: Collected) -> None:
    """Move one student's files to submitted/; an earlier hand-in is kept beside, and a later one stays."""
    old = course.submitted / student / topic.id
    if old.exists():
        if _is_same(old, new):
            found.same.append(student)
            return
        if _moment(old) > _moment(new) > "":
            found.newer.append(student)
            return
        shelf = replaced_folder(course, topic.id) / student
        shelf.mkdir(parents=True, exist_ok=True)
        shutil.move(old, shelf / str(1 + sum(1 for _ in shelf.iterdir())))
        found.replaced.append(student)
    old.parent.mkdir(parents=True, exist_ok=True)
    shutil.move(new, old)
    found.students.append(student)


def _is_same(old: Path, new: Path) -> bool:
    """Whether a download holds exactly what is there, whatever the times."""
    names = {path.name for path in new.iterdir()} - {_STAMP}
    there = {path.name for path in old.iterdir()} - {_STAMP}
    return names == there and all(filecmp.cmp(old / name, new / name, shallow=False) for name in names)


def _moment(folder: Path) -> str:
    """Return when a hand-in was made, in UTC and in a form that can be compared; '' if nobody knows."""
    from autograder.recording.registrar import read_timestamp

    moment = read_timestamp(folder)
    return "" if moment is None else moment.isoformat()


class _staging:
    """A folder for one run, in .autograder/, which is removed at the end."""

    def __init__(self, course: Course) -> None:
        self._course = course

    def __enter__(self) -> Path:
        self._course.cache.mkdir(exist_ok=True)
        self._folder = Path(tempfile.mkdtemp(dir=self._course.cache, prefix="collect-"))
        (self._folder / "submitted").mkdir()
        return self._folder

    def __exit__(self, *_: object) -> None:
        shutil.rmtree(self._folder, ignore_errors=True)
