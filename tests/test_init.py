"""`autograder init`: a new course works from the first minute, and nothing is overwritten."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
from click.testing import CliRunner

from autograder.authoring.build import stale
from autograder.authoring.init import FIRST, course_id, init
from autograder.authoring.release import release
from autograder.cli import main
from autograder.course import Course, find_course
from autograder.errors import CourseError


def test_a_new_course_has_settings_an_assignment_and_next_steps(tmp_path):
    folder = tmp_path / "Vision 2027"

    written = init(folder)

    assert find_course(folder) == Course(folder)
    assert Course(folder).topic_ids() == (FIRST,)
    assert {path.name for path in written if path.parent == folder} == {"README.md", ".gitignore", "nbgrader_config.py"}
    assert 'c.CourseDirectory.course_id = "vision_2027"' in (folder / "nbgrader_config.py").read_text()


def test_it_prints_each_file_and_is_found_by_the_other_commands(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    result = CliRunner().invoke(main, ["init", "mine"])
    monkeypatch.chdir(tmp_path / "mine")
    built = CliRunner().invoke(main, ["build"])

    assert (result.exit_code, built.exit_code) == (0, 0)
    assert str(tmp_path / "mine" / "nbgrader_config.py") in result.output.splitlines()
    assert stale(Course(tmp_path / "mine")) == []


@pytest.mark.slow
def test_the_first_assignment_can_be_released_without_anything_else(tmp_path):
    init(tmp_path / "mine")
    course = Course(tmp_path / "mine")

    release(course)

    card = tomllib.loads((course.release / FIRST / "topic.toml").read_text())
    assert card["id"] == FIRST
    assert (course.release / FIRST / f"{FIRST}.ipynb").is_file()


@pytest.mark.parametrize("name", ["README.md", ".gitignore", "nbgrader_config.py", "assignments"])
def test_what_is_there_is_not_overwritten(tmp_path, name):
    (tmp_path / name).write_text("mine")

    with pytest.raises(CourseError, match=f"{re.escape(name)}: it exists already; choose another folder"):
        init(tmp_path)

    assert (tmp_path / name).read_text() == "mine"
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_a_course_within_a_course_is_refused(tmp_path):
    init(tmp_path / "mine")

    with pytest.raises(CourseError, match="a course is here already"):
        init(tmp_path / "mine" / "assignments" / "other")


def test_a_second_time_changes_nothing(tmp_path):
    init(tmp_path / "mine")
    before = {path: path.read_bytes() for path in (tmp_path / "mine").rglob("*") if path.is_file()}

    with pytest.raises(CourseError, match="a course is here already"):
        init(tmp_path / "mine")

    assert {path: path.read_bytes() for path in (tmp_path / "mine").rglob("*") if path.is_file()} == before


@pytest.mark.parametrize(
    ("name", "wanted"), [("Bildverstehen für alle", "bildverstehen_fur_alle"), ("cs231n", "cs231n"), ("...", "course")]
)
def test_nbgrader_gets_a_plain_name(name, wanted):
    assert course_id(Path(name)) == wanted


def test_every_command_that_the_first_page_names_exists(tmp_path):
    init(tmp_path / "mine")
    page = (tmp_path / "mine" / "README.md").read_text()

    verbs = re.findall(r"`autograder ([a-z]+)", page)

    assert len(verbs) > 6
    assert set(verbs) <= set(main.commands)


def test_no_sentence_of_the_engine_names_a_makefile():
    package = Path(__file__).parent.parent / "autograder"
    verbs = re.compile(r"make (?:setup|build|release|verify|verify-full|new|demo|test|docs)\b")
    found = [path for path in package.rglob("*") if path.suffix in (".py", ".md", ".html", ".toml")]

    assert len(found) > 100
    assert [path.name for path in found if verbs.search(path.read_text(encoding="utf-8"))] == []
