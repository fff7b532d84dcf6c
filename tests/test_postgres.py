"""A gradebook on a PostgreSQL server: recorded, read and exported there; a sentence if no server answers."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest
from factory import make_course
from test_registrar import ID, hand_in, report_of

from autograder.authoring.release import release
from autograder.course import Course
from autograder.errors import CourseError
from autograder.recording import gradebook

CONFIG = Path(__file__).resolve().parent.parent / "nbgrader_config.py"
INITDB = next(iter(sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))), shutil.which("initdb"))
needs_server = pytest.mark.skipif(INITDB is None, reason="PostgreSQL's server is not installed")


@pytest.fixture(scope="module")
def server():
    """The address of a server of our own, behind a socket in a folder; root may not start one."""
    who = "postgres" if os.geteuid() == 0 else None
    with tempfile.TemporaryDirectory() as folder:
        if who:
            shutil.chown(folder, who)

        def run(program, *arguments):
            command = [str(Path(INITDB).with_name(program)), "-D", f"{folder}/data", *arguments]
            subprocess.run(command, user=who, cwd=folder, check=True, stdout=subprocess.DEVNULL, timeout=120)

        run("initdb", "--auth=trust", "--username=teacher")
        run("pg_ctl", "-w", "-l", f"{folder}/log", "-o", f"-h '' -k {folder}", "start")
        yield f"postgresql+psycopg2://teacher:secret@/postgres?host={folder}"
        run("pg_ctl", "-m", "immediate", "stop")


def course_at(root: Path, url: str) -> Course:
    course = make_course(root)
    settings = f'\nc.CourseDirectory.db_url = "{url}"\n'
    (root / "nbgrader_config.py").write_text(CONFIG.read_text(encoding="utf-8") + settings)
    return course


@needs_server
@pytest.mark.slow
def test_marks_are_recorded_in_the_server_and_exported_from_it(server, tmp_path):
    course = course_at(tmp_path, server)
    release(course)
    for student in ("ada", "bob"):
        hand_in(course, student)

    gradebook.record(course, [report_of("ada"), report_of("bob")])

    marks = gradebook.marks(course, ID)
    assert [(mark.student, mark.score) for mark in marks] == [
        ("ada", report_of().score),
        ("bob", report_of().score),
    ]
    assert "bob" in gradebook.export(course, tmp_path / "grades.csv").read_text()
    assert (gradebook.feedback(course, ID) / "ada" / ID).is_dir()
    assert not (tmp_path / "gradebook.db").exists()


def test_a_server_that_does_not_answer_is_named_without_its_password(tmp_path):
    pytest.importorskip("psycopg2")
    release(course_at(tmp_path, f"sqlite:///{tmp_path / 'gradebook.db'}"))
    course = course_at(tmp_path, f"postgresql+psycopg2://teacher:secret@/postgres?host={tmp_path}")

    with pytest.raises(CourseError, match="see that its server answers, and run this again") as caught:
        gradebook.record(course, [report_of()])

    assert "secret" not in str(caught.value)
    assert "teacher:***@" in str(caught.value)


@pytest.mark.parametrize("url", ["postgresql://...", "postgrsql://teacher@host/name", "no address"])
def test_an_address_that_is_none_says_how_one_looks(url, tmp_path):
    course = course_at(tmp_path, url)

    with pytest.raises(CourseError, match=r"db_url cannot be opened \(.*\); write postgresql\+psycopg2://"):
        gradebook.marks(course, ID)


def test_without_a_gradebook_nobody_has_a_mark_and_none_is_made(tmp_path):
    course = course_at(tmp_path, f"sqlite:///{tmp_path / 'other.db'}")

    assert gradebook.marks(course, ID) == ()
    assert not (tmp_path / "other.db").exists()
