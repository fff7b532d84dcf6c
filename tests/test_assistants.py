"""Two assistants with accounts of their own share a course, as docs/your_own_course.md says it."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from factory import SOLUTION

from autograder.course import Course
from autograder.recording import gradebook

pytestmark = pytest.mark.slow

ID = "01_tiny"
ROOT = Path(__file__).parent.parent
PAGE = " ".join((ROOT / "docs" / "your_own_course.md").read_text(encoding="utf-8").split())
FIRST, SECOND, GROUP = 0, 61002, 61000
#: the second one may read the Python of this account, and write only what the group may write
AS = "setpriv --reuid {} --regid 61000 --clear-groups --inh-caps=+dac_read_search --ambient-caps=+dac_read_search"


@pytest.fixture
def shared(released: Course, tmp_path: Path) -> Course:
    """A course with one parcel, which the group owns."""
    if os.getuid() or not shutil.which("setpriv"):
        pytest.skip("only root can work as two accounts")
    course = Course(Path(shutil.copytree(released.root, tmp_path / "vision")))
    parcel = course.submitted / "ada" / ID
    parcel.mkdir(parents=True)
    (parcel / "tiny.py").write_text(SOLUTION)
    with (course.root / "nbgrader_config.py").open("a") as settings:
        settings.write("\nc.CourseDirectory.groupshared = True\n")
    (commands,) = re.findall(r"`(chgrp -R tutors vision; [^`]+)`", PAGE)
    subprocess.run(commands.replace("tutors", str(GROUP)), shell=True, cwd=tmp_path, check=True)
    return course


def works(course: Course, account: int, umask: int, *verbs: str) -> str:
    """Let an account run verbs in a course; returns what failed."""
    home = course.root.parent / str(account)
    home.mkdir(exist_ok=True)
    os.chown(home, account, GROUP)
    before = AS.format(account).split() if account else []
    for verb in verbs:
        done = subprocess.run(
            [*before, sys.executable, "-m", "autograder.cli", *verb.split()],
            cwd=course.root,
            env=os.environ | {"PYTHONPATH": str(ROOT), "HOME": str(home)},
            umask=umask,
            capture_output=True,
            text=True,
        )
        if done.returncode:
            return f"{verb}: {done.stdout}{done.stderr}"
    return ""


GRADES = f"grade {ID} --quiet"  # the second one uses the report that the first one's run has kept
OFTEN = (f"due {ID} 2030-01-31", f"release {ID}", f"extension set {ID} ada --days 2", GRADES, f"feedback {ID}")


def test_what_one_assistant_made_the_other_can_make_again(shared: Course) -> None:
    assert re.search(r"Each of them, you too, works with `umask 007`", PAGE)

    assert works(shared, FIRST, 0o007, *OFTEN, f"report {ID}") == ""
    assert works(shared, SECOND, 0o007, *OFTEN, f"report {ID}") == ""

    assert [(mark.student, mark.score) for mark in gradebook.marks(shared, ID)] == [("ada", 90.0)]
    assert shared.root.stat().st_mode & 0o007 == 0


def test_without_the_umask_of_the_page_the_other_one_cannot(shared: Course) -> None:
    assert works(shared, FIRST, 0o022, *OFTEN) == ""

    assert "ermission denied" in works(shared, SECOND, 0o022, *OFTEN)
