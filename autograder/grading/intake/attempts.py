"""Attempts: how many modules of a student are examined, if topic.toml sets `attempts`. Each tells of hidden tests.

Each different module that was examined for the class is kept in .autograder/attempts/<assignment>/<student>/. To give
all attempts back, delete that folder.
"""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

from autograder.course import Course
from autograder.files import TEACHERS, write_atomically
from autograder.grading.intake.submission import Submission
from autograder.topic import Topic


def admit(course: Course, topic: Topic, parcel: Submission) -> Submission:
    """Count a parcel as an attempt. Beyond the limit, return the last module that counted, with a sentence that says
    so.

    The same module again is not a new attempt, even if it is examined many times. A parcel without a module is none
    either.
    """
    if not topic.attempts or parcel.source is None:
        return parcel
    folder = course.cache / "attempts" / topic.id / parcel.student
    kept = sorted(filter(_number, folder.glob("*.py")), key=_number)
    examined = [path.read_bytes() for path in kept]
    if parcel.source in examined:
        return parcel
    if len(examined) >= topic.attempts:
        sentence = (
            f"You may hand in {topic.module}.py {topic.attempts} times, and you did. This one was not examined; the "
            "mark of the last one that counted stays."
        )
        return replace(parcel, source=examined[-1], complaints=(*parcel.complaints, sentence))
    folder.mkdir(parents=True, exist_ok=True)
    write_atomically(folder / f"{(_number(kept[-1]) if kept else 0) + 1}.py", parcel.source, mode=TEACHERS)
    return parcel


def made(course: Course, topic: Topic, student: str) -> int:
    """How many different modules of a student were examined; they are counted only if topic.toml limits them."""
    folder = course.cache / "attempts" / topic.id / student
    return sum(1 for path in folder.glob("*.py") if _number(path))


def _number(path: Path) -> int:
    """The number of an attempt; 0 for any other file, such as an editor's copy."""
    return int(path.stem) if re.fullmatch("[0-9]{1,6}", path.stem) else 0
