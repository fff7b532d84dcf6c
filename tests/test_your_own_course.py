"""docs/your_own_course.md: a new teacher goes from an empty folder to marks and feedback with the page alone.

The page installs the wheel into a venv of its own. Only what pip would download is lent by the venv of the tests.
"""

from __future__ import annotations

import csv
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from wheels import build_wheel, lending

from autograder.authoring.init import FIRST
from autograder.course import Course
from autograder.grading.keep import store
from autograder.recording import gradebook

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs" / "your_own_course.md").read_text(encoding="utf-8")
PRIVACY = (ROOT / "docs" / "privacy.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(.*?)\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)

SHARED = f"{sys.prefix}/share/jupyter"  #: nbconvert's templates, which pip would install too

pytestmark = pytest.mark.slow


def run(script: str, folder: Path, home: Path, **more: str) -> str:
    """Run a script as a person does who has nothing but Python; stop at the first command that fails."""
    environment = {
        "PATH": f"{home / 'bin'}:/usr/local/bin:/usr/bin:/bin",
        "HOME": str(home),
        "OMP_NUM_THREADS": "1",
        "LANG": "C.UTF-8",
        **{name: os.environ[name] for name in ("TMPDIR",) if name in os.environ},
        **more,
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
    """What the page's blocks leave and print."""
    root = tmp_path_factory.mktemp("walk")
    wheel = build_wheel(tmp_path_factory.mktemp("wheel"))
    python = root / "person" / "bin" / "python3"
    python.parent.mkdir(parents=True)
    python.write_text(f'#!/bin/sh\nexec {sys._base_executable} "$@"\n')  # type: ignore[attr-defined]
    python.chmod(0o755)
    (install, *blocks) = (body for _, body in BLOCKS)
    where = "python -c 'import autograder; print(autograder.__file__)'; command -v nbgrader autograder"
    printed = run(
        "\n".join([install, lending(root), where, *blocks]),
        root,
        root / "person",
        PIP_NO_INDEX="1",
        PIP_NO_DEPS="1",
        PIP_FIND_LINKS=str(wheel.parent),
        JUPYTER_PATH=SHARED,
    )
    return Course(root / "vision"), printed


def test_all_blocks_run_and_the_first_installs():
    assert {language for language, _ in BLOCKS[1:]} == {"sh"}
    assert "pip install 'autograder[teacher]'" in BLOCKS[0][1]
    assert len(BLOCKS) > 12


def test_what_was_walked_is_the_wheel(walked):
    course, printed = walked
    bin_, root = course.root.parent / "venv" / "bin", str(course.root.parent / "venv" / "lib")

    assert f"{bin_ / 'nbgrader'}\n{bin_ / 'autograder'}\n" in printed
    assert re.search(rf"^{re.escape(root)}/\S+/autograder/__init__.py$", printed, re.MULTILINE)
    assert str(ROOT) not in printed


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


def test_all_rows_of_the_table_but_the_last_are_enough_for_a_restore(walked):
    course, _ = walked
    table = PAGE.partition("| what | if it is lost |\n")[2].partition("\n\n")[0]
    rows = [re.findall(r"`([^`]+)`", line.split("|")[1]) for line in table.splitlines()[1:]]
    new = course.root.parent / "from_the_table"
    new.mkdir()
    for name in (name.rstrip("/") for row in rows[:-1] for name in row):
        kept, copy = course.root / name, new / name
        if kept.is_dir():
            shutil.copytree(kept, copy, dirs_exist_ok=True)
        elif kept.exists():  # nothing was downloaded in this class
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(kept, copy)

    verbs = "\n".join(f"autograder {verb} {FIRST}" for verb in ("release", "grade", "feedback", "report"))
    run(f". ../venv/bin/activate\n{verbs}", new, course.root.parent / "person", JUPYTER_PATH=SHARED)

    assert gradebook.marks(Course(new), FIRST) == gradebook.marks(course, FIRST)
    for report in store.reports(course, FIRST):
        path = store.path_of(Course(new), FIRST, report.student)
        assert path.read_bytes() == store.path_of(course, FIRST, report.student).read_bytes()
        assert (new / "feedback" / report.student / FIRST / "summary.html").is_file()


@pytest.mark.parametrize("student", ["sofia", "ada"])  # one has a copy of her group's parcel, the other handed in
def test_a_person_is_deleted_as_the_page_on_privacy_says(walked, student):
    course, _ = walked
    (script,) = re.findall(r"^```\n(nbgrader db .*?)^```$", PRIVACY, re.MULTILINE | re.DOTALL)
    answered = f"autograder follow {FIRST} --once\n" if student == "sofia" else ""  # it leaves notes about people
    activated = ". ../venv/bin/activate\n" + answered + script.replace("STUDENT", student)

    run(activated, course.root, course.root.parent / "person", JUPYTER_PATH=SHARED)

    assert list(course.root.rglob(f"*{student}*")) == []
    assert student not in {mark.student for mark in gradebook.marks(course, FIRST)}
    holding = {path.name for path in course.root.rglob("*") if path.is_file() and named(student, path)}
    by_hand = {"students.csv", "groups.txt", "roster.csv", "grades.csv"}  # a person removes the lines
    assert holding <= by_hand | {"gradebook.db"}  # SQLite keeps deleted pages until it needs them


def named(student, path):
    """Whether a file holds a student's name as a word."""
    return re.search(rb"\b%s\b" % student.encode(), path.read_bytes()) is not None
