"""docs/your_own_course.md: a new teacher goes from an empty folder to marks and feedback with the page alone."""

from __future__ import annotations

import csv
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from autograder.authoring.init import FIRST
from autograder.course import Course
from autograder.grading.keep import store
from autograder.recording import gradebook

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs" / "your_own_course.md").read_text(encoding="utf-8")
PRIVACY = (ROOT / "docs" / "privacy.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(.*?)\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)

pytestmark = pytest.mark.slow


def run(script: str, folder: Path, home: Path) -> str:
    """Run a script as a person does who has activated the venv; stop at the first command that fails."""
    environment = {
        "PATH": f"{Path(sys.executable).parent}:/usr/local/bin:/usr/bin:/bin",
        "HOME": str(home),
        "PYTHONPATH": str(ROOT),
        "OMP_NUM_THREADS": "1",
        "LANG": "C.UTF-8",
        **{name: os.environ[name] for name in ("TMPDIR",) if name in os.environ},
    }
    done = subprocess.run(
        ["bash", "-e", "-u", "-o", "pipefail", "-c", script],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )
    assert done.returncode == 0, (done.stdout + done.stderr)[-4000:]
    return done.stdout


@pytest.fixture(scope="module")
def walked(tmp_path_factory):
    """What the page's blocks leave and print; only the installation is not run, because the tests run in one."""
    root = tmp_path_factory.mktemp("walk")
    script = "\n".join(body for language, body in BLOCKS if language == "sh")
    printed = run(script, root, root / "person")
    return Course(root / "vision"), printed


def test_all_blocks_but_the_installation_run():
    assert [language for language, _ in BLOCKS if language != "sh"] == ["sh install"]
    assert len(BLOCKS) > 12


def test_the_group_has_full_marks_and_the_stub_has_none(walked):
    course, _ = walked

    assert {mark.student: mark.score for mark in gradebook.marks(course, FIRST)} == {
        "ada": 90.0,
        "grace": 0.0,
        "sofia": 90.0,
    }


def test_marks_are_exported_for_nbgrader_and_for_the_platform(walked):
    course, _ = walked
    platform = course.root / "exports" / FIRST / "canvas.csv"

    with open(course.root / "grades.csv", newline="") as file:
        assert {row["student_id"] for row in csv.DictReader(file)} == {"ada", "grace", "sofia"}
    with platform.open(newline="") as file:
        assert {row["SIS Login ID"]: row["First steps"] for row in csv.DictReader(file)} == {
            "ada": "90",
            "grace": "0",
            "sofia": "90",
        }


def test_students_have_their_feedback(walked):
    course, _ = walked
    fetched = course.root.parent / "home" / "ada" / FIRST / "feedback"

    assert len(list(fetched.rglob(f"{FIRST}.html"))) == 1
    for student in ("ada", "grace", "sofia"):
        assert (course.root / "feedback" / student / FIRST / "summary.html").is_file()


def test_dates_and_extensions_are_where_people_read_them(walked):
    course, printed = walked

    assert "ada" in (course.root / "students.csv").read_text()
    assert "grace has 2 days more, until Saturday 2 February 2030, 23:59" in printed
    assert "Due **Thursday 31 January 2030, 23:59" in (course.release / FIRST / "README.md").read_text()
    assert re.search(rf"{FIRST}  .* due in \d+ days", printed)


def test_the_restored_course_examines_nobody_again(walked):
    course, _ = walked
    restored = Course(course.root.parent / "restored")

    for report in store.reports(course, FIRST):
        path = store.path_of(restored, FIRST, report.student)
        assert path.read_bytes() == store.path_of(course, FIRST, report.student).read_bytes()
    assert (restored.root / "class_report" / FIRST / "index.html").is_file()


def test_what_an_upgrade_would_say_is_not_recorded(walked):
    course, _ = walked
    after = json.loads((course.root.parent / "after.json").read_text())

    assert {entry["student"]: entry["score"] for entry in after} == {"ada": 90.0, "grace": 0.0, "sofia": 90.0}


def test_the_next_year_knows_nobody(walked):
    course, printed = walked
    new = course.root.parent / "vision_next"

    texts = [path.read_bytes() for path in new.rglob("*") if path.is_file()]
    assert texts
    assert [text for text in texts if b"Lovelace" in text or b"sofia" in text] == []
    assert "c.CourseDirectory.course_id = 'vision'" in printed


def test_a_person_is_deleted_as_the_page_on_privacy_says(walked):
    course, _ = walked
    (script,) = re.findall(r"^```\n(nbgrader db .*?)^```$", PRIVACY, re.MULTILINE | re.DOTALL)

    run(script.replace("STUDENT", "sofia"), course.root, course.root.parent / "person")

    assert list(course.root.rglob("*sofia*")) == []
    assert {mark.student for mark in gradebook.marks(course, FIRST)} == {"ada", "grace"}
    holding = {path.name for path in course.root.rglob("*") if path.is_file() and b"sofia" in path.read_bytes()}
    by_hand = {"students.csv", "groups.txt", "roster.csv", "grades.csv"}  # a person removes the lines
    assert holding <= by_hand | {"gradebook.db"}  # SQLite keeps deleted pages until it needs them
