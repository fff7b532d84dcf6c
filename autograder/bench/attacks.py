"""Bench attacks: try cheats on stock pytest, stock nbgrader and here. They lie with the corpus, in tests/attacks/."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import autograder
from autograder.course import Course
from autograder.errors import CourseError


def bench_attacks(course: Course, path: Path | None) -> int:
    """Print who falls to what, and write the table to `path`; returns the exit code.

    Raises:
        CourseError: this is no clone of the repository, or there is no box for the stock graders
    """
    tests = course.root / "tests"
    if not (tests / "attacks" / "bench.py").is_file():
        raise CourseError(f"{tests}/attacks: no such folder; the cheats come with a clone of the repository")
    if shutil.which("bwrap") is None:
        raise CourseError(
            "bubblewrap is not installed, and a stock grader runs cheats in the open; apt install bubblewrap"
        )
    root = Path(autograder.__file__).parent.parent
    command = [sys.executable, "-m", "attacks.bench", *([str(path.resolve())] if path else [])]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join((str(tests), str(root)))}
    return subprocess.run(command, env=environment, check=False).returncode
