"""Extended: enter due dates and extensions into nbgrader's gradebook, and show what is there.

The files dates.toml and extensions.csv say what the teacher gave. An extension that somebody set with nbgrader's own
API, and that the file does not name, stays as it is.
"""

from __future__ import annotations

import datetime
import re
from typing import Any

from nbgrader.api import MissingEntry

from autograder import dates
from autograder.course import Course
from autograder.errors import CourseError
from autograder.extensions import Extension, extensions, save
from autograder.people import people
from autograder.recording.connection import is_there, opened
from autograder.recording.gradebook import knows


def set_due(course: Course, topic_id: str, moment: datetime.datetime | None) -> list[str]:
    """Set or remove the due date of an assignment, in dates.toml and in the gradebook; return what to print.

    Raises:
        CourseError: there is no such assignment, or a date is removed on which extensions depend
    """
    topic = course.topic(topic_id)
    if moment is None and extensions(course, topic.id):
        names = ", ".join(entry.student for entry in extensions(course, topic.id))
        raise CourseError(f"{topic.id}: extensions depend on this date ({names}); remove them first")
    known = dates.dates(course.assignments)
    if moment is None:
        known.pop(topic.id, None)
    else:
        known[topic.id] = moment
    path = dates.write(course.assignments, known)
    with opened(course) as api:
        if knows(api, topic.id):
            with api.gradebook as book:
                _enter_date(book, topic.id, moment)
    what = f"due {dates.spoken(moment)}" if moment else "no due date"
    return [f"{topic.id}: {what} ({path.name})", f"students read it after `autograder release {topic.id}`"]


def due_lines(course: Course, ids: tuple[str, ...]) -> list[str]:
    """Return a line for each assignment: its due date, and whether the gradebook has another one."""
    topics = course.topics(ids)
    known = dates.dates(course.assignments)
    entered = _entered(course)
    lines = []
    for topic in topics:
        moment = known.get(topic.id)
        line = f"{topic.id}: {f'due {dates.spoken(moment)}' if moment else 'no due date'}"
        other = entered.get(topic.id)
        if other is not None and (moment is None or dates.in_utc(moment) != other):
            line += f"; the gradebook has {dates.spoken(dates.from_utc(other))}"
            if moment:
                line += f", until `autograder release {topic.id}`"
        lines.append(line)
    return lines


def enter_dates(book: Any, course: Course, topic_ids: tuple[str, ...]) -> None:
    """Enter the dates of dates.toml into an open gradebook; an assignment without one there keeps its date."""
    known = dates.dates(course.assignments)
    for topic_id in topic_ids:
        if topic_id in known:
            _enter_date(book, topic_id, known[topic_id])


def grant(course: Course, topic_id: str, student: str, given: datetime.timedelta | datetime.datetime) -> list[str]:
    """Give one student more time; return what to print.

    Args:
        given: the time after the due date, or the new date

    Raises:
        CourseError: the assignment has no due date, the student is not in the class, or the new date is not later
    """
    topic = course.topic(topic_id)
    moment = _due(course, topic.id)
    if moment is None:
        raise CourseError(f"{topic.id}: has no due date; set one with `autograder due {topic.id} DATE`")
    everybody = {person.student for person in people(course)}
    if everybody and student not in everybody:
        raise CourseError(f"{student!r} is not in the class; `autograder students list` shows the names")
    if not student or re.search(r"[/\\]", student):
        raise CourseError(f"{student!r}: no student; give the name of the folder in submitted/")
    length = given - moment if isinstance(given, datetime.datetime) else given
    minutes = round(length.total_seconds() / 60)
    if minutes <= 0:
        raise CourseError(f"{topic.id}: due {dates.spoken(moment)}; give a time after that")
    new = Extension(topic.id, student, minutes)
    others = [entry for entry in extensions(course) if (entry.assignment, entry.student) != (topic.id, student)]
    save(course, [*others, new])
    return [_line(new, moment), *_enter(course, topic.id, student, minutes)]


def withdraw(course: Course, topic_id: str, student: str) -> list[str]:
    """Take an extension back; return what to print.

    Raises:
        CourseError: the student has none
    """
    topic = course.topic(topic_id)
    given = {(entry.assignment, entry.student): entry for entry in (*extensions(course), *_in_gradebook(course))}
    if (topic.id, student) not in given:
        raise CourseError(f"{student!r} has no extension in {topic.id}; `autograder extension show` lists all")
    save(course, [entry for entry in extensions(course) if (entry.assignment, entry.student) != (topic.id, student)])
    return [f"{topic.id}: {student} has no extension any more", *_enter(course, topic.id, student, 0)]


def extension_lines(course: Course, topic_id: str = "") -> list[str]:
    """Return a line for each extension, also for those that only the gradebook has."""
    wanted = [course.topic(topic_id).id] if topic_id else None
    found = {(entry.assignment, entry.student): entry for entry in _in_gradebook(course)}
    found |= {(entry.assignment, entry.student): entry for entry in extensions(course)}
    return [
        _line(entry, _due(course, entry.assignment))
        for key, entry in sorted(found.items())
        if wanted is None or key[0] in wanted
    ]


def _enter(course: Course, assignment: str, student: str, minutes: int) -> list[str]:
    """Enter an extension if the gradebook knows the submission; say what has to be done for the mark."""
    with opened(course) as api:
        if not is_there(api):
            return []
        with api.gradebook as book:
            try:
                submission = book.find_submission(assignment, student)
            except MissingEntry:
                return []
            book.grant_extension(assignment, student, minutes=minutes)
            is_graded = bool(submission.notebooks)
    return [f"the penalty is computed again by `autograder grade {assignment}`"] if is_graded else []


def _enter_date(book: Any, topic_id: str, moment: datetime.datetime | None) -> None:
    book.update_or_create_assignment(topic_id, duedate=dates.in_utc(moment) if moment else None)


def _due(course: Course, topic_id: str) -> datetime.datetime | None:
    """Return the due date of dates.toml, or else the gradebook's."""
    known = dates.dates(course.assignments).get(topic_id)
    if known is not None:
        return known
    entered = _entered(course).get(topic_id)
    return dates.from_utc(entered) if entered is not None else None


def _entered(course: Course) -> dict[str, datetime.datetime]:
    with opened(course) as api:
        if not is_there(api):
            return {}
        with api.gradebook as book:
            return {entry.name: entry.duedate for entry in book.assignments if entry.duedate is not None}


def _in_gradebook(course: Course) -> list[Extension]:
    with opened(course) as api:
        if not is_there(api):
            return []
        with api.gradebook as book:
            return [
                Extension(entry.name, submission.student_id, round(submission.extension.total_seconds() / 60))
                for entry in book.assignments
                for submission in entry.submissions
                if submission.extension
            ]


def _line(entry: Extension, moment: datetime.datetime | None) -> str:
    until = f", until {dates.spoken(moment + entry.length)}" if moment else ""
    return f"{entry.assignment}: {entry.student} has {entry.words} more{until}"
