"""course.py: the course folder and its topics."""

from __future__ import annotations

import pytest
from factory import make_course, make_topic

from autograder.course import find_course
from autograder.errors import CourseError


def test_topics_come_in_the_course_s_order(tmp_path):
    course = make_course(tmp_path, "02_second")
    make_topic(course.assignments / "01_first")

    assert course.topic_ids() == ("01_first", "02_second")
    assert [topic.id for topic in course.topics()] == ["01_first", "02_second"]
    assert [topic.id for topic in course.topics(("02_second",))] == ["02_second"]


def test_a_folder_without_topic_toml_is_no_assignment(tmp_path):
    course = make_course(tmp_path)
    (course.assignments / "notes").mkdir()

    assert course.topic_ids() == ("01_tiny",)


def test_a_slip_in_the_name_is_answered_with_the_near_name(tmp_path):
    course = make_course(tmp_path)

    with pytest.raises(CourseError, match="no assignment '01_tinny'; did you mean 01_tiny"):
        course.topic("01_tinny")
    with pytest.raises(CourseError, match="no assignment 'zzz'; the assignments are 01_tiny"):
        course.topic("zzz")


def test_the_course_is_found_from_any_folder_within(tmp_path):
    course = make_course(tmp_path)

    assert find_course(course.assignments / "01_tiny") == course
    with pytest.raises(CourseError, match="not inside a course; go to the folder that holds assignments/"):
        find_course(tmp_path.parent)
