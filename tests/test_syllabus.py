"""syllabus.py: docs/course.md says what the course asks for, and `autograder build` writes it."""

from __future__ import annotations

import tomllib
from shutil import copytree

import pytest
from factory import make_course

from autograder.authoring import build, syllabus
from autograder.errors import AuthorError
from autograder.plan import read_plan
from autograder.suite import read_suite

PLAN = """\
prerequisites = ["Counting"]

[hours]
01_tiny = 1.5
02_more = 2

[[timetables]]
title = "Two days"
slots = [["Day 1", "01_tiny"], ["Day 2", "02_more"]]

[[syllabus]]
title = "Numbers"
[syllabus.concepts]
"Doubling, explained" = ["1.1"]
"Infinity" = "nobody can count so far"

[[checklist]]
item = "I can double"
tasks = ["1.1"]
"""


def planned(tmp_path, plan=PLAN):
    """Make a course of two assignments with other task numbers, and a plan."""
    course = make_course(tmp_path, "01_tiny")
    copytree(course.assignments / "01_tiny", course.assignments / "02_more")
    card = course.assignments / "02_more" / "topic.toml"
    card.write_text(card.read_text().replace('number = "1.', 'number = "2.'))
    (course.assignments / "plan.toml").write_text(plan)
    return course


def test_the_page_names_tasks_points_and_what_the_public_tests_ask_for(tmp_path):
    course = make_course(tmp_path, "01_tiny")

    page = syllabus.render(course.topics())

    assert "| [01_tiny](#01_tiny) | Tiny | 2 | 90 | `numpy` |" in page
    assert "syllabus" not in page  # without a plan
    for test in read_suite(course.topic("01_tiny")):
        assert (test.lesson in page) is not test.is_hidden


def test_the_plan_gives_hours_timetables_the_syllabus_and_a_checklist(tmp_path):
    course = planned(tmp_path)
    (tmp_path / "docs").mkdir()

    build.build(course)

    page = (tmp_path / "docs" / "course.md").read_text()
    for words in (
        "| [01_tiny](#01_tiny) | Tiny | 2 | 90 | 1.5 | `numpy` |",
        "* Counting",
        "| Day 2 | [02_more](#02_more) | 2 |",
        "| Doubling, explained | [1.1](#01_tiny) |",
        "| Infinity | not graded: nobody can count so far |",
        "In the syllabus: Doubling, explained.",
    ):
        assert words in page
    assert "- \N{BALLOT BOX} I can double:\n  - [1.1](course.md#01_tiny) " in (
        tmp_path / "docs" / "checklist.md"
    ).read_text(encoding="utf-8")
    assert build.stale(course) == []


def test_a_student_gets_the_part_of_the_checklist_that_an_assignment_shows(tmp_path):
    course = planned(tmp_path)

    cards = [tomllib.loads(build.render(topic)["topic.toml"].decode()) for topic in course.topics()]

    assert cards[0]["checklist"] == [{"item": "I can double", "tasks": ["double"], "enough": 1}]
    assert "checklist" not in cards[1]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('["1.1"]\n"Inf', '["9.9"]\n"Inf', r"plan\.toml: no task has the number '9\.9'"),
        ("02_more = 2\n", "", r"plan\.toml: \[hours\] leaves out 02_more; add it"),
        ('"Day 2", "02_more"', '"Day 2", "03_none"', "timetable 'Two days': no assignment '03_none'"),
        ('"Day 2", "02_more"', "2", r'write a slot as \["Day 1", "01_first_steps"\]'),
        ('"nobody can count so far"', "[]", "'Infinity' has no task; name the numbers of tasks, or write why"),
        ('tasks = ["1.1"]\n', 'tasks = ["1.1"]\nenough = 2\n', "2 of 1 tasks cannot be enough"),
        ("prerequisites", "prerequisits", "unknown key 'prerequisits'; the keys are checklist, hours"),
        ("[hours]", "[hours", r"plan\.toml: cannot be read \(.*\); correct it"),
        ("01_tiny = 1.5", '01_tiny = "1.5"', r"\[hours\]: '01_tiny' is '1\.5', of the wrong type"),
    ],
)
def test_a_wrong_plan_is_told_where_and_what(tmp_path, old, new, message):
    assert old in PLAN
    course = planned(tmp_path, PLAN.replace(old, new))

    with pytest.raises(AuthorError, match=message):
        syllabus.render(course.topics(), read_plan(course.assignments))


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
