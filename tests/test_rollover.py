"""`autograder rollover`: the next class gets the assignments, and nothing of the people before."""

from __future__ import annotations

import datetime
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner
from factory import make_course

from autograder import dates
from autograder.authoring.build import stale
from autograder.authoring.rollover import roll_over
from autograder.cli import main
from autograder.course import Course
from autograder.errors import CourseError
from autograder.grading.keep import store
from autograder.people import Person, save

ID = "01_tiny"
ROOT = Path(__file__).parent.parent


@pytest.fixture
def course(tmp_path):
    course = make_course(tmp_path / "old")
    shutil.copy(ROOT / "nbgrader_config.py", course.root)
    (course.root / "README.md").write_text("# Mine\n")
    save(course, [Person("ada", "Ada", "Lovelace")])
    dates.write(course.assignments, {ID: datetime.datetime(2027, 1, 31, tzinfo=datetime.UTC)})
    for name in ("submitted/ada/01_tiny/tiny.py", ".autograder/reports/01_tiny/ada.json", "gradebook.db", "grades.csv"):
        (course.root / name).parent.mkdir(parents=True, exist_ok=True)
        (course.root / name).write_text("ada")
    return course


def test_only_what_belongs_to_the_course_comes_along(course, tmp_path):
    roll_over(course, tmp_path / "new")

    new = Course(tmp_path / "new")
    assert sorted(path.name for path in new.root.iterdir()) == [
        "README.md",
        "assignments",
        "nbgrader_config.py",
        "source",
    ]
    assert new.topic_ids() == (ID,)
    assert dates.dates(new.assignments) == {}
    assert [path for path in new.root.rglob("*") if path.is_file() and b"ada" in path.read_bytes().split()] == []
    assert stale(new) == []


def test_the_next_class_has_another_seed(course, tmp_path):
    before = store.class_seed(course, ID)

    roll_over(course, tmp_path / "new")

    assert store.class_seed(Course(tmp_path / "new"), ID) != before


def test_the_course_itself_is_not_changed(course, tmp_path):
    before = {path: path.read_bytes() for path in course.root.rglob("*") if path.is_file()}

    roll_over(course, tmp_path / "new")

    assert {path: path.read_bytes() for path in course.root.rglob("*") if path.is_file()} == before


def test_what_a_person_must_decide_is_said(course, tmp_path, monkeypatch):
    monkeypatch.chdir(course.root)
    with open("nbgrader_config.py", "a") as config:
        config.write('c.CourseDirectory.course_id = "vision_2027"\n# c.CourseDirectory.db_url = "no"\n')

    result = CliRunner().invoke(main, ["rollover", str(tmp_path / "new")])

    assert result.output.splitlines()[1:3] == [
        "nbgrader_config.py: change this line, or both classes share it: c.CourseDirectory.course_id = 'vision_2027'",
        "not copied: grades.csv; copy what belongs to the course",
    ]


@pytest.mark.parametrize(("name", "message"), [("old/next", "is inside this course"), ("full", "not empty")])
def test_no_folder_is_overwritten(course, tmp_path, name, message):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine").write_text("")

    with pytest.raises(CourseError, match=message):
        roll_over(course, tmp_path / name)

    assert [path.name for path in (tmp_path / "full").iterdir()] == ["mine"]
