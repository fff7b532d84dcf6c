"""Attempts: how often a student may learn something of the hidden tests, where topic.toml sets `attempts`.

Each different module that was examined for the class is kept in .autograder/attempts/<assignment>/<student>/. Whoever
deletes that folder gives all attempts back.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from autograder.course import Course
from autograder.files import TEACHERS, write_atomically
from autograder.grading.submission import Submission
from autograder.topic import Topic


def admit(course: Course, topic: Topic, parcel: Submission) -> Submission:
    """Count a parcel as an attempt; beyond the limit, return the last one that counted in its place, which says so.

    The same module again is no new attempt, however often it is examined; neither is a parcel without one.
    """
    if not topic.attempts or parcel.source is None:
        return parcel
    folder = course.cache / "attempts" / topic.id / parcel.student
    made = [path.read_bytes() for path in sorted(folder.glob("*.py"), key=_number)]
    if parcel.source in made:
        return parcel
    if len(made) >= topic.attempts:
        sentence = (
            f"You may hand in {topic.module}.py {topic.attempts} times, and had: this one was not examined, and the "
            "mark of the last that counted stands."
        )
        return replace(parcel, source=made[-1], complaints=(*parcel.complaints, sentence))
    folder.mkdir(parents=True, exist_ok=True)
    write_atomically(folder / f"{len(made) + 1}.py", parcel.source, mode=TEACHERS)
    return parcel


def _number(path: Path) -> int:
    return int(path.stem)
