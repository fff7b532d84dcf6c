"""Registered: enter the class into nbgrader's gradebook, so that the formgrader shows names and not only ids."""

from __future__ import annotations

from collections.abc import Iterable

from autograder.course import Course
from autograder.people import Person
from autograder.recording.connection import opened


def register(course: Course, class_list: Iterable[Person]) -> None:
    """Add each student to the gradebook, or correct the names there. Nobody is removed, because marks would go too.

    Raises:
        CourseError: the configuration cannot be used, or the gradebook cannot be written
    """
    with opened(course) as api, api.gradebook as book:
        for person in class_list:
            book.update_or_create_student(
                person.student,
                first_name=person.first_name or None,
                last_name=person.last_name or None,
                email=person.email or None,
                lms_user_id=person.lms_user_id or None,
            )
