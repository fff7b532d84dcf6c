"""release.py: what nbgrader makes from source/, with the same bytes each time, and without a leak."""

from __future__ import annotations

import json
import sqlite3

import pytest
from factory import make_course, make_topic

from autograder.authoring.leak import leaks
from autograder.authoring.release import release, stale
from autograder.errors import AuthorError, CourseError

pytest.importorskip("nbgrader")
pytestmark = pytest.mark.slow


def snapshot(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_release_is_what_nbgrader_generates_and_the_gradebook_knows_it(tmp_path):
    course = make_course(tmp_path)

    changed = release(course)

    files = snapshot(course.release / "01_tiny")
    assert {path.parent.parent.name for path in changed} == {"source", "release"}
    assert set(files) == set(snapshot(course.source / "01_tiny"))
    assert files["tiny.py"] == (course.source / "01_tiny" / "tiny.py").read_bytes()
    notebook = json.loads(files["01_tiny.ipynb"])
    graded = [cell for cell in notebook["cells"] if cell["metadata"].get("nbgrader", {}).get("grade")]
    assert [cell["metadata"]["nbgrader"]["points"] for cell in graded] == [60, 30, 5, 5]
    assert all("checksum" in cell["metadata"]["nbgrader"] for cell in graded)
    with sqlite3.connect(tmp_path / "gradebook.db") as gradebook:
        assert gradebook.execute("select name from assignment").fetchall() == [("01_tiny",)]
        assert gradebook.execute("select sum(max_score) from grade_cells").fetchall() == [(100.0,)]
        assert gradebook.execute("select count(*) from alembic_version").fetchall() == [(1,)]
    assert list(course.cache.iterdir()) == []
    assert leaks(course.topic("01_tiny"), [course.source, course.release]) == []


def test_a_second_release_changes_nothing_and_a_second_course_gives_the_same_bytes(tmp_path):
    course, other = make_course(tmp_path / "one"), make_course(tmp_path / "two")
    release(course)
    release(other)

    assert snapshot(course.release) == snapshot(other.release)
    assert release(course) == []


def test_a_release_is_stale_when_nbgrader_would_make_another_and_no_gradebook_is_touched(tmp_path):
    course = make_course(tmp_path)
    release(course)
    gradebook = (tmp_path / "gradebook.db").read_bytes()
    notebook = course.release / "01_tiny" / "01_tiny.ipynb"
    (course.release / "00_old").mkdir()

    assert stale(course) == [course.release / "00_old"]
    notebook.write_text(notebook.read_text().replace("checksum", "check sum"))
    assert stale(course, ("01_tiny",)) == [notebook]
    assert (tmp_path / "gradebook.db").read_bytes() == gradebook


def test_only_the_named_assignments_are_released(tmp_path):
    course = make_course(tmp_path)
    make_topic(course.assignments / "02_tiny")

    release(course, ("02_tiny",))

    assert [path.name for path in course.release.iterdir()] == ["02_tiny"]


def test_a_leak_stops_the_release_and_nothing_is_released(tmp_path):
    course = make_course(tmp_path, manifest=("Double a number, and halve it again.", "squared instead of doubled"))

    with pytest.raises(
        AuthorError,
        match=r"nothing was released:\n  .*source/01_tiny/README\.md:3: the name of a known mistake",
    ):
        release(course)
    assert not course.release.exists()


def test_many_leaks_are_told_by_the_first_five(tmp_path):
    words = "squared instead of doubled"
    course = make_course(tmp_path, manifest=('["say what doubling does"]', str([words] * 6).replace("'", '"')))
    manifest = course.assignments / "01_tiny" / "topic.toml"
    manifest.write_text(
        manifest.read_text()
        .replace('title = "Tiny"', f'title = "{words}"')
        .replace('title = "Double"', 'title = "never counted the calls"')
    )

    with pytest.raises(AuthorError, match=r"\(and [0-9]+ more\)"):
        release(course)


def test_what_nbgrader_refuses_is_one_sentence(tmp_path, monkeypatch):
    course = make_course(tmp_path)
    (tmp_path / "nbgrader_config.py").write_text(
        "c = get_config()\nc.CourseDirectory.db_url = 'sqlite:////nowhere/gradebook.db'\n"
    )

    with pytest.raises(CourseError, match=r"source/01_tiny: nbgrader cannot generate the assignment \(.*\); run"):
        release(course)
    assert not course.release.exists()


@pytest.mark.parametrize("text", [None, "raise SystemExit('no autograder here')"])
def test_a_configuration_that_cannot_be_used_is_named(tmp_path, text):
    course = make_course(tmp_path)
    config = tmp_path / "nbgrader_config.py"
    config.unlink() if text is None else config.write_text(text)

    with pytest.raises(CourseError, match=r"nbgrader_config\.py: cannot be used \(.+\); correct it"):
        release(course)
