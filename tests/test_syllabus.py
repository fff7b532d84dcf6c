"""syllabus.py: docs/course.md says what the course asks for, and `autograder build` writes it."""

from __future__ import annotations

import pytest
from factory import make_course

from autograder.authoring import build, syllabus
from autograder.errors import AuthorError
from autograder.suite import read_suite


def test_the_page_names_tasks_points_syllabus_and_what_the_public_tests_ask_for(tmp_path):
    course = make_course(
        tmp_path, "01_tiny", manifest=("points = 60", 'syllabus = ["Doubling, explained"]\npoints = 60')
    )

    page = syllabus.render(course.topics())

    assert "| [01_tiny](#01_tiny) | Tiny | 2 | 90 | `numpy` |" in page
    assert "In the syllabus: Doubling, explained." in page
    for test in read_suite(course.topic("01_tiny")):
        assert (test.lesson in page) is not test.is_hidden


def test_a_build_of_all_refreshes_the_page_and_a_build_of_one_does_not(tmp_path):
    course = make_course(tmp_path, "01_tiny")
    page = tmp_path / "docs" / "course.md"
    build.build(course)
    assert not page.exists()  # a course without docs/ gets no page
    page.parent.mkdir()

    assert build.build(course, ("01_tiny",)) == []
    assert build.stale(course) == [page]
    assert build.build(course) == [page]

    assert build.stale(course) == []
    assert page.read_text().startswith("# The course\n")


def test_a_syllabus_is_a_list_of_texts(tmp_path):
    with pytest.raises(AuthorError, match=r"topic\.toml:\d+: task 'double': 'syllabus' must be a list of texts"):
        make_course(tmp_path, "01_tiny", manifest=("points = 60", "syllabus = 3\npoints = 60"))
