"""Answered: which hand-ins have their answer, in .autograder/answered/<assignment>/, one small file for each.

A hand-in is answered again if its file is deleted.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass

from autograder.course import Course
from autograder.files import TEACHERS, write_atomically
from autograder.grading.keep.store import path_of

SHELF = "answered"
PASSED_OVER = "passed over"  #: the status of a hand-in that nobody answers, because a later one was collected before


@dataclass(frozen=True)
class Answer:
    """That a hand-in was answered, and when."""

    hand_in: str
    student: str
    arrived: float  #: s since 1970
    answered: float  #: s since 1970
    status: str  #: of its report, or PASSED_OVER


def note(course: Course, assignment: str, answer: Answer) -> None:
    """Remember an answer.

    Raises:
        OSError: it cannot be written
    """
    text = json.dumps(asdict(answer), ensure_ascii=False)
    path = path_of(course, assignment, answer.hand_in, SHELF)
    write_atomically(path, text.encode("utf-8", "surrogateescape"), mode=TEACHERS)


def answers(course: Course, assignment: str) -> Iterator[Answer]:
    """Give every answer that is remembered."""
    for path in (course.cache / SHELF / assignment).glob("*.json"):
        try:
            yield Answer(**json.loads(path.read_bytes().decode("utf-8", "surrogateescape")))
        except (OSError, ValueError, TypeError):
            continue  # damaged: that hand-in is answered again
