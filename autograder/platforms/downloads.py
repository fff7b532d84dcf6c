"""Downloads: what the file names of a platform's bulk download say, and whose file it is. Pure.

Canvas       lovelaceada_LATE_101_99_softmax-1.py             number 101, the second file of that name
Moodle       Ada Lovelace_4711_assignsubmission_file_/softmax.py, or with the file's name behind file_
Blackboard   Problem set 1_ada_attempt_2027-01-31-15-00-00_softmax.py
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from autograder.people import Person
from autograder.platforms.headers import as_spoken, folded

_CANVAS = re.compile(r"(?P<who>[^_]+)_(?P<late>LATE_)?(?P<number>\d+)_\d+_(?P<file>.+)")
_MOODLE = re.compile(r"(?P<who>.+?)_\d+_assignsubmission_(?:file|onlinetext)(?:_(?P<file>.*))?")
_BLACKBOARD = re.compile(r"(?P<who>.+)_attempt_(?P<time>\d{4}(?:-\d\d){5})(?:_(?P<file>.+)|\.txt)")


@dataclass(frozen=True)
class Name:
    """What a name in a download says."""

    who: str  #: the student, as the platform writes it
    file: str  #: the name of the student's file; empty if it is in a folder of this name
    number: str = ""  #: the platform's number of the student
    moment: datetime.datetime | None = None
    is_late: bool = False
    is_note: bool = False  #: a file that the platform wrote itself


def _canvas(name: str) -> Name | None:
    found = _CANVAS.fullmatch(name)
    return found and Name(found["who"], found["file"], found["number"], is_late=bool(found["late"]))


def _moodle(name: str) -> Name | None:
    found = _MOODLE.fullmatch(name)
    return found and Name(found["who"], found["file"] or "", is_note=(found["file"] or "") == "onlinetext.html")


def _blackboard(name: str) -> Name | None:
    found = _BLACKBOARD.fullmatch(name)
    if found is None:
        return None
    try:
        moment = datetime.datetime.strptime(found["time"], "%Y-%m-%d-%H-%M-%S").astimezone()
    except ValueError:
        return None
    return Name(found["who"], found["file"] or "", moment=moment, is_note=not found["file"])


PLATFORMS: dict[str, Callable[[str], Name | None]] = {"canvas": _canvas, "moodle": _moodle, "blackboard": _blackboard}


def student_of(name: Name, class_list: Sequence[Person]) -> tuple[str, str]:
    """Return whose file it is, and why that is not known; one of the two is empty.

    Canvas gives a number. Where the class list has none, the letters of the name are compared. Tried for the others are
    the login, the login at the end of a longer text, and the full name.
    """
    wanted = folded(as_spoken(name.who))
    at_end: Callable[[Person], bool] = lambda person: wanted.endswith(f"_{folded(person.student)}")  # noqa: E731
    rules: tuple[Callable[[Person], bool], ...] = (
        lambda person: folded(person.student) == wanted,
        at_end,
        lambda person: wanted in _names(person),
    )
    if name.number:
        rules = (
            lambda person: person.lms_user_id == name.number,
            lambda person: not person.lms_user_id and _letters(wanted) in map(_letters, _names(person)),
        )
    for rule in rules:
        found = [person for person in class_list if rule(person)]
        if len(found) == 1:
            return found[0].student, ""
        if len(found) > 1 and rule is at_end:  # "b" and "a_b" are both at the end: the longer one is meant
            return max(found, key=lambda person: len(person.student)).student, ""
        if len(found) > 1:
            return "", f"{len(found)} students fit: {', '.join(person.student for person in found)}"
    return "", "nobody in the class has this name"


def own_name(file: str, wanted: Sequence[str]) -> tuple[str, int]:
    """Return what a student's file is called without a platform's or a browser's number, and that number.

    Args:
        file: its name in the download, such as "softmax-1.py" or "softmax (2).py"
        wanted: the names that an assignment asks for
    """
    if file in wanted:
        return file, 0
    for name in wanted:
        stem, _, ending = name.rpartition(".")
        found = re.fullmatch(rf"{re.escape(stem)}(?:[ _-]?\((\d+)\)|[_-](\d+))?\.{ending}", file, re.IGNORECASE)
        if found:
            return name, int(found[1] or found[2] or 0)
    return file, 0


def _names(person: Person) -> set[str]:
    """Return how a person's full name may be written."""
    pair = (person.first_name, person.last_name)
    return {folded(" ".join(pair)), folded(" ".join(reversed(pair)))} - {""}


def _letters(text: str) -> str:
    return "".join(letter for letter in text if letter.isalnum())
